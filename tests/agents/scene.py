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
from app.agents.turn import Turn
from app.config.live import LiveSettings
from app.config.settings import Agent, Gateway, ModelChoice, Provider, Session, Settings
from app.providers.stream import Began, Completed, Delta, ModelCall, TextDelta, Usage
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


class FakeModel:
    """Stands where the catalogue does. ``default``: what it plays when nothing else is enqueued."""

    def __init__(self) -> None:
        self.calls: list[ModelCall] = []
        self.default: Play = says("Hello", " world")
        self.active = 0
        self.most_active = 0
        self._queue: list[Play] = []

    def enqueue(self, *plays: Play) -> None:
        self._queue.extend(plays)

    def stream(self, _choice: ModelChoice, call: ModelCall) -> Iterator[Delta]:
        self.calls.append(call)
        return self._play(self._queue.pop(0) if self._queue else self.default)

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
        self.runs = Runs(self.live, self.sessions, lambda: self.model)  # type: ignore[arg-type, return-value]

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
