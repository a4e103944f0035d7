"""chat.send, sessions.send and their aborts."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import Gateway
from tests.scripted import Hang, Reply, ScriptedProvider


def refused(client: Client, method: str, **params: Any) -> Refused:
    with pytest.raises(Refused) as refusal:
        client.call(method, params)
    return refusal.value


def test_the_answer_comes_before_the_first_event_of_the_run(gateway: Gateway) -> None:
    """A client knows the run's id when it hears of it."""
    with connected(gateway) as client:
        client.begin("chat.send", {"sessionKey": "order", "message": "hi", "idempotencyKey": "order-1"})
        kinds = []
        while "chat" not in kinds:
            frame = client.receive()
            kinds.append(frame.get("event", "answer"))
        assert kinds.index("answer") < kinds.index("agent")


def test_the_same_key_begins_one_run(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Sent again while it runs it is in flight, later it is ok; the provider is asked once."""
    hold = threading.Event()
    provider.enqueue(Reply("once", hold=hold))
    params = {"sessionKey": "same", "message": "hi", "idempotencyKey": "same-1"}
    with connected(gateway) as client:
        first = client.call("chat.send", params)
        assert first == {"runId": "same-1", "sessionKey": "agent:main:same", "status": "started"}
        assert client.call("chat.send", params)["status"] == "in_flight"
        hold.set()
        client.event("chat", state="final", runId="same-1")
        assert client.call("chat.send", params)["status"] == "ok"
    assert len(provider.requests) == 1


def test_a_key_is_remembered_over_a_restart(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """What was stored is not said twice because the gateway was restarted, and agent.wait finds it."""
    gateway = start_gateway()
    params = {"sessionKey": "main", "message": "hi", "idempotencyKey": "before"}
    with connected(gateway) as client:
        client.call("chat.send", params)
        client.event("chat", state="final", runId="before")
    gateway.stop()
    again = start_gateway(state_dir=gateway.state_dir)
    with connected(again) as client:
        assert client.call("chat.send", params)["status"] == "ok"
        assert client.call("agent.wait", {"runId": "before"})["status"] == "ok"
    assert len(provider.requests) == 1


def test_a_key_of_another_session_is_refused(gateway: Gateway) -> None:
    """Rather than say that something was sent which never was."""
    with connected(gateway) as client:
        client.call("chat.send", {"sessionKey": "one", "message": "hi", "idempotencyKey": "taken"})
        client.event("chat", state="final", runId="taken")
        error = refused(client, "chat.send", sessionKey="two", message="hi", idempotencyKey="taken")
        assert error.code == "INVALID_REQUEST"
        assert "idempotencyKey" in str(error)


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"message": "hi", "idempotencyKey": "k"}, "sessionKey"),
        ({"sessionKey": "s", "message": "  ", "idempotencyKey": "k"}, "message"),
        ({"sessionKey": "s", "message": "hi"}, "idempotencyKey"),
        ({"sessionKey": "s", "message": "hi", "idempotencyKey": "k" * 300}, "idempotencyKey"),
        ({"sessionKey": "s", "message": "hi", "idempotencyKey": "k", "surprise": 1}, "surprise"),
        ({"sessionKey": "s", "message": "hi", "idempotencyKey": "k", "timeoutMs": "5"}, "timeoutMs"),
        ({"sessionKey": "s", "message": "hi", "idempotencyKey": "k", "thinking": "deeply"}, "thinking"),
        ({"sessionKey": "agent:nobody:s", "message": "hi", "idempotencyKey": "k"}, "agentId"),
        ({"sessionKey": "agent:main:s", "agentId": "beta", "message": "hi", "idempotencyKey": "k"}, "sessionKey"),
        ({"sessionKey": "cron:x", "message": "hi", "idempotencyKey": "k"}, "sessionKey"),
        ({"sessionKey": "a\u0000b", "message": "hi", "idempotencyKey": "k"}, "sessionKey"),
        ({"sessionKey": "s", "message": "hi", "idempotencyKey": "k", "sessionId": "other"}, "sessionId"),
        ({"sessionKey": "s", "message": "hi", "idempotencyKey": "k", "queueMode": "interrupt"}, "queueMode"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named_and_nothing_begins(
    gateway: Gateway, provider: ScriptedProvider, params: dict[str, Any], where: str
) -> None:
    """Each fault has the path of its parameter."""
    with connected(gateway) as client:
        error = refused(client, "chat.send", **params)
        assert error.code == "INVALID_REQUEST"
        assert where in str(error)
    assert not provider.requests


def test_an_unknown_agent_has_its_own_details(gateway: Gateway) -> None:
    """Programs can tell it from other faults."""
    with connected(gateway) as client:
        error = refused(client, "chat.send", sessionKey="s", agentId="ghost", message="hi", idempotencyKey="g").error
        assert error["details"] == {"code": "UNKNOWN_AGENT_ID", "agentId": "ghost"}


def test_bare_keys_belong_to_the_agent_that_is_named(gateway: Gateway) -> None:
    """``agentId`` for one, the default agent for the others; main is main."""
    with connected(gateway) as client:
        for params, key in (
            ({"sessionKey": "bare", "agentId": "beta"}, "agent:beta:bare"),
            ({"sessionKey": "main"}, "agent:main:main"),
            ({"sessionKey": "agent:beta:main"}, "agent:beta:main"),
        ):
            answer = client.call("chat.send", {**params, "message": "hi", "idempotencyKey": f"of {key}"})
            assert answer["sessionKey"] == key
            client.event("chat", state="final", runId=f"of {key}")


def test_timeout_ends_the_run_early(gateway: Gateway, provider: ScriptedProvider) -> None:
    """The caller's own limit, in milliseconds."""
    provider.enqueue(Hang())
    with connected(gateway) as client:
        client.call("chat.send", {"sessionKey": "t", "message": "hi", "idempotencyKey": "t1", "timeoutMs": 200})
        error = client.event("chat", state="error", runId="t1")["payload"]
        assert error["errorKind"] == "timeout"


def test_an_abort_without_anything_to_abort_says_so(gateway: Gateway) -> None:
    """It is no error: the run may just have ended."""
    with connected(gateway) as client:
        assert client.call("chat.abort", {"sessionKey": "nothing"}) == {"ok": True, "aborted": False, "runIds": []}
        assert client.call("sessions.abort", {"key": "nothing"})["status"] == "no-active-run"
        assert refused(client, "sessions.abort").code == "INVALID_REQUEST"


def test_an_abort_that_races_the_end_does_one_of_both(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Each run ends once, as aborted or as final, and the abort's answer says which."""
    with connected(gateway) as client:
        for number in range(30):
            run_id = f"race-{number}"
            provider.enqueue(Reply("quick"))
            client.call("chat.send", {"sessionKey": "race", "message": "hi", "idempotencyKey": run_id})
            if number % 2:
                client.event("chat", state="delta", runId=run_id)
            aborted = client.call("chat.abort", {"sessionKey": "race", "runId": run_id})["aborted"]
            outcome = client.call("agent.wait", {"runId": run_id})
            client.event("chat", runId=run_id, state="aborted" if aborted else "final")
            assert outcome["status"] == ("error" if aborted else "ok")
            states = [e["payload"]["state"] for e in client.heard("chat") if e["payload"]["runId"] == run_id]
            assert len([state for state in states if state != "delta"]) == 1


def test_sessions_send_and_abort_are_the_same_by_key(gateway: Gateway, provider: ScriptedProvider) -> None:
    """With an id of the gateway's own where the caller has none."""
    provider.enqueue(Hang())
    with connected(gateway) as client:
        begun = client.call("sessions.send", {"key": "by-key", "message": "hi"})
        assert begun["status"] == "started"
        provider.wait_for_request()
        ended = client.call("sessions.abort", {"runId": begun["runId"]})
        assert ended["abortedRunId"] == begun["runId"]
        client.event("chat", state="aborted", runId=begun["runId"])


def test_runs_that_are_too_many_are_unavailable(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Retryable, and with a moment to come back."""
    gateway = start_gateway(gateway={"maxRuns": 1})
    provider.enqueue(Hang())
    with connected(gateway) as client:
        client.call("chat.send", {"sessionKey": "a", "message": "hi", "idempotencyKey": "a"})
        error = refused(client, "chat.send", sessionKey="b", message="hi", idempotencyKey="b").error
        assert error["code"] == "UNAVAILABLE"
        assert error["retryable"] is True
        assert error["retryAfterMs"] > 0
        client.call("chat.abort", {"sessionKey": "a"})
