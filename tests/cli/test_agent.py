"""``python -m app agent``: through a running gateway, or in a process of its own with ``--local``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.live.gateway import ROOT, Gateway, config_for
from tests.scripted import Hang, RawHttp, Reply, ScriptedProvider, Status, Usage
from tests.wire.case import chat

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def state(tmp_path: Path, provider: ScriptedProvider) -> Path:
    """A configuration, and no gateway."""
    config = tmp_path / "openclaw.json"
    config.touch(mode=0o600)
    config.write_text(json.dumps(config_for(provider.base_url)))
    return tmp_path


def start(state: Path, *arguments: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}
    return subprocess.Popen(
        [sys.executable, "-m", "app", "agent", *arguments],
        cwd=ROOT,
        env={**clean, "OPENCLAW_STATE_DIR": str(state)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(state: Path, *arguments: str, said: str = "") -> tuple[int, str, str]:
    process = start(state, *arguments)
    out, err = process.communicate(said, timeout=30)
    return process.returncode, out, err


@pytest.fixture(params=["gateway", "local"])
def begin(request: pytest.FixtureRequest, provider: ScriptedProvider) -> Iterator[Start]:
    """Starts the command in a process of its own, in each of the two ways."""
    if request.param == "local":
        state: Path = request.getfixturevalue("state")
        yield lambda *arguments: start(state, *arguments, "--local")
    else:
        gateway: Gateway = request.getfixturevalue("gateway")
        yield lambda *arguments: start(gateway.state_dir, *arguments, "--url", gateway.url)


def ended(process: subprocess.Popen[str], said: str = "") -> tuple[int, str, str]:
    out, err = process.communicate(said, timeout=30)
    return process.returncode, out, err


# Both ways.


def test_the_answer_is_printed(begin: Start, provider: ScriptedProvider) -> None:
    """The text goes to standard output, nothing to standard error, exit code 0."""
    assert ended(begin("--message", "hi")) == (0, "Hello world\n", "")
    assert provider.requests[0].body["messages"][-1] == {"role": "user", "content": "hi"}


def test_the_message_may_come_from_standard_input(begin: Start, provider: ScriptedProvider) -> None:
    """``--message -`` reads it, so that long texts can be piped in."""
    assert ended(begin("--message", "-"), said="from a pipe\n")[0] == 0
    assert provider.requests[0].body["messages"][-1]["content"] == "from a pipe\n"


def test_text_streams(begin: Start, provider: ScriptedProvider) -> None:
    """What the model said is on the screen while it still speaks."""
    hold = threading.Event()
    provider.enqueue(Reply("first", " second", hold=hold, hold_at=1))
    process = begin("--message", "hi")
    assert process.stdout is not None
    assert process.stdout.read(5) == "first"
    hold.set()
    assert process.communicate(timeout=30)[0] == " second\n"


def test_json_is_one_object(begin: Start, provider: ScriptedProvider) -> None:
    """--json prints what a script needs: text, session, run, usage."""
    provider.enqueue(Reply("42", usage=Usage(5, 1, cached=2)))
    code, out, _ = ended(begin("--message", "hi", "--agent", "beta", "--session-key", "agent-json", "--json"))
    said = json.loads(out)
    assert code == 0
    assert said.pop("runId")
    assert said == {
        "agentId": "beta",
        "sessionKey": "agent:beta:agent-json",
        "model": "scripted/m",
        "status": "ok",
        "text": "42",
        "finishReason": "stop",
        "usage": {"input": 3, "output": 1, "cacheRead": 2},
        "error": None,
    }


def test_a_session_goes_on_from_call_to_call(begin: Start, provider: ScriptedProvider) -> None:
    """With a session key the next call knows the last; without one nothing is kept."""
    ended(begin("--message", "one", "--session-key", "agent-on"))
    ended(begin("--message", "two", "--session-key", "agent-on"))
    ended(begin("--message", "three"))
    said = [[message["content"] for message in request.body["messages"]][1:] for request in provider.requests]
    assert said == [["one"], ["one", "Hello world", "two"], ["three"]]


def test_a_failed_run_is_exit_code_1(begin: Start, provider: ScriptedProvider) -> None:
    """The reason is on standard error; with --json it is in the object."""
    provider.default = Status(400, "too long")
    code, out, err = ended(begin("--message", "hi"))
    assert (code, out, err.splitlines()[-1]) == (1, "", "Error: too long")
    code, out, _ = ended(begin("--message", "hi", "--json"))
    error = json.loads(out)["error"]
    assert (code, error["message"], error["type"]) == (1, "too long", "invalid_request_error")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--message", ""],
        ["--message", "x", "--agent", "nobody"],
        ["--message", "x", "--session-key", "cron:x"],
        ["--message", "x", "--thinking", "a lot"],
        ["--message", "x", "--timeout", "0"],
    ],
    ids=["no message", "an empty one", "an unknown agent", "a reserved key", "no level", "no time"],
)
def test_bad_arguments_are_exit_code_2(begin: Start, provider: ScriptedProvider, arguments: list[str]) -> None:
    """Nothing was tried: what is wrong is on standard error."""
    code, out, err = ended(begin(*arguments))
    assert (code, out) == (2, "")
    assert "Error:" in err
    assert provider.requests == []


def test_a_run_may_have_less_time(begin: Start, provider: ScriptedProvider) -> None:
    """--timeout ends it, as a failure."""
    provider.enqueue(Hang())
    code, _, err = ended(begin("--message", "hi", "--timeout", "1"))
    assert (code, "1 s" in err) == (1, True), err
    assert provider.requests[0].closed.wait(5)


def test_ctrl_c_ends_the_run_and_the_model(begin: Start, provider: ScriptedProvider) -> None:
    """The provider's connection closes, the exit code is 1, and there is no traceback."""
    provider.enqueue(Hang())
    process = begin("--message", "hi")
    received = provider.wait_for_request(1, timeout=20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "Error: " in err
    assert "Traceback" not in err
    assert received.closed.wait(5)


# Through a gateway.


def test_without_a_key_no_session_is_left(cli: Cli, provider: ScriptedProvider) -> None:
    """Whether the run was answered or failed."""
    provider.enqueue(Reply("fine"), Status(400, "bad"))
    keys = [json.loads(cli("agent", "--message", "hi", "--json").stdout)["sessionKey"] for _ in range(2)]
    rows = json.loads(cli("sessions", "list", "--limit", "500", "--json").stdout)["sessions"]
    assert len(set(keys)) == 2
    assert not {row["key"] for row in rows} & set(keys)


def test_no_gateway_is_exit_code_3(state: Path) -> None:
    """The hint names what can be done: start one, or --local."""
    config = config_for("http://127.0.0.1:1/v1", gateway={"port": 1})
    (state / "openclaw.json").write_text(json.dumps(config))
    code, out, err = run(state, "--message", "hi")
    assert (code, out) == (3, "")
    assert err.startswith("Error: no gateway at ws://127.0.0.1:1: connection refused; ")
    assert "make run" in err
    assert "--local" in err
    assert len(err.splitlines()) == 1


def test_an_answer_is_left_as_it_is_in_a_file(cli: Cli, provider: ScriptedProvider) -> None:
    """Only a terminal is protected from what text may order it to do."""
    provider.enqueue(Reply("a\x1b[1mb"))
    assert cli("agent", "--message", "hi").stdout == "a\x1b[1mb\n"


# In this process.


def test_local_needs_no_gateway(state: Path) -> None:
    """Options that name one make no sense beside it."""
    code, _, err = run(state, "--message", "hi", "--local", "--url", "ws://127.0.0.1:1")
    assert (code, "--local needs no gateway" in err) == (2, True)


@pytest.mark.parametrize("way", [(), ("--local",)], ids=["gateway", "local"])
def test_a_bad_config_is_exit_code_1(state: Path, way: tuple[str, ...]) -> None:
    """Every fault is named, without a traceback."""
    (state / "openclaw.json").write_text('{"gateway": {"port": "x"}, "session": {"queueLimit": -1}}')
    code, _, err = run(state, "--message", "hi", *way)
    assert code == 1
    assert "gateway.port" in err
    assert "session.queueLimit" in err
    assert "Traceback" not in err


def test_thinking_reaches_a_model_that_thinks(tmp_path: Path, provider: ScriptedProvider) -> None:
    """As the reasoning effort; other models are not asked for what they don't know."""
    config = config_for(
        provider.base_url,
        models={"providers": {"scripted": {"models": [{"id": "m", "reasoning": True}, {"id": "plain"}]}}},
        agents={"list": [{"id": "main", "model": "scripted/m"}, {"id": "beta", "model": "scripted/plain"}]},
    )
    (tmp_path / "openclaw.json").write_text(json.dumps(config))
    for agent in ("main", "beta"):
        assert run(tmp_path, "--message", "hi", "--agent", agent, "--thinking", "high", "--local")[0] == 0
    assert [request.body.get("reasoning_effort") for request in provider.requests] == ["high", None]


def test_a_refusal_is_an_answer(begin: Start, provider: ScriptedProvider) -> None:
    """It is printed as any other, not as nothing."""
    provider.enqueue(RawHttp(chat({"refusal": "I can't do that."})))
    out, _ = begin("-m", "hi").communicate(timeout=30)
    assert out.strip() == "I can't do that."
