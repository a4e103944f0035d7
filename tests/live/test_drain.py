"""SIGTERM ends a gateway in order."""

from __future__ import annotations

import json
import threading

from tests.live.gateway import TOKEN, Gateway, chat_body, wait_until
from tests.scripted import Reply, ScriptedProvider


def _drain(gateway: Gateway) -> None:
    gateway.process.terminate()
    wait_until(lambda: "draining" in gateway.log, "the drain begins")


def test_running_turns_finish_and_new_ones_are_told(start_gateway, provider: ScriptedProvider) -> None:
    """While it drains a stream goes on to its end, a new request gets 503 with Retry-After, readiness says why."""
    gateway = start_gateway()
    hold = threading.Event()
    provider.enqueue(Reply("a", "b", hold=hold, hold_at=1))
    with gateway.open(body=chat_body(stream=True, user="u")) as response:
        assert b"data:" in response.readline()
        _drain(gateway)
        refused = gateway.chat()
        assert (refused.status, refused.error["type"]) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) > 0
        ready = gateway.call("/readyz", method="GET")
        assert (ready.status, ready.json["failing"]) == (503, ["draining"])
        assert gateway.call("/healthz", method="GET").status == 200
        hold.set()
        rest = response.read()
    assert b'"content":"b"' in rest
    assert rest.endswith(b"data: [DONE]\n\n")
    assert gateway.wait_for_end() == 0


def test_what_does_not_finish_in_time_is_ended_with_an_error(start_gateway, provider: ScriptedProvider) -> None:
    """A stream that outlasts the drain ends with an error event and [DONE], a plain call with 503."""
    gateway = start_gateway("--graceful-timeout", "7")
    provider.default = Reply("a", "b", hold=threading.Event(), hold_at=1)
    plain: list[int] = []
    waiting = threading.Thread(target=lambda: plain.append(gateway.chat().status))
    waiting.start()
    with gateway.open(body=chat_body(stream=True)) as response:
        provider.wait_for_request(2)
        _drain(gateway)
        events = [line[6:] for line in response.read().decode().split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["error"]["type"] == "overloaded"
    waiting.join()
    assert plain == [503]
    assert gateway.wait_for_end() == 0
    assert all(request.closed.wait(1) for request in provider.requests)


def test_idle_connections_do_not_hold_the_end(start_gateway) -> None:
    """A keep-alive connection with nothing under way is closed, long before its own timeout."""
    gateway = start_gateway()
    with gateway.connect() as idle:
        idle.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert b"200 OK" in idle.recv(4096)
        gateway.process.terminate()
        while idle.recv(4096):
            pass
        assert gateway.process.wait(10) == 0
    assert "graceful timeout" not in gateway.log.lower()


def test_a_client_that_does_not_read_does_not_hold_the_end(start_gateway, provider: ScriptedProvider) -> None:
    """A connection stuck in a write is cut when the drain is over, not when gunicorn's patience is."""
    gateway = start_gateway()
    provider.enqueue(Reply(*["x" * 100_000] * 200))
    with gateway.connect() as stuck:
        stuck.sendall(gateway.raw_request(chat_body(stream=True)))
        wait_until(lambda: provider.requests and provider.requests[0].finished.is_set(), "the model has said all")
        gateway.process.terminate()
        assert gateway.process.wait(15) == 0
    assert "graceful timeout" not in gateway.log.lower()
