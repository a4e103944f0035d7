"""The settings in force, for parts that outlive a reload."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.config.settings import Settings

log = logging.getLogger(__name__)


class LiveSettings:
    """Holds ``current``; a reload replaces it whole, so read it once for each piece of work."""

    def __init__(self, settings: Settings) -> None:
        self.current = settings
        self._subscribers: list[Callable[[Settings], None]] = []

    def subscribe(self, told: Callable[[Settings], None]) -> None:
        """Call ``told`` with each later settings, in the order of subscription."""
        self._subscribers.append(told)

    def replace(self, settings: Settings) -> None:
        """Put ``settings`` in force. A subscriber that fails is logged and doesn't keep the others from knowing."""
        self.current = settings
        for told in tuple(self._subscribers):
            try:
                told(settings)
            except Exception:
                log.exception("a part could not take the new configuration")
