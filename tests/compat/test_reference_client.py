"""OpenClaw's own client, as published, against a running gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.reference import Failed, ReferenceClient, reference_client
from tests.conftest import StartGateway
from tests.live.gateway import Gateway
from tests.scripted import Hang, Reply, ScriptedProvider


@pytest.fixture
def client(gateway: Gateway) -> Iterator[ReferenceClient]:
    """One that is connected. Whatever a test does, no event may have been lost."""
    with reference_client(gateway) as client:
        client.wait_for("hello")
        yield client
        assert list(client.all("gap")) == []


def send(client: ReferenceClient, key: str, run_id: str, message: str = "hi") -> str:
    asked = {"sessionKey": key, "message": message, "idempotencyKey": run_id}
    assert client.request("chat.send", asked) == {
        "runId": run_id,
        "sessionKey": f"agent:main:{key}",
        "status": "started",
    }
    return run_id


def text_of(message: dict[str, Any]) -> str:
    return "".join(part["text"] for part in message["content"])


def test_it_connects_with_its_defaults(client: ReferenceClient) -> None:
    """gateway-client, backend, protocol 4, the admin scope: hello-ok, and not one complaint."""
    hello = client.wait_for("hello")["hello"]
    assert (hello["type"], hello["protocol"]) == ("hello-ok", 4)
    assert hello["auth"]["scopes"] == ["operator.admin"]
    assert list(client.all("connectError")) == []


def test_it_may_speak_the_protocol_before(gateway: Gateway) -> None:
    """One that is told to speak version 3 only is answered in it."""
    with reference_client(gateway, minProtocol=3, maxProtocol=3) as client:
        assert client.wait_for("hello")["hello"]["protocol"] == 3
        assert client.request("agents.list")["defaultId"] == "main"


def test_it_reads_what_there_is(client: ReferenceClient) -> None:
    """status, agents.list and sessions.list answer it."""
    assert isinstance(client.request("status"), dict)
    assert [agent["id"] for agent in client.request("agents.list")["agents"]] == ["main", "beta"]
    assert isinstance(client.request("sessions.list")["sessions"], list)


def test_it_sends_and_hears_the_answer_grow(client: ReferenceClient, provider: ScriptedProvider) -> None:
    """chat.send answers at once; deltas and one final tell the answer, and chat.history keeps it."""
    held = threading.Event()
    provider.enqueue(Reply("The quick", " brown", " fox", hold=held, hold_at=1))
    run_id = send(client, "compat-chat", "compat-chat-1", "What jumps?")
    first = client.wait_for("event", event="chat", runId=run_id, state="delta")["payload"]
    assert first["deltaText"] == "The quick"
    held.set()
    final = client.wait_for("event", event="chat", runId=run_id, state="final")["payload"]
    told = [each["payload"] for each in client.all("event", event="chat", runId=run_id)]
    assert [each["seq"] for each in told] == list(range(1, len(told) + 1))
    assert [each["state"] for each in told] == ["delta"] * (len(told) - 1) + ["final"]
    assert "".join(each["deltaText"] for each in told[:-1]) == "The quick brown fox"
    assert text_of(told[-2]["message"]) == text_of(final["message"]) == "The quick brown fox"
    history = client.request("chat.history", {"sessionKey": "compat-chat"})["messages"]
    assert [each["role"] for each in history] == ["user", "assistant"]
    assert text_of(history[1]) == "The quick brown fox"


def test_it_waits_for_the_end_of_an_agents_run(client: ReferenceClient, provider: ScriptedProvider) -> None:
    """``agent`` with expectFinal passes over the acceptance and resolves to the result."""
    provider.enqueue(Reply("Done."))
    asked = {"message": "hi", "sessionKey": "compat-agent", "idempotencyKey": "compat-agent-1"}
    ended = client.request("agent", asked, expectFinal=True)
    assert (ended["status"], ended["result"]["payloads"]) == ("ok", [{"text": "Done."}])


def test_it_aborts_a_run(client: ReferenceClient, provider: ScriptedProvider) -> None:
    """chat.abort ends the run of a session, at the provider too, and the run's last event says so."""
    provider.enqueue(Hang())
    run_id = send(client, "compat-abort", "compat-abort-1")
    received = provider.wait_for_request()
    asked = {"sessionKey": "compat-abort", "runId": run_id}
    assert client.request("chat.abort", asked) == {"ok": True, "aborted": True, "runIds": [run_id]}
    client.wait_for("event", event="chat", runId=run_id, state="aborted")
    assert received.closed.wait(5)


def test_it_is_told_that_its_token_is_wrong(gateway: Gateway) -> None:
    """The detail code is the one on which it stops trying."""
    with reference_client(gateway, token="wrong") as client:
        error = client.wait_for("connectError")
        assert (error["code"], error["details"]["code"]) == ("INVALID_REQUEST", "AUTH_TOKEN_MISMATCH")
        paused = client.wait_for("paused")
        assert (paused["code"], paused["detailCode"]) == (1008, "AUTH_TOKEN_MISMATCH")


def test_its_device_is_believed(gateway: Gateway) -> None:
    """An Ed25519 signature over the challenge is accepted."""
    with reference_client(gateway, device="right") as client:
        client.wait_for("hello")
        assert client.request("agents.list")["defaultId"] == "main"


def test_a_forged_device_is_refused(gateway: Gateway) -> None:
    """A signature of something else is not, though the token is right."""
    with reference_client(gateway, device="forged") as client:
        assert client.wait_for("connectError")["details"]["code"] == "DEVICE_AUTH_SIGNATURE_INVALID"
        assert list(client.all("hello")) == []


def test_a_refusal_reaches_it_as_an_error(client: ReferenceClient) -> None:
    """An unknown method rejects its promise with the protocol's code and words."""
    with pytest.raises(Failed, match="unknown method: nope") as failed:
        client.request("nope")
    assert failed.value.error["code"] == "INVALID_REQUEST"


def test_it_comes_back_after_a_restart(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """SIGTERM closes it with 1012; it finds the next gateway on the port by itself and goes on there."""
    gateway = start_gateway()
    port = gateway.port
    with reference_client(gateway) as client:
        client.wait_for("hello")
        gateway.process.terminate()
        assert client.wait_for("event", event="shutdown")["payload"]["reason"]
        assert client.wait_for("close")["code"] == 1012
        assert gateway.wait_for_end() == 0
        start_gateway("--bind", f"127.0.0.1:{port}")
        client.wait_for("hello", at=2)
        run_id = send(client, "compat-restart", "compat-restart-1")
        client.wait_for("event", event="chat", runId=run_id, state="final")


def test_its_coordinator_hears_a_sessions_messages(client: ReferenceClient, provider: ScriptedProvider) -> None:
    """The subscription coordinator learns the session's whole key, and both sides of a turn come as events."""
    key = "agent:main:compat-messages"
    assert client.request("acquire", {"key": "compat-messages"})["key"] == key
    provider.enqueue(Reply("Hello there."))
    send(client, "compat-messages", "compat-messages-1", "Hello?")
    heard = [client.wait_for("event", at, event="session.message", sessionKey=key)["payload"] for at in (1, 2)]
    assert [each["message"]["role"] for each in heard] == ["user", "assistant"]
    assert text_of(heard[1]["message"]) == "Hello there."
