"""``python -m app agent``, in a process of its own as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.live.gateway import ROOT, config_for
from tests.scripted import Hang, Reply, ScriptedProvider, Status, Usage


@pytest.fixture
def state(tmp_path: Path, provider: ScriptedProvider) -> Path:
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


def test_the_answer_is_printed(state: Path, provider: ScriptedProvider) -> None:
    """The text goes to standard output, nothing to standard error, exit code 0."""
    assert run(state, "--message", "hi") == (0, "Hello world\n", "")
    assert provider.requests[0].body["messages"][-1] == {"role": "user", "content": "hi"}


def test_the_message_may_come_from_standard_input(state: Path, provider: ScriptedProvider) -> None:
    """``--message -`` reads it, so that long texts can be piped in."""
    assert run(state, "--message", "-", said="from a pipe\n")[0] == 0
    assert provider.requests[0].body["messages"][-1]["content"] == "from a pipe\n"


def test_text_streams(state: Path, provider: ScriptedProvider) -> None:
    """What the model said is on the screen while it still speaks."""
    hold = threading.Event()
    provider.enqueue(Reply("first", " second", hold=hold, hold_at=1))
    process = start(state, "--message", "hi")
    assert process.stdout is not None
    assert process.stdout.read(5) == "first"
    hold.set()
    assert process.communicate(timeout=30)[0] == " second\n"


def test_json_is_one_object(state: Path, provider: ScriptedProvider) -> None:
    """--json prints what a script needs: text, session, run, usage."""
    provider.enqueue(Reply("42", usage=Usage(5, 1, cached=2)))
    code, out, _ = run(state, "--message", "hi", "--agent", "beta", "--session-key", "notes", "--json")
    said = json.loads(out)
    assert code == 0
    assert said.pop("runId")
    assert said == {
        "agentId": "beta",
        "sessionKey": "agent:beta:notes",
        "model": "scripted/m",
        "status": "ok",
        "text": "42",
        "finishReason": "stop",
        "usage": {"input": 5, "output": 1, "cacheRead": 2},
        "error": None,
    }


def test_a_session_goes_on_from_call_to_call(state: Path, provider: ScriptedProvider) -> None:
    """With a session key the next call knows the last; without one nothing is kept."""
    run(state, "--message", "one", "--session-key", "s")
    run(state, "--message", "two", "--session-key", "s")
    run(state, "--message", "three")
    said = [[message["content"] for message in request.body["messages"]][1:] for request in provider.requests]
    assert said == [["one"], ["one", "Hello world", "two"], ["three"]]


def test_a_failed_run_is_exit_code_1(state: Path, provider: ScriptedProvider) -> None:
    """The reason is on standard error; with --json it is in the object."""
    provider.default = Status(400, "too long")
    code, out, err = run(state, "--message", "hi")
    assert (code, out, err.splitlines()[-1]) == (1, "", "Error: too long")
    code, out, _ = run(state, "--message", "hi", "--json")
    assert (code, json.loads(out)["error"]["message"]) == (1, "too long")


@pytest.mark.parametrize(
    "arguments",
    [[], ["--message", ""], ["--message", "x", "--agent", "nobody"], ["--message", "x", "--session-key", "cron:x"]],
    ids=["no message", "an empty one", "an unknown agent", "a reserved key"],
)
def test_bad_arguments_are_exit_code_2(state: Path, arguments: list[str]) -> None:
    """Nothing was tried: the usage and what is wrong, on standard error."""
    code, out, err = run(state, *arguments)
    assert (code, out) == (2, "")
    assert "Error:" in err


def test_a_bad_config_is_exit_code_1(state: Path) -> None:
    """Every fault is named, without a traceback."""
    (state / "openclaw.json").write_text('{"gateway": {"port": "x"}, "session": {"queueLimit": -1}}')
    code, _, err = run(state, "--message", "hi")
    assert code == 1
    assert "gateway.port" in err
    assert "session.queueLimit" in err
    assert "Traceback" not in err


def test_ctrl_c_ends_the_run_and_the_model(state: Path, provider: ScriptedProvider) -> None:
    """The provider's connection closes, the exit code is 1, and there is no traceback."""
    provider.enqueue(Hang())
    process = start(state, "--message", "hi")
    received = provider.wait_for_request(1, timeout=20)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "interrupted" in err
    assert "Traceback" not in err
    assert received.closed.wait(1)
