"""The parts below the doors, put together once for each process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import Greenlet

from app.agents.runs import Runs
from app.agents.tools.toolbox import Toolbox
from app.concurrency.threads import run_in_thread
from app.config import ConfigWatcher, Environment, LiveSettings, Settings, load
from app.errors import StorageUnavailable
from app.ops import logs
from app.providers.catalogue import Catalogue
from app.providers.local import LocalModel
from app.sessions.database import open_database
from app.sessions.store import SessionStore
from app.web import names

log = logging.getLogger("gateway")

PRUNE_EVERY = 3600.0


def _load(environment: Environment) -> Settings:
    return run_in_thread(lambda: load(environment))


class Services:
    """Settings, sessions, models and runs. ``started``: Unix seconds. environment: what was read at the start.

    Raises StorageError when the database can't be used.
    """

    def __init__(self, environment: Environment, settings: Settings, local_model: LocalModel) -> None:
        self.started = int(time.time())
        names.install()
        self.live = LiveSettings(settings)
        self.local_model = local_model
        self.sessions = SessionStore(open_database(settings.storage_url, check=False))
        self.catalogue = Catalogue(settings, local_model)
        self.toolbox = Toolbox(settings)
        self.runs = Runs(self.live, self.sessions, lambda: self.catalogue, lambda: self.toolbox)
        self.environment = environment
        self._greenlets: list[Greenlet[[], object]] = []
        self._watcher: ConfigWatcher | None = None
        self.live.subscribe(self._apply)

    def start_background(self) -> None:
        """What a serving process does beside its requests: watch the file, warm the model, forget old sessions."""
        watcher = self._watcher = ConfigWatcher(self.environment, self.live.current, self._changed, _load)
        self._spawn(lambda: watcher.run(gevent.sleep))
        self._spawn(self._prune)
        self._warm()
        self.toolbox.start()

    def failing(self) -> list[str]:
        """The names of the parts that keep this process from serving well."""
        failing = []
        if self.runs.draining:
            failing.append("draining")
        if self.catalogue.uses_local() and self.local_model.state() != "ready":
            failing.append("local-model")
        if self.sessions.failing is not None:
            failing.append("storage")
        return failing

    def degraded(self) -> dict[str, Any]:
        """What doesn't keep the gateway from serving, but those who run it want to know."""
        now = time.monotonic()
        aside = self.catalogue.standing.set_aside()
        refused = [str(fault) for fault in self._watcher.refused] if self._watcher is not None else []
        left_out = self.toolbox.refused()
        return {
            **({"configRefused": refused} if refused else {}),
            **({"storage": self.sessions.failing} if self.sessions.failing is not None else {}),
            **({"mcpToolsLeftOut": left_out} if left_out else {}),
            "modelsSetAside": {
                model: {"seconds": round(each.until - now), "reason": each.reason} for model, each in aside.items()
            },
            "mcpServers": self.toolbox.states(),
        }

    def close(self) -> None:
        """Stop the background and close the database; what is queued for it is written first."""
        gevent.killall(self._greenlets)
        self.toolbox.close()
        self.sessions.close()

    def _spawn(self, work: Callable[[], object]) -> None:
        self._greenlets.append(gevent.spawn(work))

    def _changed(self, settings: Settings, needs_restart: tuple[str, ...]) -> None:
        try:
            # What may still fail comes before the new settings are in force.
            catalogue = Catalogue(settings, self.local_model, self.catalogue)
            toolbox = Toolbox(settings, self.toolbox)
        except Exception:
            log.exception("the changed configuration can't be used, the last good one stays")
            return
        self.catalogue, self.toolbox = catalogue, toolbox
        self.live.replace(settings)
        log.info("configuration applied from %s", settings.path)
        for warning in settings.warnings:
            log.warning(warning)
        for key in needs_restart:
            log.warning("%s changed: restart the gateway to apply it", key)

    def _apply(self, settings: Settings) -> None:
        logs.configure(settings)
        self._warm()
        self.toolbox.start()

    def _warm(self) -> None:
        if self.catalogue.uses_local():
            self.local_model.start()

    def _prune(self) -> None:
        while True:
            session = self.live.current.session
            try:
                self.sessions.prune(time.time() - session.prune_after_seconds, session.max_entries)
            except StorageUnavailable as error:
                log.warning("old sessions could not be forgotten: %s", error.message)
            except Exception:
                # The next hour tries again; until then sessions are only more than they should be.
                log.exception("old sessions could not be forgotten")
            gevent.sleep(PRUNE_EVERY)
