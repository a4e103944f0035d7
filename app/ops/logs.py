"""One log for the gateway and gunicorn: a line an event on stderr, for people or as JSON, secrets made unreadable."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from functools import lru_cache
from typing import Any

import orjson
from gunicorn.glogging import Logger

from app.config import Settings

LEVELS = {
    "silent": logging.CRITICAL + 1,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}

# What looks like a credential wherever it stands, whoever wrote it into a message.
_SECRETS = re.compile(
    r"(?P<named>(?<![a-z0-9])(?:api[_-]?key|token|password|secret|authorization)[\"']?\s*[=:]\s*[\"']?"
    r"(?:(?:bearer|basic)\s+)?)[^\s'\",&}]+"
    r"|(?P<bearer>\bbearer\s+)[^\s'\",]+"
    r"|\b(?:sk|pk|rk|xox[abp]|gh[pousr]|key)[-_][a-z0-9_-]{16,}"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)",
    re.IGNORECASE,
)
REDACTED = "***"
# Without one of these there is nothing for the expression to find; looking for them costs a tenth of it.
_SIGNS = (
    "bearer",
    "sk-",
    "sk_",
    "pk-",
    "pk_",
    "rk-",
    "rk_",
    "xox",
    "gh",
    "key",
    "token",
    "passw",
    "secret",
    "auth",
    "@",
)
# Shorter ones are words of ordinary text.
MIN_SECRET = 6

# A line stays a line, and a terminal is not told what to do.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {10: "\\n", 13: "\\r", 9: "\t"}


class Redaction:
    """Takes the configured secrets, and whatever looks like one, out of text."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        # The longest first: one may be part of another.
        self._known = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, REDACTED)
        small = text.lower()
        return _SECRETS.sub(_keep_label, text) if any(sign in small for sign in _SIGNS) else text


class _Formatter(logging.Formatter):
    """``time level logger message``, on one line whatever the message holds; or the same as JSON."""

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
        line = f"{when} {level:<7} {record.name}: {message}"
        if not line.isprintable():
            line = line.translate(_CONTROL)
        return f"{line}\n{trace}" if trace else line


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class _Stderr(logging.Handler):
    """Writes a line with one call. Without a lock: stderr is line-buffered, and a lock costs more than the line."""

    def createLock(self) -> None:
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        allowed = bool(self.filter(record))
        if allowed:
            self.emit(record)
        return allowed

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except Exception:
            self.handleError(record)


_handler = _Stderr()

# What records are not asked for: https://docs.python.org/3/howto/logging.html#optimization
logging._srcfile = None
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _json(entry: dict[str, Any]) -> str:
    try:
        return orjson.dumps(entry).decode()
    except TypeError:
        # The name of a file that is no text: orjson refuses what JSON can say only with an escape.
        return json.dumps(entry)


def configure(settings: Settings | None) -> None:
    """Log as the settings say; called again after each reload. Without settings, plain lines from ``info`` on."""
    style = settings.logging.console_style if settings else "pretty"
    level = LEVELS[settings.logging.level] if settings else logging.INFO
    _handler.setFormatter(_Formatter(style, Redaction(_secrets(settings) if settings else ())))
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


def _secrets(settings: Settings) -> tuple[str, ...]:
    auth = settings.gateway.auth
    found = [auth.token, auth.password]
    for provider in settings.providers.values():
        found += [provider.api_key, *provider.headers.values()]
    for server in settings.mcp_servers.values():
        found += [*server.env.values(), *server.headers.values()]
    return tuple(secret for secret in found if secret)


def _keep_label(match: re.Match[str]) -> str:
    return next((label for label in match.groupdict().values() if label), "") + REDACTED
