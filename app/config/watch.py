"""Applies changes of the configuration file while the gateway runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from app.config.environment import Environment
from app.config.faults import ConfigError
from app.config.loading import load
from app.config.settings import Settings

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5

Signature = tuple[int, int, int]
OnChange = Callable[[Settings, tuple[str, ...]], None]

_NEED_RESTART: dict[str, Callable[[Settings], object]] = {
    "gateway.port": lambda settings: settings.gateway.port,
    "gateway.bind": lambda settings: settings.gateway.bind,
    "gateway.customBindHost": lambda settings: settings.gateway.custom_bind_host,
    "storage.url": lambda settings: settings.storage_url,
    "cluster.redisUrl": lambda settings: settings.redis_url,
}


class ConfigWatcher:
    """Polls the file and hands each good change on; a bad one is logged and the last good settings stay.

    on_change: called with the new settings and the changed keys that only a restart applies.
    """

    def __init__(self, environment: Environment, settings: Settings, on_change: OnChange) -> None:
        self._environment = environment
        self._settings = settings
        self._on_change = on_change
        self._applied = self._seen = self._signature()
        self._missing = self._applied is None

    def run(self, sleep: Callable[[float], object]) -> None:
        """Check twice a second until ``gateway.reload.mode`` is "off". ``sleep`` takes seconds."""
        while self._settings.gateway.reload_mode != "off":
            sleep(POLL_SECONDS)
            self.check()

    def check(self) -> bool:
        """Look once, and reload a file that has changed and was the same at the last look. True when applied."""
        signature, before = self._signature(), self._seen
        self._seen = signature
        if signature is None:
            if not self._missing:
                log.warning("%s is gone: the last good configuration stays", self._environment.config_path)
            self._missing = True
            return False
        self._missing = False
        if signature == self._applied or signature != before:
            return False
        self._applied = signature
        return self._reload()

    def _reload(self) -> bool:
        try:
            new = load(self._environment)
        except ConfigError as error:
            log.error("the changed configuration is refused, the last good one stays")
            for fault in error.faults:
                log.error("%s", fault)
            return False
        old, self._settings = self._settings, new
        needs_restart = tuple(key for key, read in _NEED_RESTART.items() if read(old) != read(new))
        self._on_change(new, needs_restart)
        return True

    def _signature(self) -> Signature | None:
        try:
            status = os.stat(self._environment.config_path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
