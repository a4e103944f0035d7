"""Runs over a real database and a model that says what a test lets it say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gevent
from gevent.event import Event as Gate

from app.agents.events import Ended, Event
from app.agents.run import Run
from app.agents.runs import Runs
from app.agents.tools.policy import Refusal
from app.agents.tools.tool import Tool
from app.agents.tools.toolbox import Offer
from app.agents.turn import Turn
from app.config.live import LiveSettings
from app.config.settings import Agent, Gateway, ModelChoice, Provider, Session, Settings
from app.providers.stream import Began, Completed, Delta, ModelCall, TextDelta, ToolCallDelta, Usage
from app.sessions.database import open_database
from app.sessions.store import SessionStore

PATIENCE = 10.0

MAIN = Agent(id="main", name="main", workspace=Path(), model=ModelChoice("fake/m"))
BETA = replace(MAIN, id="beta", name="beta")
USAGE = Usage(3, 2, 1)

# What a model does, step by step: say a delta, wait at a gate, or fail.
Play = tuple[Delta | Gate | Exception, ...]


def settings(
    *agents: Agent, gateway: Gateway | None = None, session: Session | None = None, providers: tuple[Provider, ...] = ()
) -> Settings:
    chosen = agents or (MAIN, BETA)
    return Settings(
        path=Path("openclaw.json"),
        state_dir=Path(),
        gateway=gateway or Gateway(),
        agents={agent.id: agent for agent in chosen},
        default_agent=chosen[0].id,
        providers={provider.id: provider for provider in providers},
        storage_url="sqlite://",
        session=session or Session(),
    )


def says(*tokens: str, finish: str = "stop") -> Play:
    return (Began(), *map(TextDelta, tokens), Completed(finish, USAGE))


class Wanted(NamedTuple):
    """A tool call that a model makes."""

    id: str
    name: str
    arguments: str = "{}"


def asks(*calls: Wanted, text: str = "", finish: str = "tool_calls") -> Play:
    """A step that says ``text`` and makes ``calls``, each in two parts."""
    deltas: list[Delta] = [TextDelta(text)] if text else []
    for index, call in enumerate(calls):
        half = len(call.arguments) // 2
        deltas.append(ToolCallDelta(index, call.id, call.name, call.arguments[:half]))
        deltas.append(ToolCallDelta(index, arguments=call.arguments[half:]))
    return (Began(), *deltas, Completed(finish, USAGE))


def tool(name: str, work: Callable[..., str] = lambda _run, _arguments: "done", **fields: Any) -> Tool:
    """One of the agent's own."""
    return Tool(name, "", fields.pop("parameters", {"type": "object"}), work, **fields)


def theirs(*names: str) -> list[dict[str, Any]]:
    """Tools of the caller, as a request brings them."""
    return [{"type": "function", "function": {"name": name}} for name in names]


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(content: str | None, *calls: Wanted) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return message


def result(id: str, content: str = "done") -> dict[str, Any]:
    message = {"role": "tool", "tool_call_id": id, "content": content}
    return message | ({"failed": True} if content.startswith("error: ") else {})


class FakeModel:
    """Stands where the catalogue does.

    default: what it plays when nothing else is enqueued. decide: what it plays to a call, before all others; None: as
    without it.
    """

    def __init__(self) -> None:
        self.calls: list[ModelCall] = []
        self.context_window: int | None = None
        self.sees_images = False
        self.default: Play = says("Hello", " world")
        self.decide: Callable[[ModelCall], Play | None] = lambda _call: None
        self.active = 0
        self.most_active = 0
        self._queue: list[Play] = []

    def enqueue(self, *plays: Play) -> None:
        self._queue.extend(plays)

    def window(self, _agent: Agent, _choice: ModelChoice) -> int | None:
        return self.context_window

    def takes_images(self, _choice: ModelChoice) -> bool:
        return self.sees_images

    def stream(self, _choice: ModelChoice, call: ModelCall) -> Iterator[Delta]:
        self.calls.append(call)
        return self._play(self.decide(call) or (self._queue.pop(0) if self._queue else self.default))

    def _play(self, play: Play) -> Iterator[Delta]:
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        try:
            for step in play:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Gate):
                    step.wait()
                else:
                    yield step
        finally:
            self.active -= 1


class FakeToolbox:
    """Stands where the toolbox does: every run is offered ``tools``, and refused ``refusals``."""

    def __init__(self) -> None:
        self.tools: list[Tool] = []
        self.refusals: dict[str, Refusal] = {}

    def offer(self, _turn: Turn) -> Offer:
        wire = [
            {"type": "function", "function": {"name": tool.name, "parameters": tool.parameters}} for tool in self.tools
        ]
        return Offer({tool.name: tool for tool in self.tools}, tuple(wire), "test")

    def withheld(self, _turn: Turn) -> dict[str, Refusal]:
        return self.refusals


class Stored(NamedTuple):
    run_id: str
    status: str
    error: str | None
    messages: list[dict[str, Any]]


class Scene:
    """``runs`` as every door has them; ``stored`` is what the disk holds."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gateway.sqlite3"
        self.model = FakeModel()
        self.live = LiveSettings(settings())
        self.sessions = SessionStore(open_database(f"sqlite:///{self.path}"))
        self.tools = FakeToolbox()
        self.runs = Runs(self.live, self.sessions, lambda: self.model, lambda: self.tools)  # type: ignore[arg-type, return-value]

    def start(self, text: str = "hi", **fields: Any) -> Run:
        """A run in a greenlet of its own, see ``turn``."""
        run = Run(self.runs, turn(text, **fields))
        run.spawn()
        return run

    def answer(self, text: str = "hi", **fields: Any) -> Ended:
        return ended(self.start(text, **fields))

    def stored(self) -> list[Stored]:
        """All turns in the order in which they were written, read through a connection of its own."""
        connection = sqlite3.connect(self.path)
        try:
            turns = connection.execute("SELECT id, run_id, status, error FROM turns ORDER BY id").fetchall()
            bodies = "SELECT body FROM messages WHERE turn = ? ORDER BY position"
            return [
                Stored(run_id, status, error, [json.loads(body) for (body,) in connection.execute(bodies, (id,))])
                for id, run_id, status, error in turns
            ]
        finally:
            connection.close()

    def at_rest(self) -> bool:
        """Nothing runs, waits, or holds a place."""
        return len(self.runs) == 0 and len(self.runs._lanes) == 0 and self.model.active == 0

    def close(self) -> None:
        with gevent.Timeout(PATIENCE):
            self.sessions.close()


def turn(text: str = "hi", *, key: str | None = "agent:main:s", **fields: Any) -> Turn:
    """A turn of one user message; without a key it is stateless."""
    fields = {"agent": MAIN, "messages": [{"role": "user", "content": text}]} | fields
    return Turn(session_key=key or "agent:main:openai:x", stateless=key is None, **fields)


def ended(run: Run) -> Ended:
    """Wait for the end."""
    until(lambda: run.ended)
    assert run.ended is not None
    return run.ended


def events(run: Run) -> list[Event]:
    """All events of a run that is listened to, the last included."""
    seen: list[Event] = []
    with gevent.Timeout(PATIENCE):
        while not seen or not isinstance(seen[-1], Ended):
            if event := run.next_event():
                seen.append(event)
    return seen


def until(condition: Callable[[], object]) -> None:
    """Let other greenlets work until the condition holds."""
    with gevent.Timeout(PATIENCE):
        while not condition():
            gevent.sleep(0.001)
