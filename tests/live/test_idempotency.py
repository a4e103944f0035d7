"""``Idempotency-Key``: the same request twice is done once."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.live.gateway import Answer, Gateway, chat_body
from tests.scripted import Reply, ScriptedProvider, Status

STREAM = [False, True]


def keyed(key: str, **more: str) -> dict[str, str]:
    return {"Idempotency-Key": key, **more}


@pytest.mark.parametrize("stream", STREAM, ids=["json", "stream"])
def test_the_answer_comes_again(gateway: Gateway, provider: ScriptedProvider, stream: bool) -> None:
    """Byte for byte the same, a stream as a stream, with the same run; the model is asked once."""
    key = f"again-{stream}"
    first = gateway.chat("hi", headers=keyed(key), stream=stream, user=key)
    second = gateway.chat("hi", headers=keyed(key), stream=stream, user=key)
    assert first.status == second.status == 200
    assert second.body == first.body
    for name in ("Content-Type", "x-openclaw-run-id", "x-openclaw-session-key"):
        assert second.headers[name] == first.headers[name]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(provider.requests) == 1


def test_it_comes_again_after_a_restart(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """kill -9 after the answer loses nothing."""
    gateway = start_gateway()
    first = gateway.chat("hi", headers=keyed("k"))
    gateway.kill()
    again = start_gateway(state_dir=gateway.state_dir)
    assert again.chat("hi", headers=keyed("k")).body == first.body
    assert len(provider.requests) == 1


@pytest.mark.parametrize("stream", STREAM, ids=["json", "stream"])
def test_turn_and_answer_are_stored_together(
    start_gateway: StartGateway, provider: ScriptedProvider, stream: bool
) -> None:
    """An answer that can't be kept for its key takes its turn along: sent again, there is one turn, not two."""
    gateway = start_gateway()
    database = sqlite3.connect(gateway.state_dir / "gateway.sqlite3")
    database.execute("CREATE TRIGGER no BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'no'); END")
    failed = gateway.chat("hi", headers=keyed("k"), stream=stream, user="u")
    assert failed.status != 200 or "error" in json.loads(failed.events[-2])
    database.execute("DROP TRIGGER no")
    again = [gateway.chat("hi", headers=keyed("k"), stream=stream, user="u") for _ in range(2)]
    assert [each.status for each in again] == [200, 200]
    assert again[0].body == again[1].body
    assert database.execute("SELECT status FROM turns").fetchall() == [("done",)]
    database.close()


def test_it_is_kept_for_a_caller_that_left_at_the_end(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A whole turn that is stored is answered with that very turn, though nobody heard it to its end before."""
    hold = threading.Event()
    provider.enqueue(Reply("one", "two", hold=hold, hold_at=1))
    body = chat_body(stream=True, user="left-at-the-end")
    with gateway.open(body=body, headers=keyed("left-at-the-end")) as response:
        while b"one" not in response.readline():
            pass
        hold.set()
        assert provider.requests[0].finished.wait(5)
        while b"two" not in response.readline():
            pass
    answer = gateway.call(body=body, headers=keyed("left-at-the-end"))
    while answer.status == 409:
        answer = gateway.call(body=body, headers=keyed("left-at-the-end"))
    told = [chunk["choices"][0]["delta"].get("content") for chunk in answer.chunks]
    assert told == ["", "one", "two", None]
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("other", {}),
        ("hi", {"x-openclaw-agent-id": "beta"}),
        ("hi", {"x-openclaw-session-key": "s"}),
        ("hi", {"x-openclaw-model": "scripted/m"}),
    ],
    ids=["body", "agent", "session", "model"],
)
def test_another_request_with_the_same_key(gateway: Gateway, text: str, headers: dict[str, str]) -> None:
    """409, and SDKs are told not to try again."""
    key = f"reused-{text}-{'-'.join(headers)}"
    assert gateway.chat("hi", headers=keyed(key)).status == 200
    refused = gateway.chat(text, headers=keyed(key, **headers))
    assert (refused.status, refused.error["code"]) == (409, "idempotency_key_reused")
    assert refused.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", STREAM, ids=["json", "stream"])
def test_while_it_runs(gateway: Gateway, provider: ScriptedProvider, stream: bool) -> None:
    """409 until the first one has its answer, then that answer."""
    key, release = f"running-{stream}", threading.Event()
    provider.enqueue(Reply("slow", hold=release))
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(gateway.chat("hi", headers=keyed(key), stream=stream))

    first = threading.Thread(target=ask)
    first.start()
    provider.wait_for_request(1)
    refused = gateway.chat("hi", headers=keyed(key), stream=stream)
    release.set()
    first.join()
    assert (refused.status, refused.error["code"]) == (409, "idempotency_key_in_use")
    assert refused.headers["Retry-After"] == "1"
    assert gateway.chat("hi", headers=keyed(key), stream=stream).body == answers[0].body
    assert len(provider.requests) == 1


@pytest.mark.parametrize("stream", STREAM, ids=["json", "stream"])
def test_a_failure_frees_the_key(gateway: Gateway, provider: ScriptedProvider, stream: bool) -> None:
    """What failed may be sent again, and is answered then."""
    key = f"failed-{stream}"
    provider.enqueue(Status(400, "no"))
    assert gateway.chat("hi", headers=keyed(key), stream=stream).status == 400
    assert gateway.chat("hi", headers=keyed(key), stream=stream).status == 200


def test_a_client_that_leaves_frees_the_key(gateway: Gateway, provider: ScriptedProvider) -> None:
    """An answer that nobody heard to its end is not kept."""
    hold = threading.Event()
    provider.enqueue(Reply("one", "two", hold=hold, hold_at=1))
    body: dict[str, Any] = {"model": "openclaw", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    with gateway.open(body=body, headers=keyed("left")) as response:
        while b"one" not in response.readline():
            pass
    assert provider.requests[0].closed.wait(5)
    answer = gateway.call(body=body, headers=keyed("left"))
    hold.set()
    assert answer.status == 200
    assert "Idempotent-Replayed" not in answer.headers


@pytest.mark.parametrize("key", ["two words", "x" * 256], ids=["space", "long"])
def test_a_malformed_key(gateway: Gateway, key: str) -> None:
    """400 that names the header."""
    answer = gateway.chat("hi", headers=keyed(key))
    assert (answer.status, answer.error["param"]) == (400, "Idempotency-Key")
