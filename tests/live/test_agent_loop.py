"""Agents with tools of their own and of their callers, over HTTP, with the official SDK, in every provider's format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.conftest import StartGateway
from tests.live.gateway import TOKEN, Gateway, wait_until
from tests.scripted import Reply, ScriptedProvider, Status, ToolCall, Usage

APIS = ("openai-completions", "anthropic-messages", "openai-responses")
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Verdict(BaseModel):
    good: bool
    why: str


def call(id: str, name: str, **arguments: Any) -> ToolCall:
    text = json.dumps(arguments)
    return ToolCall(id, name, text[: len(text) // 2], text[len(text) // 2 :])


def calls(*made: ToolCall, text: str = "") -> Reply:
    return Reply(*([text] if text else []), tool_calls=made, finish="tool_calls", usage=Usage(10, 5))


def tools_agent(api: str, **more: Any) -> dict[str, Any]:
    """Changes to the usual configuration: an agent that may read and write, at a provider that speaks ``api``."""
    return {
        "tools": {"profile": "coding", **more},
        "models": {"providers": {"scripted": {"api": api}}},
    }


@pytest.fixture(params=APIS)
def working(request: pytest.FixtureRequest, start_gateway: StartGateway, provider: ScriptedProvider) -> Gateway:
    """A gateway whose agent has tools, at a provider of each format in turn."""
    return start_gateway(**tools_agent(request.param))


@pytest.fixture
def client(working: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{working.url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


def workspace(gateway: Gateway) -> Path:
    return gateway.state_dir / "workspace"


TEN_STEPS = (
    calls(call("w1", "write", path="a.txt", content="alpha\n"), call("w2", "write", path="b.txt", content="beta\n")),
    calls(call("r1", "read", path="a.txt"), call("r2", "read", path="b.txt"), text="I look."),
    calls(call("e1", "edit", path="a.txt", oldText="alpha", newText="gamma")),
    calls(call("x1", "exec", command="cat a.txt b.txt")),
    calls(call("c1", "get_weather", city="Bern"), text="And the weather?"),
    calls(call("l1", "ls", path=".")),
    calls(call("f1", "find", pattern="*.txt"), call("g1", "grep", pattern="gam", path=".")),
    calls(call("n1", "no_such_tool")),
    calls(call("r3", "read", path="../outside")),
    Reply("All ", "done.", usage=Usage(10, 5)),
)


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("user", [None, "alice"], ids=["stateless", "stored"])
def test_ten_steps_with_a_callers_tool_in_the_middle(
    client: openai.OpenAI, working: Gateway, provider: ScriptedProvider, streamed: bool, user: str | None
) -> None:
    """Ten model calls with tools side by side, a caller's tool and its follow-up: the model sees all of it, once."""
    provider.enqueue(*TEN_STEPS)
    messages: list[Any] = [{"role": "user", "content": "go"}]
    asked: dict[str, Any] = {"model": "openclaw", "tools": [WEATHER], **({"user": user} if user else {})}

    def ask() -> Any:
        if not streamed:
            return client.chat.completions.create(messages=messages, **asked)
        with client.chat.completions.stream(
            messages=messages, stream_options={"include_usage": True}, **asked
        ) as stream:
            return stream.get_final_completion()

    first = ask()
    (choice,) = first.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "I look.\n\nAnd the weather?"
    assert [
        (each.id, each.function.name, json.loads(each.function.arguments)) for each in choice.message.tool_calls
    ] == [("c1", "get_weather", {"city": "Bern"})]
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (50, 25)

    messages += [choice.message, {"role": "tool", "tool_call_id": "c1", "content": "sunny"}]
    second = ask()
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content == "All done."
    assert len(provider.requests) == 10
    seen = results_seen(provider.requests[-1].body)
    assert list(seen) == ["w1", "w2", "r1", "r2", "e1", "x1", "c1", "l1", "f1", "g1", "n1", "r3"]
    assert "alpha" in seen["r1"]
    assert "beta" in seen["r2"]
    assert "gamma\nbeta" in seen["x1"]
    assert seen["c1"] == "sunny"
    assert "a.txt" in seen["l1"]
    assert "a.txt" in seen["f1"]
    assert "gamma" in seen["g1"]
    assert seen["n1"].startswith("error: ")
    assert seen["r3"].startswith("error: ")
    assert (workspace(working) / "a.txt").read_text() == "gamma\n"


def results_seen(body: dict[str, Any]) -> dict[str, str]:
    """Tool results by call id as a provider was sent them, in order, whatever its format."""
    seen: dict[str, str] = {}
    for item in body.get("messages") or body["input"]:
        if item.get("role") == "tool":
            seen[item["tool_call_id"]] = item["content"]
        elif item.get("type") == "function_call_output":
            seen[item["call_id"]] = item["output"]
        elif isinstance(item.get("content"), list):
            for block in item["content"]:
                if block.get("type") == "tool_result":
                    content = block["content"]
                    seen[block["tool_use_id"]] = content if isinstance(content, str) else content[0]["text"]
    return seen


def test_structured_output(client: openai.OpenAI, provider: ScriptedProvider) -> None:
    """The SDK's parse() gets its object, in every provider's format."""
    provider.enqueue(Reply('{"good": true, ', '"why": "tests"}'))
    parsed = client.chat.completions.parse(
        model="openclaw", messages=[{"role": "user", "content": "judge"}], response_format=Verdict
    )
    assert parsed.choices[0].message.parsed == Verdict(good=True, why="tests")
    body = provider.requests[0].body
    sent = json.dumps(
        body.get("response_format") or body.get("output_config") or body.get("output_format") or body.get("text")
    )
    assert '"why"' in sent


def test_a_failing_test_is_fixed(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """A coding agent reads, runs the test, edits, runs it again within the same second, and reports."""
    gateway = start_gateway(**tools_agent("openai-completions"))
    folder = workspace(gateway)
    folder.mkdir(exist_ok=True)
    (folder / "sums.py").write_text("def add(a, b):\n    return a - b\n")
    (folder / "check.py").write_text("from sums import add\nassert add(2, 3) == 5, add(2, 3)\nprint('passed')\n")
    provider.enqueue(
        calls(call("1", "read", path="sums.py"), call("2", "read", path="check.py")),
        calls(call("3", "exec", command="python3 check.py")),
        calls(call("4", "edit", path="sums.py", oldText="a - b", newText="a + b")),
        calls(call("5", "exec", command="python3 check.py")),
        Reply("Fixed."),
    )
    answer = gateway.chat("fix it", user="dev")
    assert answer.text == "Fixed."
    seen = results_seen(provider.requests[-1].body)
    assert "a - b" in seen["1"]
    assert "AssertionError" in seen["3"]
    assert "passed" in seen["5"]
    assert "Traceback" not in seen["5"]


def test_the_next_turn_reads_what_the_model_saw(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """A session's later turn, also after a restart, has the tool calls and results of the one before."""
    gateway = start_gateway(**tools_agent("openai-completions"))
    provider.enqueue(calls(call("1", "ls", path=".")), Reply("Empty."), Reply("As I said."))
    assert gateway.chat("look", user="dev").text == "Empty."
    during = provider.requests[1].body["messages"]
    gateway.kill()
    again = start_gateway(state_dir=gateway.state_dir, **tools_agent("openai-completions"))
    assert again.chat("and now?", user="dev").text == "As I said."
    later = provider.requests[2].body["messages"]
    assert later[1:] == [
        *during[1:],
        {"role": "assistant", "content": "Empty."},
        {"role": "user", "content": "and now?"},
    ]


def test_a_client_that_leaves_ends_the_command(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """A command that ignores SIGTERM ends with its run, and the session is free."""
    gateway = start_gateway(**tools_agent("openai-completions"))
    command = "trap '' TERM; echo $$ > pid; while true; do sleep 0.1; done"
    provider.enqueue(calls(call("1", "exec", command=command)), Reply("free"))
    body = {"model": "openclaw", "user": "dev", "messages": [{"role": "user", "content": "go"}]}
    with gateway.open(body={**body, "stream": True}):
        pid = workspace(gateway) / "pid"
        wait_until(lambda: pid.exists() and pid.read_text().strip(), "the command runs")
    wait_until(lambda: b"trap" not in commands(), "the command is gone")
    assert gateway.call(body=body).text == "free"
    seen = results_seen(provider.requests[-1].body)
    assert seen["1"].startswith("error: ")


def commands() -> bytes:
    """The command lines of all processes."""
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_bytes())
        except OSError:
            continue  # ended meanwhile
    return b"\n".join(line for line in lines if b"pytest" not in line)


def test_the_gateways_secrets_are_not_in_a_commands_environment(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """What a command prints of its environment has no token and no provider's key."""
    gateway = start_gateway(env={"SCRIPTED_API_KEY": "sk-very-secret"}, **tools_agent("openai-completions"))
    provider.enqueue(calls(call("1", "exec", command="env; cat ../openclaw.json")), Reply("done"))
    gateway.chat("go")
    seen = results_seen(provider.requests[-1].body)["1"]
    assert "PATH=" in seen
    assert "sk-very-secret" not in seen


def test_the_policy_decides_what_is_offered(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """An agent is offered what its policy allows and nothing else; the log says which policy a run had."""
    gateway = start_gateway(
        tools={"profile": "coding", "deny": ["exec", "group:web"]},
        agents={
            "list": [
                {"id": "main", "model": "scripted/m"},
                {"id": "beta", "model": "scripted/m", "tools": {"profile": "readonly", "deny": ["group:sessions"]}},
            ]
        },
    )
    gateway.chat("hi")
    run = gateway.chat("hi", model="openclaw:beta").headers["x-openclaw-run-id"]
    offered = [{tool["function"]["name"] for tool in request.body["tools"]} for request in provider.requests]
    assert "write" in offered[0]
    assert not offered[0] & {"exec", "web_fetch"}
    assert offered[1] == {"read", "ls", "find", "grep"}
    wait_until(lambda: f"run {run} agent=beta" in gateway.log, "the run is in the log")
    line = next(line for line in gateway.log.splitlines() if f"run {run} agent=beta" in line)
    assert "tools=readonly:read,ls,find,grep " in line


def test_a_tool_of_the_callers_must_not_have_the_name_of_the_agents(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """A name that would mean two tools is a 400 that says which."""
    gateway = start_gateway(**tools_agent("openai-completions"))
    clash = {"type": "function", "function": {"name": "read"}}
    answer = gateway.chat("hi", tools=[WEATHER, clash])
    assert (answer.status, answer.error["param"]) == (400, "tools[1].function.name")
    assert provider.requests == []


@pytest.mark.parametrize("streamed", [False, True], ids=["json", "stream"])
def test_a_demanded_call_that_does_not_come(gateway: Gateway, provider: ScriptedProvider, streamed: bool) -> None:
    """tool_choice required and an answer in text: 502, and none of the text is shown."""
    provider.enqueue(Reply("I would ", "rather talk."))
    answer = gateway.chat("hi", tools=[WEATHER], tool_choice="required", stream=streamed)
    assert "rather" not in answer.body.decode()
    if answer.status == 200:
        error = json.loads(answer.events[-2])["error"]
    else:
        assert answer.status == 502
        error = answer.error
    assert error["type"] == "api_error"


def test_an_error_after_a_change_must_not_be_sent_again(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """A run that failed after a tool changed something tells SDKs not to retry."""
    gateway = start_gateway(**tools_agent("openai-completions"))
    provider.enqueue(calls(call("1", "write", path="a", content="b")), Status(400, "no more"))
    answer = gateway.chat("go")
    assert answer.status == 400
    assert answer.headers["x-should-retry"] == "false"
