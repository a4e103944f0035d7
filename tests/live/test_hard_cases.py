"""What goes wrong with tools, seen from the outside: bad models, bad servers, too much of everything."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.agents.tools.mcp.scene import SCRIPTS
from tests.conftest import StartGateway
from tests.live.gateway import Gateway, wait_until
from tests.live.test_agent_loop import WEATHER, call, calls, results_seen, tools_agent
from tests.scripted import Hang, Reply, ScriptedProvider, Status, ToolCall

CODING: dict[str, Any] = {"tools": {"profile": "coding"}}


def offered(provider: ScriptedProvider, request: int = -1) -> set[str]:
    return {tool["function"]["name"] for tool in provider.requests[request].body["tools"]}


@pytest.mark.parametrize("api", ["openai-completions", "anthropic-messages", "openai-responses"])
def test_a_stream_that_is_cut_in_a_call(start_gateway: StartGateway, provider: ScriptedProvider, api: str) -> None:
    """Half a call is not done: 502, and the tool did nothing."""
    gateway = start_gateway(**tools_agent(api))
    provider.default = Reply(tool_calls=(call("1", "write", path="a", content="b"),), finish="tool_calls", cut=True)
    answer = gateway.chat("go")
    assert (answer.status, answer.error["type"]) == (502, "upstream_error")
    assert not (gateway.state_dir / "workspace" / "a").exists()


def test_a_thousand_calls_at_once(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """As many are done as are allowed, and the model reads that there were more."""
    gateway = start_gateway(**CODING)
    many = [call(f"c{number}", "ls", path=".") for number in range(1000)]
    provider.enqueue(calls(*many), Reply("enough"))
    assert gateway.chat("go").text == "enough"
    seen = results_seen(provider.requests[-1].body)
    assert len(seen) == 64
    assert "936 more calls were not done" in seen["c63"]


def test_a_model_that_never_stops_calling(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """maxTurns ends the run with 200 and the reason length, and the session goes on."""
    gateway = start_gateway(agents={"defaults": {"maxTurns": 3}}, **CODING)
    provider.on(lambda received: calls(call(f"c{len(provider.requests)}", "ls", path=".")))
    answer = gateway.chat("go", user="loop")
    assert (answer.status, answer.json["choices"][0]["finish_reason"]) == (200, "length")
    assert len(provider.requests) == 3
    provider.on(lambda received: Reply("back"))
    assert gateway.chat("still there?", user="loop").text == "back"


def test_ten_megabytes_of_arguments(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """The call is not done, the model is told, and the history stays small."""
    gateway = start_gateway(**CODING)
    fragments = ('{"path": "a", "content": "', *(["x" * 1_000_000] * 10), '"}')
    provider.enqueue(calls(ToolCall("big", "write", *fragments)), Reply("sorry"))
    assert gateway.chat("go", user="big").text == "sorry"
    assert results_seen(provider.requests[-1].body)["big"].startswith("error: ")
    assert len(provider.requests[-1].raw) < 100_000
    assert not (gateway.state_dir / "workspace" / "a").exists()


@pytest.mark.parametrize("arguments", ["{broken", "[1]", '{"path": 5}', "{}"])
def test_bad_arguments(start_gateway: StartGateway, provider: ScriptedProvider, arguments: str) -> None:
    """What doesn't fit the schema never reaches the tool; the model reads why and may try again."""
    gateway = start_gateway(**CODING)
    provider.enqueue(calls(ToolCall("1", "write", arguments)), calls(call("2", "ls", path=".")), Reply("well"))
    assert gateway.chat("go").text == "well"
    seen = results_seen(provider.requests[-1].body)
    assert seen["1"].startswith("error: ")
    assert not seen["2"].startswith("error: ")


def test_a_command_that_prints_without_end(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """It is ended, the model sees a bounded part, and others are answered meanwhile."""
    gateway = start_gateway(**CODING)
    provider.enqueue(calls(call("1", "exec", command="yes")), Reply("stopped"))
    assert gateway.chat("go").text == "stopped"
    assert len(results_seen(provider.requests[-1].body)["1"]) < 60_000


def test_a_command_that_is_not_allowed(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """An allowlist starts its programs and nothing else."""
    gateway = start_gateway(tools={"profile": "coding", "exec": {"security": "allowlist", "safeBins": ["echo"]}})
    provider.enqueue(
        calls(
            call("1", "exec", command="echo hello"),
            call("2", "exec", command="touch made"),
            call("3", "exec", command="echo a; touch made"),
        ),
        Reply("done"),
    )
    gateway.chat("go")
    seen = results_seen(provider.requests[-1].body)
    assert seen["1"].startswith("hello")
    assert seen["2"].startswith("error: denied by policy")
    assert not (gateway.state_dir / "workspace" / "made").exists()


def mcp(*arguments: str, script: str = "useful", **more: Any) -> dict[str, Any]:
    return {
        "servers": {"helper": {"command": sys.executable, "args": [str(SCRIPTS / f"{script}.py"), *arguments], **more}}
    }


def test_tools_of_an_mcp_server(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """They are offered under the server's name, work, and are gone from an agent that is denied them."""
    gateway = start_gateway(
        mcp=mcp(),
        tools={"profile": "coding"},
        agents={
            "list": [
                {"id": "main", "model": "scripted/m"},
                {"id": "beta", "model": "scripted/m", "tools": {"deny": ["group:mcp"]}},
            ]
        },
    )
    gateway.chat("hi")
    names = {name for name in offered(provider) if name.startswith("helper__")}
    assert names
    gateway.chat("hi", model="openclaw:beta")
    assert not {name for name in offered(provider) if name.startswith("helper__")}
    assert gateway.call("/readyz", method="GET").json["mcpServers"] == {"helper": "ready"}


def test_an_mcp_server_that_does_not_start(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Its agents answer without it, and readiness and log say why."""
    gateway = start_gateway(mcp={"servers": {"none": {"command": "no-such-program"}}}, tools={"profile": "coding"})
    assert gateway.chat("hi").status == 200
    assert gateway.call("/readyz", method="GET").json["mcpServers"]["none"].startswith("failed")
    assert "no-such-program" in gateway.log


def test_a_history_that_does_not_fit(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """It becomes a summary, which the next turns begin with; every message stays on record."""
    provider_settings = {"models": [{"id": "m", "contextWindow": 4000}]}
    gateway = start_gateway(models={"providers": {"scripted": provider_settings}})
    for number in range(6):
        provider.enqueue(Reply(f"answer {number} " + "blah " * 400))
    provider.on(
        lambda received: Reply("SUMMED UP") if "You keep the memory" in json.dumps(received.body) else Reply("short")
    )
    for number in range(6):
        assert gateway.chat(f"question {number}", user="long").status == 200
        if any("You keep the memory" in request.raw.decode() for request in provider.requests):
            break
    assert gateway.chat("and now", user="long").status == 200
    last = provider.requests[-1].body["messages"]
    assert "SUMMED UP" in json.dumps(last[0]) or "blah" not in json.dumps(last[0])


def test_an_overflow_is_compacted_once(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A provider whose window overflows is asked again with less; a second overflow is the caller's 400."""
    for number in range(4):
        assert gateway.chat(f"question {number}", user="over").status == 200
    overflow = Status(400, "This model's maximum context length is 10 tokens", kind="context_length_exceeded")
    provider.enqueue(overflow, Reply("SUMMED UP"), Reply("fits now"))
    assert gateway.chat("more", user="over").text == "fits now"
    assert "SUMMED UP" in provider.requests[-1].body["messages"][0]["content"]
    provider.enqueue(overflow, Reply("SHORTER"), overflow)
    answer = gateway.chat("even more", user="over")
    assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")


def test_a_callers_tool_result_that_answers_nothing(gateway: Gateway, provider: ScriptedProvider) -> None:
    """400, with or without a session."""
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "tool", "tool_call_id": "never", "content": "x"},
    ]
    for user in ({}, {"user": "orphan"}):
        answer = gateway.chat(messages=messages, **user)
        assert (answer.status, answer.error["param"]) == (400, "messages")
    assert provider.requests == []


def test_only_the_result_is_sent_to_a_session(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A stored session knows the call: the result alone goes on with it."""
    provider.enqueue(calls(call("c9", "get_weather", city="Bern")), Reply("sunny it is"))
    first = gateway.chat("weather?", user="result", tools=[WEATHER])
    assert first.json["choices"][0]["finish_reason"] == "tool_calls"
    answer = gateway.chat(
        messages=[{"role": "tool", "tool_call_id": "c9", "content": "sunny"}], user="result", tools=[WEATHER]
    )
    assert answer.text == "sunny it is"
    roles = [message["role"] for message in provider.requests[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool"]


def test_a_run_that_hangs_in_its_second_step(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """The deadline is for the whole run, whatever step it is in."""
    gateway = start_gateway(agents={"defaults": {"timeoutSeconds": 2}}, **CODING)
    provider.enqueue(calls(call("1", "ls", path=".")), Hang())
    answer = gateway.chat("go")
    assert (answer.status, answer.error["type"]) == (504, "timeout_error")
    wait_until(lambda: provider.requests[-1].closed.is_set(), "the model was stopped")
