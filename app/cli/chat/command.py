"""The loop of a conversation: what is typed is said, or is a command of the conversation itself."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from app.cli.address import Address, address_options
from app.cli.chat.conversation import Conversation, History
from app.cli.chat.display import Lines, Screen
from app.cli.chat.prompt import Prompt
from app.cli.failures import RequestFailed
from app.cli.screen import plain
from app.cli.transcript import model_of, print_messages, text_of

HELP = """\
/new            begin a new session; the old one stays
/reset          begin this session anew: what was said is no longer known
/session KEY    go to another session
/agent ID       talk to another agent, in its main session
/history        show what was said
/quit           end; so do Ctrl-D, and Ctrl-C twice
A line that ends with \\ goes on in the next one; a paste may have several lines.
// at the beginning says a single slash. Ctrl-C stops an answer."""


class Quit(Exception):
    """The user has said enough."""


@click.command(
    epilog="Examples:\n\n  python -m app chat\n\n  python -m app chat --agent writer --session-key draft\n\n"
    "  printf 'hi\\nand again\\n' | python -m app chat --session-key test"
)
@click.option("--agent", "agent_id", help="Which agent; without it the default agent, or the session key's.")
@click.option("--session-key", default="main", show_default=True, help="Which session.")
@address_options
def chat(agent_id: str | None, session_key: str, address: Address) -> None:
    """Talk to an agent. /help says what there is beside talking.

    Ctrl-C stops an answer, and ends the conversation when pressed twice at the prompt. Without a terminal each line of
    standard input is a message, and answers are plain text.
    """
    prompt = Prompt()
    conversation = Conversation(address, lambda text: click.secho(plain(text), dim=True, err=True))
    try:
        Talk(prompt, conversation).run(session_key, agent_id)
    finally:
        conversation.close()


class Talk:
    def __init__(self, prompt: Prompt, conversation: Conversation) -> None:
        self._prompt = prompt
        self._conversation = conversation
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": lambda _: click.echo(HELP),
            "/new": lambda _: self._enter(f"cli:{os.urandom(4).hex()}", self._agent()),
            "/reset": self._reset,
            "/session": lambda key: self._enter(key or "main"),
            "/agent": lambda agent_id: self._enter("main", agent_id or None),
            "/history": lambda _: print_messages(self._conversation.history()["messages"]),
            "/quit": self._quit,
            "/exit": self._quit,
        }

    def run(self, key: str, agent_id: str | None) -> None:
        self._enter(key, agent_id)
        interrupted = False
        while True:
            try:
                said = self._prompt.read()
            except EOFError:
                break
            except KeyboardInterrupt:
                if interrupted or not self._prompt.on_terminal:
                    break
                interrupted = not self._prompt.holds_text()
                click.echo("\n(Ctrl-C again, Ctrl-D or /quit ends)" if interrupted else "")
                continue
            interrupted = False
            try:
                self._take(said)
            except RequestFailed as error:
                click.secho(f"Error: {plain(error.message)}", fg="red", err=True)
            except KeyboardInterrupt:
                # While the gateway is away: what is said next looks for it again.
                click.echo()
            except Quit:
                return
        if self._prompt.on_terminal:
            click.echo()

    def _take(self, said: str) -> None:
        if not said.strip():
            return
        name, _, rest = said.strip().partition(" ")
        if name.startswith("//"):
            said = said.replace("//", "/", 1)
        elif (command := self._commands.get(name)) is not None:
            command(rest.strip())
            return
        elif name.startswith("/") and "/" not in name[1:]:
            click.echo(f"there is no command {plain(name)}; /help shows them, // says a slash")
            return
        with Screen() if self._prompt.on_terminal else Lines() as display:
            self._conversation.say(said, display)

    def _agent(self) -> str:
        return self._conversation.key.split(":")[1]

    def _enter(self, key: str, agent_id: str | None = None) -> None:
        history = self._conversation.enter(key, agent_id)
        if self._prompt.on_terminal:
            self._prompt.remember(text_of(each) for each in history["messages"] if each["role"] == "user")
            click.secho(_heading(history), dim=True)

    def _reset(self, _: str) -> None:
        self._conversation.reset()
        self._enter(self._conversation.key)

    def _quit(self, _: str) -> None:
        raise Quit


def _heading(history: History) -> str:
    row = history.get("sessionInfo") or history["defaults"]
    parts = [history["sessionKey"], model_of(row) or "no model"]
    if total := history["totalMessages"]:
        parts.append(f"{total} messages so far, /history shows them")
    return plain(" · ".join([*parts, "/help"]))
