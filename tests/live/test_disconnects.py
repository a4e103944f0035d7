"""A client that goes away takes its run and the provider's call along."""

from __future__ import annotations

import threading

import pytest

from tests.live.gateway import Gateway, chat_body, wait_until
from tests.scripted import Hang, HangAfterHeaders, Reply, ScriptedProvider, Step

# What the contract allows between the client's close and the provider's.
WITHIN = 0.5

HELD = threading.Event()
MOMENTS: dict[str, tuple[Step, bool]] = {
    "before the headers, streaming": (Hang(), True),
    "before the headers, not streaming": (Hang(), False),
    "before the first token, streaming": (HangAfterHeaders(), True),
    "before the first token, not streaming": (HangAfterHeaders(), False),
    "in the middle, streaming": (Reply("a", "b", hold=HELD, hold_at=1), True),
    "in the middle, not streaming": (Reply("a", "b", hold=HELD, hold_at=1), False),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_leaves_stops_the_model(gateway: Gateway, provider: ScriptedProvider, moment: str) -> None:
    """The provider sees its connection close within half a second, and the session's next turn starts at once."""
    step, stream = MOMENTS[moment]
    provider.enqueue(step)
    user = f"leaves {moment}"
    leaving = threading.Thread(target=_call_and_leave, args=(gateway, provider, chat_body(stream=stream, user=user)))
    leaving.start()
    received = provider.wait_for_request(1)
    leaving.join()
    assert received.closed.wait(WITHIN)
    answer = gateway.chat(user=user)
    assert answer.text == "Hello world"


def _call_and_leave(gateway: Gateway, provider: ScriptedProvider, body: dict) -> None:
    with gateway.connect() as connection:
        connection.sendall(gateway.raw_request(body))
        provider.wait_for_request(1)


def test_a_client_that_leaves_the_queue_is_forgotten(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A turn whose client left while it waited for its session never reaches the provider."""
    hold = threading.Event()
    provider.enqueue(Reply("one", hold=hold, hold_at="headers"))
    body = chat_body(user="queue-leaver")
    with gateway.connect() as first:
        first.sendall(gateway.raw_request(body))
        provider.wait_for_request(1)
        with gateway.connect() as second:
            second.sendall(gateway.raw_request(chat_body("never", user="queue-leaver")))
        wait_until(lambda: "the client closed its connection" in gateway.log, "the second run ends")
        hold.set()
        assert b"200 OK" in first.recv(65536)
    assert gateway.chat("third", user="queue-leaver").status == 200
    said = [message["content"] for message in provider.requests[-1].body["messages"]]
    assert "never" not in said
    assert len(provider.requests) == 2


def test_a_pipelined_request_is_not_a_client_that_left(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A client that sends its next request early keeps its run, and both are answered in order."""
    hold = threading.Event()
    provider.enqueue(Reply("first", hold=hold, hold_at="headers"), Reply("second"))
    with gateway.connect() as connection:
        connection.sendall(gateway.raw_request(chat_body()))
        provider.wait_for_request(1)
        connection.sendall(gateway.raw_request(chat_body()))
        # Long enough for the watch to have looked twice.
        assert not provider.requests[0].closed.wait(0.6)
        hold.set()
        read = b""
        while b"second" not in read:
            part = connection.recv(65536)
            assert part, read
            read += part
        assert read.index(b"first") < read.index(b"second")


def test_what_was_said_before_the_client_left_stays(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A turn cut in the middle keeps its user message and the text so far, marked as interrupted."""
    provider.enqueue(Reply("so", " far", " never", hold=threading.Event(), hold_at=2))
    with gateway.open(body=chat_body("question", stream=True, user="cut")) as response:
        read = b""
        while b" far" not in read:
            read += response.readline()
    assert provider.requests[0].closed.wait(WITHIN)
    assert gateway.chat("go on", user="cut").status == 200
    assert [message["content"] for message in provider.requests[1].body["messages"]][1:] == [
        "question",
        "so far [interrupted]",
        "go on",
    ]


def test_a_turn_abandoned_before_its_first_token_is_not_repeated(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A client that gave up early and asks again finds its question once in the history."""
    provider.enqueue(Hang())
    _call_and_leave(gateway, provider, chat_body("question", user="again"))
    assert provider.requests[0].closed.wait(WITHIN)
    assert gateway.chat("question", user="again").status == 200
    assert [message["content"] for message in provider.requests[1].body["messages"]][1:] == ["question"]
