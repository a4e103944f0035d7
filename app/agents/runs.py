"""All runs of this process: how they start, how many there may be, and how they end when the gateway does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.agents.continuations import Continuations
from app.agents.lanes import Lanes, Place
from app.agents.turn import Turn
from app.config import Settings
from app.config.live import LiveSettings
from app.errors import GatewayError, Overloaded, RunCancelled
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
        self._lanes = Lanes()
        self._active: set[Run] = set()
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

    def admit(self, run: Run) -> list[Place]:
        """Called by each run as it begins: its place in the session's lane. ``ended`` is owed from then on.

        Raises Overloaded when the gateway or the session's queue is full, or the gateway drains.
        """
        settings = self._live.current
        if self.draining:
            raise shutting_down()
        if len(self._active) >= settings.gateway.max_runs:
            raise Overloaded(
                f"{len(self._active)} runs are active already (gateway.maxRuns)", retry_after=RETRY_WHEN_FULL
            )
        places = []
        if not run.turn.stateless:
            places.append(self._lanes.join(run.turn.session_key, queue_limit=settings.session.queue_limit))
        self._active.add(run)
        log.debug("run %s begins, session=%s", run.id, run.turn.session_key)
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
        for run in list(self._active):
            run.cancel(why)

    def ended(self, run: Run) -> None:
        """Called by each run, once."""
        self._active.discard(run)
        assert run.ended is not None
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
            (time.time() - run.started) * 1000,
            usage.prompt,
            usage.completion,
            f": {error.message}" if error else "",
        )
