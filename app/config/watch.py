"""Applies changes of the configuration file while the gateway runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from app.config.environment import Environment
from app.config.faults import ConfigError, Fault
from app.config.loading import load
from app.config.reading import FileState, state_of
from app.config.settings import Settings

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5

Look = dict[Path, FileState]
OnChange = Callable[[Settings, tuple[str, ...]], None]

_NEED_RESTART: dict[str, Callable[[Settings], object]] = {
    "gateway.port": lambda settings: settings.gateway.port,
    "gateway.bind": lambda settings: settings.gateway.bind,
    "gateway.customBindHost": lambda settings: settings.gateway.custom_bind_host,
    "storage.url": lambda settings: settings.storage_url,
    "cluster.redisUrl": lambda settings: settings.redis_url,
}


class ConfigWatcher:
    """Polls the files that the configuration is made of and hands each good change on.

    A bad change is logged and the last good settings stay; so they do without the main file.

    on_change: called with the new settings and the changed keys that only a restart applies. read: as ``load``, which
    takes a second for a large file.
    """

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        on_change: OnChange,
        read: Callable[[Environment], Settings] = load,
    ) -> None:
        self._environment = environment
        self._settings = settings
        self._on_change = on_change
        self._read = read
        self._tried = dict(settings.files) or {environment.config_path: None}
        self._seen: Look = self._tried
        self._missing = False
        # What is wrong with the files as they are, while earlier settings stay in force.
        self.refused: tuple[Fault, ...] = ()

    def run(self, sleep: Callable[[float], object]) -> None:
        """Check twice a second until ``gateway.reload.mode`` is "off". ``sleep`` takes seconds."""
        while self._settings.gateway.reload_mode != "off":
            sleep(POLL_SECONDS)
            self.check()

    def check(self) -> bool:
        """Look once, and reload when files have changed and were the same at the last look. True when applied."""
        path = self._environment.config_path
        seen, before = {file: state_of(file) for file in (path, *self._tried)}, self._seen
        self._seen = seen
        if seen[path] is None and self._settings.files.get(path) is not None:
            if not self._missing:
                log.warning("%s is gone: the last good configuration stays", path)
            self._missing = True
            return False
        self._missing = False
        if seen == self._tried or seen != before:
            return False
        return self._reload()

    def _reload(self) -> bool:
        try:
            new = self._read(self._environment)
        except ConfigError as error:
            # Whatever the last good load or this one has looked at may mend it.
            self._tried = {file: self._seen.get(file) for file in self._settings.files} | dict(error.files)
            self.refused = error.faults
            log.error("the changed configuration is refused, the last good one stays")
            for fault in error.faults:
                log.error("%s", fault)
            return False
        old, self._settings = self._settings, new
        self._tried, self.refused = dict(new.files), ()
        needs_restart = tuple(key for key, read in _NEED_RESTART.items() if read(old) != read(new))
        self._on_change(new, needs_restart)
        return True
