"""One log for the gateway and gunicorn: a line an event on stderr, for people or as JSON, secrets made unreadable.

``tail`` holds the latest of its lines, also those that nobody read on stderr.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
from functools import lru_cache
from typing import Any

import orjson
from gunicorn.glogging import Logger

from app.config import Settings
from app.ops.log_tail import LogTail
from app.ops.redaction import Redaction, secrets_of
from app.readiness import ready_for

LEVELS = {
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

# So that no line of a trace can look like an event.
_INDENT = "    "


class _Formatter(logging.Formatter):
    """``time level logger message``, on one line whatever the message holds, a trace indented below; or all as JSON."""

    def __init__(self, style: str, redact: Redaction) -> None:
        super().__init__()
        self._json = style == "json"
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        message = self._redact(record.getMessage())
        trace = self._redact(self.formatException(record.exc_info)) if record.exc_info else None
        when = f"{_second(int(record.created))}.{int(record.msecs):03d}Z"
        level = record.levelname.lower()
        if self._json:
            entry: dict[str, Any] = {"time": when, "level": level, "logger": record.name, "message": message}
            if trace:
                entry["trace"] = trace
            return _json(entry)
        line = _printable(f"{when} {level:<7} {record.name}: {message}")
        if not trace:
            return line
        return "\n".join([line, *(_INDENT + _printable(part) for part in trace.split("\n"))])


class _Stderr(logging.Handler):
    """Writes lines to stderr, and drops them rather than wait for a reader: the hub would stand still.

    Without a lock: each piece is written in one call, and a lock costs more than the line.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dropped = 0

    def createLock(self) -> None:
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        allowed = bool(self.filter(record))
        if allowed:
            self.emit(record)
        return allowed

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            for line in text.split("\n"):
                tail.append(line)
            if self._dropped and _write(f"({self._dropped} lines of the log were dropped: nobody read them)\n"):
                self._dropped = 0
            if not _write(text + "\n"):
                self._dropped += 1
        except OSError:
            # The reader is gone, and with it whoever could be told.
            self._dropped += 1
        except Exception:
            self.handleError(record)


tail = LogTail()
_handler = _Stderr()

# What records are not asked for: https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def configure(settings: Settings | None) -> None:
    """Log as the settings say; called again after each reload. Without settings, plain lines from ``info`` on."""
    style = settings.logging.console_style if settings else "pretty"
    level = LEVELS[settings.logging.level] if settings else logging.INFO
    redact = Redaction(secrets_of(settings), settings.logging.redact_patterns) if settings else Redaction()
    _handler.setFormatter(_Formatter(style, redact))
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.handlers = [_handler]
    root.setLevel(level)


class GunicornLogger(Logger):  # type: ignore[misc]
    """gunicorn's own messages through the same handler."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers = []
            log.propagate = True
        # gunicorn logs its banner as info; the gateway's level decides what is seen.
        self.error_log.setLevel(logging.NOTSET)


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _printable(text: str) -> str:
    """The text as one line that doesn't tell a terminal what to do, nor shows what is not there."""
    if text.isprintable():
        return text
    return text.translate({ord(each): ascii(each)[1:-1] for each in set(text) if not each.isprintable()})


def _json(entry: dict[str, Any]) -> str:
    try:
        return orjson.dumps(entry).decode()
    except TypeError:
        # The name of a file that is no text: orjson refuses what JSON can say only with an escape.
        return json.dumps(entry)


def _write(text: str) -> bool:
    """Whether stderr took the text. Raises OSError."""
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        # Something that a test or an embedding program put in stderr's place.
        sys.stderr.write(text)
        return True
    data = text.encode("utf-8", "backslashreplace")
    # What a pipe that can take anything takes at once.
    for start in range(0, len(data), select.PIPE_BUF):
        if not ready_for(descriptor, select.POLLOUT):
            return False
        os.write(descriptor, data[start : start + select.PIPE_BUF])
    return True
