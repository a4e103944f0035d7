import json
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.terminal import Terminal
from tests.live.gateway import Gateway, wait_until
from tests.scripted import Hang, Reply, ScriptedProvider, Status, ToolCall


def say(cli: Cli, key: str, message: str = "hello there", *more: str) -> None:
    assert cli("agent", "--session-key", key, "--message", message, *more).exit_code == 0


def told(cli: Cli, *arguments: str) -> Any:
    result = cli("sessions", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_sessions_are_listed_latest_first(cli: Cli) -> None:
    """A line each: key, title, state, model, age; and how many there are beyond those shown."""
    say(cli, "listed-a")
    say(cli, "listed-b")
    lines = cli("sessions", "list", "--search", "listed-").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["session", "agent:main:listed-b", "agent:main:listed-a"]
    assert "hello there" in lines[1]
    assert "scripted/m" in lines[1]
    result = cli("sessions", "list", "--search", "listed-", "--limit", "1")
    assert result.stdout.splitlines()[-1] == "1 of 2; --limit and --offset show others"
    assert told(cli, "list", "--search", "listed-", "--offset", "1")["sessions"][0]["key"] == "agent:main:listed-a"


def test_a_list_may_be_of_one_agent(cli: Cli) -> None:
    """Others' sessions are left out, and an agent that isn't there is a wrong argument."""
    say(cli, "of-main")
    say(cli, "of-beta", "hi", "--agent", "beta")
    keys = {row["key"] for row in told(cli, "list", "--agent", "beta")["sessions"]}
    assert "agent:beta:of-beta" in keys
    assert "agent:main:of-main" not in keys
    assert cli("sessions", "list", "--agent", "nobody").exit_code == 2


def test_a_session_is_shown(cli: Cli, provider: ScriptedProvider) -> None:
    """Who said what, with its tools, and what is known of it."""
    provider.enqueue(Reply(tool_calls=(ToolCall("c1", "session_status", "{}"),)), Reply("all is well"))
    say(cli, "shown", "how are you")
    out = cli("sessions", "show", "shown").stdout
    assert "session:  agent:main:shown\n" in out
    assert out.index("how are you") < out.index("⏺ session_status {}") < out.index("⎿ ") < out.index("all is well")
    messages = told(cli, "show", "shown")["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "toolResult", "assistant"]


def test_a_turn_that_failed_says_why(cli: Cli, provider: ScriptedProvider) -> None:
    """In the place of its answer, which is no message."""
    provider.enqueue(Status(400, "not like this"))
    assert cli("agent", "--session-key", "failed", "--message", "hello there").exit_code == 1
    out = cli("sessions", "show", "failed").stdout
    assert "messages: 1 of 1\n" in out
    assert "not like this" in out[out.index("failed:", out.index("hello there")) :]


def test_only_the_latest_are_shown(cli: Cli) -> None:
    """--limit bounds the messages."""
    say(cli, "latest-only", "first question")
    say(cli, "latest-only", "second question")
    out = cli("sessions", "show", "latest-only", "--limit", "2").stdout
    assert "second question" in out
    assert "first question" not in out
    assert "messages: 2 of 4\n" in out


def test_a_session_that_is_not_there(cli: Cli) -> None:
    """One line and exit code 1."""
    for arguments in (("show", "nowhere"), ("delete", "nowhere", "--yes")):
        result = cli("sessions", *arguments)
        assert (result.exit_code, result.stderr) == (1, "Error: there is no session agent:main:nowhere\n")


def test_reset_forgets_what_was_said(cli: Cli, provider: ScriptedProvider) -> None:
    """The next turn begins with an empty history."""
    say(cli, "again")
    assert cli("sessions", "reset", "again", "--yes").stdout == "agent:main:again begins anew\n"
    say(cli, "again", "anew")
    assert [message["content"] for message in provider.requests[-1].body["messages"]][1:] == ["anew"]


def test_a_deleted_session_is_gone(cli: Cli) -> None:
    """With --json the protocol's answer is printed."""
    say(cli, "gone")
    assert told(cli, "delete", "gone", "--yes")["deleted"] is True
    assert cli("sessions", "show", "gone").exit_code == 1


def test_nothing_is_deleted_unasked(cli: Cli) -> None:
    """Where nobody can be asked, --yes has to be said: exit code 2, and the session stays."""
    say(cli, "kept")
    result = cli("sessions", "delete", "kept")
    assert (result.exit_code, "--yes" in result.stderr) == (2, True)
    assert cli("sessions", "show", "kept").exit_code == 0


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 1)])
def test_on_a_terminal_it_asks(cli: Cli, gateway: Gateway, answer: str, code: int) -> None:
    """Only yes deletes."""
    say(cli, f"asked-{answer}")
    terminal = Terminal(gateway.state_dir, "sessions", "delete", f"asked-{answer}", "--url", gateway.url)
    terminal.until("[y/N]")
    terminal.type(f"{answer}\r")
    assert terminal.wait_for_end() == code
    terminal.close()
    assert cli("sessions", "show", f"asked-{answer}").exit_code == 1 - code


def test_runs_are_ended(cli: Cli, gateway: Gateway, provider: ScriptedProvider) -> None:
    """abort names what it ended; with nothing to end it says so."""
    provider.enqueue(Hang())
    params = {"sessionKey": "aborted", "message": "hi", "idempotencyKey": "the-run"}
    assert cli("gateway", "call", "chat.send", "--params", json.dumps(params)).exit_code == 0
    received = provider.wait_for_request(1)
    assert cli("sessions", "abort", "aborted").stdout == "ended: the-run\n"
    assert received.closed.wait(5)
    wait_until(lambda: cli("sessions", "abort", "aborted").stdout == "nothing runs in it\n", "the run is gone")
