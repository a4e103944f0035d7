"""The events of a run: all of it is heard by all who may read, whichever door it came through."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import TOKEN, Gateway, chat_body
from tests.scripted import Hang, RawHttp, Reply, ScriptedProvider, Status, ToolCall, Usage
from tests.wire.case import chat

PATIENT = 10


def send(client: Client, run_id: str, message: str = "hi", **more: Any) -> Any:
    key = more.pop("sessionKey", f"feed-{run_id}")
    return client.call("chat.send", {"sessionKey": key, "message": message, "idempotencyKey": run_id, **more})


def of_run(client: Client, name: str, run_id: str) -> list[Any]:
    return [event["payload"] for event in client.heard(name) if event["payload"]["runId"] == run_id]


def test_a_run_is_told_from_its_start_to_its_end(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Lifecycle, text as it grows, then exactly one final with usage; seq counts within the run."""
    provider.enqueue(Reply("Hello", " ", "world", delay=0.1, usage=Usage(11, 3, cached=4)))
    with connected(gateway) as client:
        send(client, "whole")
        final = client.event("chat", state="final", runId="whole")["payload"]
        agent = of_run(client, "agent", "whole")
        assert [event["seq"] for event in agent] == list(range(1, len(agent) + 1))
        assert agent[0]["stream"] == "lifecycle"
        assert agent[0]["data"]["phase"] == "start"
        assert agent[0]["sessionKey"] == "agent:main:feed-whole"
        said = [event["data"] for event in agent if event["stream"] == "assistant"]
        assert "".join(data["delta"] for data in said) == "Hello world"
        assert said[-1]["text"] == "Hello world"
        ends = [event["data"] for event in agent if event["stream"] == "lifecycle"][1:]
        assert [end["phase"] for end in ends] == ["end"]
        assert ends[0]["endedAt"] >= ends[0]["startedAt"]
        assert ends[0]["stopReason"] == "stop"
        assert final["usage"] == {"input": 7, "output": 3, "cacheRead": 4, "totalTokens": 14}
        assert final["message"]["content"] == [{"type": "text", "text": "Hello world"}]
        assert final["stopReason"] == "stop"


def test_a_refusal_is_told_as_text(gateway: Gateway, provider: ScriptedProvider) -> None:
    """The protocol has no other place for it, and whoever reads along must not see an empty answer."""
    provider.enqueue(RawHttp(chat({"content": "Hm."}, {"refusal": "I can't "}, {"refusal": "do that."})))
    with connected(gateway) as client:
        send(client, "refused")
        final = client.event("chat", state="final", runId="refused")["payload"]
        said = [
            event["data"]["delta"] for event in of_run(client, "agent", "refused") if event["stream"] == "assistant"
        ]
        assert "".join(said) == final["message"]["content"][0]["text"] == "Hm.\n\nI can't do that."
        history = client.call("chat.history", {"sessionKey": "feed-refused"})
        assert history["messages"][-1]["content"] == final["message"]["content"]


def test_chat_deltas_are_few_and_lose_nothing(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Two hundred tokens in half a second are some deltas, whose texts make the whole; each has all so far."""
    tokens = [f"t{i} " for i in range(200)]
    provider.enqueue(Reply(*tokens, delay=0.0025))
    with connected(gateway) as client:
        send(client, "many")
        client.event("chat", state="final", runId="many")
        deltas = [event for event in of_run(client, "chat", "many") if event["state"] == "delta"]
        assert len(deltas) < 100
        assert "".join(delta["deltaText"] for delta in deltas) == "".join(tokens)
        for index, delta in enumerate(deltas):
            so_far = "".join(each["deltaText"] for each in deltas[: index + 1])
            assert delta["message"]["content"][0]["text"] == so_far


def test_each_connection_counts_its_events(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Without a gap, each from 1."""
    with connected(gateway) as first, connected(gateway) as second:
        send(first, "counted")
        for client in (first, second):
            client.event("chat", state="final", runId="counted")
            assert [event["seq"] for event in client.events[1:]] == list(range(1, len(client.events)))


def test_a_client_without_read_hears_nothing_of_runs(gateway: Gateway) -> None:
    """Events are for those who may read."""
    with connected(gateway) as reader, connected(gateway, scopes=("operator.approvals",)) as other:
        send(reader, "unheard")
        reader.event("chat", state="final", runId="unheard")
        with pytest.raises(Refused):
            other.call("nope")
        # The beat of the connection is for all.
        assert {event["event"] for event in other.events} - {"tick"} == {"connect.challenge"}


def test_a_run_of_curl_is_seen_and_can_be_aborted(gateway: Gateway, provider: ScriptedProvider) -> None:
    """The curl stream then ends with the error and [DONE], and what was said is kept as interrupted."""
    hold = threading.Event()
    provider.enqueue(Reply("begun", " never", hold=hold, hold_at=1))
    with connected(gateway) as client, gateway.open(body=chat_body(stream=True, user="seen")) as stream:
        run_id, key = stream.headers["x-openclaw-run-id"], stream.headers["x-openclaw-session-key"]
        client.event("chat", state="delta", runId=run_id, deltaText="begun")
        assert client.call("chat.abort", {"sessionKey": key, "runId": run_id}) == {
            "ok": True,
            "aborted": True,
            "runIds": [run_id],
        }
        aborted = client.event("chat", state="aborted", runId=run_id)["payload"]
        assert aborted["message"]["content"][0]["text"] == "begun"
        ended = client.event("agent", runId=run_id, stream="lifecycle", seq=3)["payload"]["data"]
        assert (ended["phase"], ended["aborted"]) == ("error", True)
        rest = stream.read().decode()
        assert rest.endswith("data: [DONE]\n\n")
        assert '"type":"cancelled"' in rest
    hold.set()
    assert "begun [interrupted]" in str(gateway.chat("and?", user="seen") and provider.requests[-1].body)


def test_a_plain_call_of_curl_is_seen_too(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A run whose door needs no events tells them all the same."""
    with connected(gateway) as client:
        answer = gateway.chat(user="plain")
        final = client.event("chat", state="final", runId=answer.headers["x-openclaw-run-id"])
        assert final["payload"]["message"]["content"][0]["text"] == "Hello world"


def test_who_connects_in_the_middle_hears_the_rest(gateway: Gateway, provider: ScriptedProvider) -> None:
    """The first that it hears has all the text so far."""
    hold = threading.Event()
    provider.enqueue(Reply("early", " late", hold=hold, hold_at=1))
    with gateway.open(body=chat_body(stream=True)) as stream:
        stream.readline()
        with connected(gateway) as client:
            hold.set()
            delta = client.event("chat", state="delta")["payload"]
            assert delta["message"]["content"][0]["text"] == "early late"
            client.event("chat", state="final", runId=delta["runId"])
        stream.read()


def test_a_failed_run_says_why(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Error events have the message that HTTP callers get."""
    provider.enqueue(Status(400, "bad model"))
    with connected(gateway) as client:
        send(client, "fails")
        error = client.event("chat", state="error", runId="fails")["payload"]
        assert "bad model" in error["errorMessage"]
        assert error["errorKind"] == "unknown"
        phases = [e["data"]["phase"] for e in of_run(client, "agent", "fails") if e["stream"] == "lifecycle"]
        assert phases == ["start", "error"]


def test_tools_are_told_when_they_begin_and_end(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """With arguments and result, between the texts before and after them."""
    gateway = start_gateway(tools={"profile": "full"})
    (gateway.state_dir / "workspace").mkdir(exist_ok=True)
    provider.enqueue(
        Reply("I look. ", tool_calls=(ToolCall("call_1", "agents_list", "{}"),), finish="tool_calls"), Reply("Done.")
    )
    with connected(gateway) as client:
        send(client, "tools")
        final = client.event("chat", state="final", runId="tools")["payload"]
        streams = [event for event in of_run(client, "agent", "tools") if event["stream"] in ("assistant", "tool")]
        kinds = [event["stream"] for event in streams]
        assert kinds[:4] == ["assistant", "tool", "tool", "assistant"]
        start, result = streams[1]["data"], streams[2]["data"]
        assert (kinds.count("tool"), streams[3]["data"]["text"][:9]) == (2, "I look. \n")
        assert start == {"name": "agents_list", "toolCallId": "call_1", "phase": "start", "args": {}}
        assert (result["phase"], result["isError"]) == ("result", False)
        assert "main" in result["result"]
        assert final["message"]["content"][0]["text"] == "I look. \n\nDone."


def test_arguments_that_nobody_could_read_harm_no_run(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A model that nests them five hundred levels deep is told so, and who listens hears the rest."""
    deep = '{"a":' * 500 + "1" + "}" * 500
    call = ToolCall("call_1", "session_status", deep)
    provider.enqueue(Reply("I try. ", tool_calls=(call,), finish="tool_calls"), Reply("I see."))
    with connected(gateway) as client:
        answer = gateway.chat(user="deep")
        assert answer.text == "I try. \n\nI see."
        client.event("chat", state="final", runId=answer.headers["x-openclaw-run-id"])
        assert "nested too deeply" in provider.requests[-1].body["messages"][-1]["content"]
        history = client.call("chat.history", {"sessionKey": answer.headers["x-openclaw-session-key"]})
        assert [each["role"] for each in history["messages"]] == ["user", "assistant", "toolResult", "assistant"]


def test_the_final_message_is_the_one_of_the_transcript(gateway: Gateway) -> None:
    """So that a client which shows both shows it once."""
    with connected(gateway) as client:
        client.call("sessions.subscribe")
        send(client, "once")
        final = client.event("chat", state="final", runId="once")["payload"]["message"]
        stored = [event["payload"] for event in client.heard("session.message")]
        assert [each["message"]["role"] for each in stored] == ["user", "assistant"]
        assert final["__openclaw"]["id"] == stored[1]["messageId"]
        assert final["__openclaw"]["seq"] == stored[1]["messageSeq"] == 2


def test_thinking_is_told_only_where_it_is_shown(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """The same switch as for HTTP callers."""
    reply = Reply("answer", reasoning=("hm", " so"))
    hidden = start_gateway()
    provider.enqueue(reply)
    with connected(hidden) as client:
        send(client, "quiet")
        client.event("chat", state="final", runId="quiet")
        assert not [event for event in of_run(client, "agent", "quiet") if event["stream"] == "thinking"]
    hidden.write_config(
        {**_config(hidden), "gateway": _with_reasoning(_config(hidden)["gateway"])},
    )
    with connected(hidden) as client:
        client.event("config.changed")
        provider.enqueue(reply)
        send(client, "loud")
        client.event("chat", state="final", runId="loud")
        thought = [event["data"] for event in of_run(client, "agent", "loud") if event["stream"] == "thinking"]
        assert thought[-1]["text"] == "hm so"


def _config(gateway: Gateway) -> Any:
    return json.loads(gateway.config_path.read_text())


def _with_reasoning(section: Any) -> Any:
    return {
        **section,
        "auth": {"mode": "token", "token": TOKEN},
        "http": {"endpoints": {"chatCompletions": {"enabled": True, "reasoning": True}}},
    }


def test_the_run_of_a_client_that_leaves_goes_on(gateway: Gateway, provider: ScriptedProvider) -> None:
    """agent.wait and chat.history find it afterwards."""
    hold = threading.Event()
    provider.enqueue(Reply("slow", " answer", hold=hold, hold_at=1))
    with connected(gateway) as client:
        send(client, "survives")
        client.event("chat", state="delta", runId="survives")
    with connected(gateway) as later:
        assert later.call("agent.wait", {"runId": "survives", "timeoutMs": 1})["status"] == "timeout"
        id = later.begin("agent.wait", {"runId": "survives", "timeoutMs": PATIENT * 1000})
        hold.set()
        outcome = later.answer(id)
        assert outcome["status"] == "ok"
        assert outcome["endedAt"] >= outcome["startedAt"]
        history = later.call("chat.history", {"sessionKey": "feed-survives"})
        assert [message["role"] for message in history["messages"]] == ["user", "assistant"]
        assert history["messages"][1]["content"] == [{"type": "text", "text": "slow answer"}]


def test_an_aborted_queue_place_is_told_too(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A run that waits for its session's turn can be aborted before it began."""
    hold = threading.Event()
    provider.enqueue(Hang())
    with connected(gateway) as client:
        send(client, "first", sessionKey="queue")
        provider.wait_for_request()
        send(client, "second", sessionKey="queue")
        assert client.call("chat.abort", {"sessionKey": "queue", "runId": "second"})["aborted"] is True
        client.event("chat", state="aborted", runId="second")
        assert client.call("chat.abort", {"sessionKey": "queue"})["runIds"] == ["first"]
        client.event("chat", state="aborted", runId="first")
    hold.set()
