"""All runs of this process: how they start, how many there may be, and how they end when the gateway does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from app.agents.continuations import Continuations
from app.agents.lanes import Lanes, Place
from app.agents.outcomes import Outcomes
from app.agents.turn import Turn
from app.config import Settings
from app.config.live import LiveSettings
from app.errors import Conflict, GatewayError, Overloaded, RunCancelled
from app.providers.catalogue import Catalogue
from app.sessions.store import SessionStore

if TYPE_CHECKING:
    from app.agents.run import Run
    from app.agents.tools.toolbox import Toolbox

log = logging.getLogger("gateway.runs")

# Seconds until a client may ask again when this process is full, and when it is about to be replaced.
RETRY_WHEN_FULL = 2
RETRY_WHEN_DRAINING = 5


def shutting_down() -> Overloaded:
    """What new runs are told while the gateway drains, and those that it ends."""
    return Overloaded("the gateway is shutting down", retry_after=RETRY_WHEN_DRAINING)


class Runs:
    """What every run of this process needs and must respect."""

    def __init__(
        self,
        live: LiveSettings,
        sessions: SessionStore,
        catalogue: Callable[[], Catalogue],
        toolbox: Callable[[], Toolbox],
    ) -> None:
        self.sessions = sessions
        self.continuations = Continuations()
        self._live = live
        self._catalogue = catalogue
        self._toolbox = toolbox
        self.outcomes = Outcomes()
        self._lanes = Lanes()
        self._active: dict[str, Run] = {}
        self._watchers: list[Callable[[Run], object]] = []
        self.draining = False

    @property
    def catalogue(self) -> Catalogue:
        return self._catalogue()

    @property
    def toolbox(self) -> Toolbox:
        return self._toolbox()

    @property
    def settings(self) -> Settings:
        return self._live.current

    def __len__(self) -> int:
        return len(self._active)

    def __iter__(self) -> Iterator[Run]:
        """Those that are active now."""
        return iter(list(self._active.values()))

    def find(self, run_id: str) -> Run | None:
        """The active run of this id."""
        return self._active.get(run_id)

    def of_session(self, key: str) -> list[Run]:
        """The session's active runs, those that wait for their turn too."""
        return [run for run in self if run.turn.session_key == key]

    def watch(self, begins: Callable[[Run], object]) -> None:
        """Call ``begins`` with each later run before it works; ``Run.listen`` tells the rest."""
        self._watchers.append(begins)

    def admit(self, run: Run) -> list[Place]:
        """Called by each run as it begins: its place in the session's lane. ``ended`` is owed from then on.

        Raises Overloaded when the gateway or the session's queue is full, or the gateway drains; Conflict while a run
        of the same id is active; StorageUnavailable for a turn that couldn't be stored.
        """
        settings = self._live.current
        if self.draining:
            raise shutting_down()
        if run.id in self._active:
            raise Conflict(f"a run {run.id!r} is active already")
        if len(self._active) >= settings.gateway.max_runs:
            raise Overloaded(
                f"{len(self._active)} runs are active already (gateway.maxRuns)", retry_after=RETRY_WHEN_FULL
            )
        places = []
        if not run.turn.stateless:
            self.sessions.check()
            places.append(self._lanes.join(run.turn.session_key, queue_limit=settings.session.queue_limit))
        self._active[run.id] = run
        log.debug("run %s begins, session=%s metadata=%s", run.id, run.turn.session_key, run.turn.metadata)
        for begins in self._watchers:
            begins(run)
        return places

    def agent_places(self, turn: Turn) -> list[Place]:
        """The place among the agent's own runs, for a run whose session's turn came."""
        # A run that others wait for must not wait for them in turn.
        if turn.agent.max_concurrent is None or turn.behind:
            return []
        return [self._lanes.join(("agent", turn.agent.id), capacity=turn.agent.max_concurrent)]

    def fresh_since(self) -> float:
        """Unix seconds: a session last used before begins anew (``session.reset.idleMinutes``)."""
        idle = self._live.current.session.idle_minutes
        return time.time() - idle * 60 if idle else 0.0

    def cancel_all(self, why: GatewayError) -> None:
        for run in self:
            run.cancel(why)

    def ended(self, run: Run) -> None:
        """Called by each run, once."""
        del self._active[run.id]
        assert run.ended is not None
        now = time.time()
        self.outcomes.keep(run, now)
        error, usage = run.ended.error, run.ended.usage
        log.log(
            logging.INFO if error is None or isinstance(error, RunCancelled) else logging.WARNING,
            "run %s agent=%s model=%s tools=%s session=%s %s in %.0f ms, usage %d+%d%s",
            run.id,
            run.turn.agent.id,
            run.model,
            run.offer.label if run.offer else "-",
            run.turn.session_key,
            run.ended.finish_reason or "failed",
            (now - run.started) * 1000,
            usage.prompt,
            usage.completion,
            f": {error.message}" if error else "",
        )
