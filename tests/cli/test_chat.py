"""``python -m app chat``, on a terminal and without one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.cli.conftest import Cli
from tests.cli.terminal import CTRL_D, Terminal
from tests.conftest import StartGateway
from tests.live.gateway import Gateway
from tests.scripted import Hang, Reply, ScriptedProvider, Status, ToolCall

Open = Callable[..., Terminal]


@pytest.fixture
def open_chat() -> Iterator[Open]:
    opened: list[Terminal] = []

    def open(gateway: Gateway, key: str) -> Terminal:
        terminal = Terminal(gateway.state_dir, "chat", "--session-key", key, "--url", gateway.url)
        opened.append(terminal)
        terminal.until("> ")
        return terminal

    yield open
    for terminal in opened:
        terminal.close()


def said(provider: ScriptedProvider, number: int = -1) -> str:
    content: str = provider.requests[number].body["messages"][-1]["content"]
    return content


def test_an_answer_is_on_the_screen_while_it_comes(
    gateway: Gateway, provider: ScriptedProvider, open_chat: Open
) -> None:
    """Text shows before the model is at its end, as Markdown."""
    hold = threading.Event()
    provider.enqueue(Reply("some **bold** text", "\n\nthe end", hold=hold, hold_at=1))
    terminal = open_chat(gateway, "chat-streams")
    terminal.type("hello\r")
    terminal.until("\x1b[1mbold\x1b[0m")
    hold.set()
    terminal.until("the end")
    terminal.until("> ")
    assert said(provider) == "hello"


def test_ctrl_c_stops_the_answer_and_not_the_program(
    gateway: Gateway, provider: ScriptedProvider, open_chat: Open
) -> None:
    """The model stops, too, and the next message is answered."""
    provider.enqueue(Reply("endless", " text", hold=threading.Event(), hold_at=1))
    terminal = open_chat(gateway, "chat-stops")
    terminal.type("go\r")
    terminal.until("endless")
    terminal.interrupt()
    terminal.until("stopped")
    assert provider.requests[0].closed.wait(5)
    terminal.until("> ")
    terminal.type("again\r")
    terminal.until("Hello world")


@pytest.mark.parametrize("keys", [CTRL_D, "/quit\r"], ids=["ctrl-d", "quit"])
def test_it_ends(gateway: Gateway, open_chat: Open, keys: str) -> None:
    """Exit code 0."""
    terminal = open_chat(gateway, "chat-ends")
    terminal.type(keys)
    assert terminal.wait_for_end() == 0


def test_ctrl_c_twice_ends_it(gateway: Gateway, open_chat: Open) -> None:
    """The first one says what a second one does."""
    terminal = open_chat(gateway, "chat-ends")
    terminal.interrupt()
    terminal.until("Ctrl-C again")
    terminal.until("> ")
    terminal.interrupt()
    assert terminal.wait_for_end() == 0


def test_ctrl_c_throws_away_what_was_typed(gateway: Gateway, provider: ScriptedProvider, open_chat: Open) -> None:
    """That one doesn't count towards the end."""
    terminal = open_chat(gateway, "chat-typed")
    for _ in range(2):
        terminal.type("not meant")
        terminal.until("not meant")
        terminal.interrupt()
        terminal.until("> ")
    terminal.type("meant\r")
    terminal.until("Hello world")
    assert said(provider) == "meant"


def test_a_message_may_have_lines(gateway: Gateway, provider: ScriptedProvider, open_chat: Open) -> None:
    """A backslash goes on in the next line, and a paste is one message."""
    terminal = open_chat(gateway, "chat-lines")
    terminal.type("one\\\r")
    terminal.until(". ")
    terminal.type("two\r")
    terminal.until("Hello world")
    terminal.until("> ")
    terminal.type("\x1b[200~three\nfour\x1b[201~\r")
    terminal.until("Hello world")
    assert [said(provider, number) for number in (0, 1)] == ["one\ntwo", "three\nfour"]


def test_arrow_keys_bring_back_what_the_session_was_asked(
    gateway: Gateway, provider: ScriptedProvider, open_chat: Open, cli: Cli
) -> None:
    """Input history is that of the session, from other programs, too."""
    assert cli("agent", "--session-key", "chat-arrows", "--message", "from before").exit_code == 0
    terminal = open_chat(gateway, "chat-arrows")
    terminal.type("\x1b[A")
    terminal.until("from before")
    terminal.type("\r")
    terminal.until("Hello world")
    assert said(provider) == "from before"


def test_tools_are_a_line_each(gateway: Gateway, provider: ScriptedProvider, open_chat: Open) -> None:
    """Name and arguments, on the screen before the answer."""
    provider.enqueue(Reply(tool_calls=(ToolCall("c1", "session_status", "{}"),)), Reply("all is well"))
    terminal = open_chat(gateway, "chat-tools")
    terminal.type("how are you\r")
    terminal.until("⏺ session_status {}")
    terminal.until("all is well")


def test_a_model_does_not_rule_the_terminal(gateway: Gateway, provider: ScriptedProvider, open_chat: Open) -> None:
    """Escape sequences in its text do nothing."""
    provider.enqueue(Reply("be\x1b]0;owned\x07fore\x1b[2J \u202eafter"))
    terminal = open_chat(gateway, "chat-escapes")
    terminal.type("hi\r")
    terminal.until("after")
    terminal.until("> ")
    assert "be]0;ownedfore[2J after" in terminal.text
    assert [trick for trick in ("\x1b]", "\x07", "\x1b[2J", "\u202e") if trick in terminal.out] == []


def test_a_restart_of_the_gateway_is_survived(
    provider: ScriptedProvider, start_gateway: StartGateway, open_chat: Open
) -> None:
    """The conversation goes on in the same session with what was said before."""
    first = start_gateway()
    terminal = open_chat(first, "notes")
    terminal.type("before\r")
    terminal.until("Hello world")
    terminal.until("> ")
    first.stop()
    start_gateway("--bind", f"127.0.0.1:{first.port}", state_dir=first.state_dir)
    terminal.type("after\r")
    terminal.until("connected again")
    terminal.until("Hello world")
    asked = [message["content"] for message in provider.requests[-1].body["messages"] if message["role"] == "user"]
    assert asked == ["before", "after"]


def test_an_answer_that_was_cut_off_is_told(
    provider: ScriptedProvider, start_gateway: StartGateway, open_chat: Open
) -> None:
    """A gateway that died in the middle is waited for; what was begun is not quietly begun again."""
    provider.enqueue(Reply("half of", " it", hold=threading.Event(), hold_at=1))
    first = start_gateway()
    terminal = open_chat(first, "notes")
    terminal.type("tell me\r")
    terminal.until("half of")
    first.kill()
    start_gateway("--bind", f"127.0.0.1:{first.port}", state_dir=first.state_dir)
    terminal.until("before the answer was complete")
    terminal.until("> ")
    assert len(provider.requests) == 1


def test_without_a_terminal_it_is_lines(cli: Cli, provider: ScriptedProvider) -> None:
    """Each line is a message; answers come as they were written."""
    provider.enqueue(Reply("# One"), Reply("**Two**"))
    result = cli("chat", "--session-key", "chat-plain", said="first\nsecond \\\nhalf\n")
    assert (result.exit_code, result.stdout) == (0, "# One\n**Two**\n")
    assert said(provider) == "second \nhalf"


def test_a_failed_answer_does_not_end_it(cli: Cli, provider: ScriptedProvider) -> None:
    """The reason goes to standard error."""
    provider.enqueue(Status(400, "too long"), Reply("fine"))
    result = cli("chat", "--session-key", "chat-fails", said="one\ntwo\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "fine\n", "Error: too long\n")


def test_commands_of_the_conversation(cli: Cli, provider: ScriptedProvider) -> None:
    """/agent and /session go elsewhere, /new begins elsewhere, /reset begins here anew, // says a slash."""
    # Other tests speak there, too.
    assert cli("sessions", "reset", "agent:beta:main", "--yes").exit_code == 0
    lines = ["a", "/session chat-other", "b", "/agent beta", "c", "/new", "d", "e", "/reset", "f", "//g", "/quit", "no"]
    result = cli("chat", "--session-key", "chat-commands", said="\n".join(lines))
    assert result.exit_code == 0, result.output
    asked = [
        [message["content"] for message in request.body["messages"] if message["role"] == "user"]
        for request in provider.requests
    ]
    assert asked == [["a"], ["b"], ["c"], ["d"], ["d", "e"], ["f"], ["f", "/g"]]
    sessions = {row["key"] for row in json.loads(cli("sessions", "list", "--json").stdout)["sessions"]}
    assert {"agent:main:chat-commands", "agent:main:chat-other", "agent:beta:main"} <= sessions
    assert any(key.startswith("agent:beta:cli:") for key in sessions)


def test_mistakes_in_commands_are_told(cli: Cli) -> None:
    """An unknown command and an unknown agent; the conversation stays where it was."""
    result = cli("chat", "--session-key", "chat-mistakes", said="/what\n/agent nobody\nhi\n/history\n")
    assert "there is no command /what" in result.stdout
    assert "unknown agent 'nobody'" in result.stderr
    assert result.stdout.count("Hello world") == 2


def test_an_unknown_agent_is_exit_code_2(cli: Cli) -> None:
    """There is nothing to begin with."""
    assert cli("chat", "--agent", "nobody", said="hi\n").exit_code == 2


def test_help_is_short(cli: Cli, provider: ScriptedProvider) -> None:
    """/help names every command, and asks no model."""
    result = cli("chat", "--session-key", "chat-help", said="/help\n")
    assert all(name in result.stdout for name in ("/new", "/reset", "/session KEY", "/agent ID", "/history", "/quit"))
    assert provider.requests == []


def test_ctrl_c_reaches_a_silent_model(gateway: Gateway, provider: ScriptedProvider, open_chat: Open) -> None:
    """A model that says nothing is stopped like any other."""
    provider.enqueue(Hang())
    terminal = open_chat(gateway, "chat-silent")
    terminal.type("hello\r")
    provider.wait_for_request(1, timeout=20)
    terminal.interrupt()
    terminal.until("stopped")
    assert provider.requests[0].closed.wait(5)
