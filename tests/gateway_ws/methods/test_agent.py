"""agent, which answers twice, and agent.wait."""

from __future__ import annotations

import threading

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Refused, connected
from tests.live.gateway import Gateway
from tests.scripted import Hang, Reply, ScriptedProvider, Status, Usage


def test_agent_answers_when_it_accepts_and_when_it_is_done(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Both under the id of the request."""
    provider.enqueue(Reply("Hello", usage=Usage(5, 2)))
    with connected(gateway) as client:
        id = client.begin("agent", {"message": "hi", "agentId": "beta", "sessionKey": "s1", "idempotencyKey": "a1"})
        accepted = client.answer(id)
        assert accepted.pop("acceptedAt") > 0
        assert accepted == {
            "runId": "a1",
            "sessionKey": "agent:beta:s1",
            "agentId": "beta",
            "status": "accepted",
        }
        done = client.answer(id)
        assert (done["runId"], done["status"], done["summary"]) == ("a1", "ok", "completed")
        assert done["result"]["payloads"] == [{"text": "Hello"}]
        meta = done["result"]["meta"]
        assert meta["durationMs"] >= 0
        assert meta["agentMeta"]["provider"] == "scripted"
        assert meta["agentMeta"]["model"] == "m"
        assert meta["agentMeta"]["usage"]["input"] == 5
        assert meta["agentMeta"]["sessionId"]


def test_a_run_that_fails_answers_with_an_error(gateway: Gateway, provider: ScriptedProvider) -> None:
    """UNAVAILABLE, with what happened."""
    provider.enqueue(Status(400, "no such thing"))
    with connected(gateway) as client:
        id = client.begin("agent", {"message": "hi", "idempotencyKey": "fails-twice"})
        client.answer(id)
        with pytest.raises(Refused, match="no such thing") as refusal:
            client.answer(id)
        assert refusal.value.code == "UNAVAILABLE"
        assert refusal.value.error["details"]["runId"] == "fails-twice"


def test_a_second_caller_of_the_same_run_hears_its_end(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A client that connects again and repeats its request misses nothing."""
    hold = threading.Event()
    provider.enqueue(Reply("one", hold=hold))
    params = {"message": "hi", "sessionKey": "again", "idempotencyKey": "again-1"}
    with connected(gateway) as client:
        client.answer(client.begin("agent", params))
    with connected(gateway) as client:
        id = client.begin("agent", params)
        assert client.answer(id)["status"] == "accepted"
        hold.set()
        assert client.answer(id)["result"]["payloads"] == [{"text": "one"}]
        assert client.call("agent", params)["result"]["payloads"] == [{"text": "one"}]
    assert len(provider.requests) == 1


def test_a_failed_run_fails_again_when_it_is_asked_for_again(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A client that repeats its request after a cut must not take the failure for success, from either method."""
    provider.enqueue(Status(400, "no such thing"))
    params = {"sessionKey": "fails-again", "message": "hi", "idempotencyKey": "fails-again"}
    with connected(gateway) as client:
        client.call("chat.send", params)
        client.event("chat", state="error", runId="fails-again")
        for method in ("chat.send", "agent"):
            with pytest.raises(Refused, match="no such thing") as refusal:
                client.call(method, params)
            assert refusal.value.error["retryable"] is False
            assert refusal.value.error["details"]["status"] == "error"


def test_a_session_can_be_named_by_its_id(gateway: Gateway) -> None:
    """And one that doesn't exist is no reason to talk to another."""
    with connected(gateway) as client:
        made = client.call("sessions.create", {"key": "by-id"})
        params = {"message": "hi", "sessionId": made["sessionId"], "idempotencyKey": "by-id"}
        assert client.call("agent", params)["sessionKey"] == made["key"]
        with pytest.raises(Refused, match="sessionId"):
            client.call("agent", {**params, "sessionId": "no-such-session", "idempotencyKey": "by-id-2"})


def test_too_many_ends_that_are_waited_for_are_refused(gateway: Gateway, provider: ScriptedProvider) -> None:
    """However often one run is asked for."""
    provider.enqueue(Hang())
    params = {"message": "hi", "sessionKey": "often", "idempotencyKey": "often"}
    with connected(gateway) as client:
        ids = [client.begin("agent", params) for _ in range(65)]
        with pytest.raises(Refused, match="waiting already"):
            client.answer(ids[-1])
        client.call("chat.abort", {"sessionKey": "often"})


def test_thinking_is_for_the_model_that_answers(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Only one that reasons is asked to, whoever chose it."""
    models = [{"id": "m"}, {"id": "r", "reasoning": True}]
    gateway = start_gateway(models={"providers": {"scripted": {"models": models}}})
    with connected(gateway) as client:
        for number, chosen in enumerate(({}, {"model": "scripted/r"}, {})):
            if number == 2:
                client.call("sessions.patch", {"key": "main", "model": "scripted/r"})
            params = {"message": "hi", "sessionKey": "main", "thinking": "high", "idempotencyKey": f"think-{number}"}
            id = client.begin("agent", {**params, **chosen})
            client.answer(id)
            client.answer(id)
    assert [request.body.get("reasoning_effort") for request in provider.requests] == [None, "high", "high"]


def test_extra_instructions_reach_the_model(gateway: Gateway, provider: ScriptedProvider) -> None:
    """``extraSystemPrompt`` is part of the system message of this run."""
    with connected(gateway) as client:
        id = client.begin("agent", {"message": "hi", "idempotencyKey": "extra", "extraSystemPrompt": "Speak Latin."})
        client.answer(id)
        client.answer(id)
    assert "Speak Latin." in provider.requests[0].body["messages"][0]["content"]


def test_waiting_does_not_hold_up_other_requests(gateway: Gateway) -> None:
    """agent.wait of an unknown run times out while the connection goes on working."""
    with connected(gateway) as client:
        id = client.begin("agent.wait", {"runId": "unknown", "timeoutMs": 300})
        with pytest.raises(Refused, match="unknown method"):
            client.call("nope")
        assert client.answer(id) == {"runId": "unknown", "status": "timeout"}


def test_too_many_waiting_requests_are_refused(gateway: Gateway) -> None:
    """A connection has so many at a time, and they end with it."""
    with connected(gateway) as client:
        ids = [client.begin("agent.wait", {"runId": "unknown", "timeoutMs": 600000}) for _ in range(65)]
        with pytest.raises(Refused, match="waiting already"):
            client.answer(ids[-1])


def test_waiting_begins_before_the_run_does(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Who waits for an id that comes into being meanwhile hears its end; an aborted run is an error."""
    provider.enqueue(Hang())
    with connected(gateway) as client:
        id = client.begin("agent.wait", {"runId": "future", "timeoutMs": 20000})
        client.call("chat.send", {"sessionKey": "future", "message": "hi", "idempotencyKey": "future"})
        provider.wait_for_request()
        client.call("chat.abort", {"sessionKey": "future"})
        outcome = client.answer(id)
        assert outcome["status"] == "error"
        assert "aborted" in outcome["error"]


def test_a_model_of_ones_own_needs_admin(gateway: Gateway, provider: ScriptedProvider) -> None:
    """``model`` chooses for this run; an unknown one is refused."""
    params = {"message": "hi", "idempotencyKey": "own-model", "sessionKey": "own-model", "model": "scripted/m"}
    with connected(gateway, scopes=("operator.write",)) as writer, pytest.raises(Refused, match=r"operator\.admin"):
        writer.call("agent", params)
    with connected(gateway) as client:
        with pytest.raises(Refused, match=r"models\.providers"):
            client.call("agent", {**params, "model": "nobody/none"})
        id = client.begin("agent", params)
        client.answer(id)
        assert client.answer(id)["status"] == "ok"
