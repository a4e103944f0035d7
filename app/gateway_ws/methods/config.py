"""``config.*``: the configuration file, read without its secrets, changed only as a whole that is right.

What is written takes effect as every change of the file does: the gateway watches it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from app.auth import ADMIN, READ
from app.concurrency.threads import run_in_thread
from app.config import (
    EMPTY,
    ConfigError,
    Environment,
    Fault,
    StaleConfig,
    check,
    config_schema,
    hash_of,
    merged,
    read_text,
    redacted,
    restored,
    write,
)
from app.config.syntax import parse
from app.errors import InvalidRequest, Overloaded
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Ignored, Items, Text, params
from app.version import VERSION

# Characters of the file.
MAX_TEXT = 1_000_000
# Faults that are told at once.
MAX_ISSUES = 50
_RAW = Text(MAX_TEXT, required=True, strip=False)
_HASH = Text(128, required=True)

_SET = params(raw=_RAW, baseHash=_HASH)
_APPLY = params(
    raw=_RAW, baseHash=_HASH, sessionKey=Ignored(), deliveryContext=Ignored(), note=Ignored(), restartDelayMs=Ignored()
)
_PATCH = params(
    raw=_RAW,
    baseHash=_HASH,
    replacePaths=Items(Text(required=True), 256),
    sessionKey=Ignored(),
    deliveryContext=Ignored(),
    note=Ignored(),
    restartDelayMs=Ignored(),
)


def _get(call: Call) -> dict[str, Any]:
    return run_in_thread(lambda: _snapshot(call.plane.services.environment))


def _snapshot(environment: Environment) -> dict[str, Any]:
    """The file as it is now; what is wrong with it is told, and then nothing else of it."""
    told: dict[str, Any] = {"path": str(environment.config_path)}
    text = shown = None
    faults: Sequence[Fault] = ()
    warnings: tuple[str, ...] = ()
    try:
        text = read_text(environment)
        if text is not None:
            shown = redacted(text)
            warnings = check(text, environment).warnings
    except ConfigError as error:
        faults = error.faults
    parsed = parse(shown or EMPTY, environment.config_path.name)
    return told | {
        "exists": environment.config_path.exists(),
        "raw": shown,
        "parsed": parsed,
        "config": parsed,
        "hash": hash_of(text),
        "valid": not faults,
        "issues": _issues(faults),
        "warnings": [{"path": "", "message": warning} for warning in warnings],
    }


def _schema(call: Call) -> dict[str, Any]:
    return {"schema": _json_schema(), "uiHints": {}, "version": VERSION, "generatedAt": _today()}


@cache
def _json_schema() -> dict[str, Any]:
    return config_schema()


def _today() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _set(call: Call) -> dict[str, Any]:
    return _write(call, lambda stored: restored(call.params["raw"], stored))


def _patch(call: Call) -> dict[str, Any]:
    def patched(stored: str | None) -> str:
        patch = parse(call.params["raw"], "raw")
        return restored(merged(stored or EMPTY, patch, call.params.get("replacePaths", ())), stored)

    return _write(call, patched)


def _write(call: Call, change: Callable[[str | None], str]) -> dict[str, Any]:
    """Write what ``change`` makes of the file's text. Raises InvalidRequest, Overloaded."""
    environment = call.plane.services.environment

    def work() -> dict[str, Any]:
        write(environment, change(read_text(environment)), call.params["baseHash"])
        return _snapshot(environment)

    try:
        after = run_in_thread(work)
    except ConfigError as error:
        raise InvalidRequest(
            f"invalid config: {error}"[:2000],
            param="raw",
            details={"code": "INVALID_CONFIG", "issues": _issues(error.faults)},
        ) from None
    except StaleConfig as error:
        raise InvalidRequest(f"baseHash: {error}", param="baseHash", details={"code": "STALE_CONFIG"}) from None
    except OSError as error:
        raise Overloaded(f"the configuration can't be written: {error.strerror or error}", retry_after=2) from None
    return {"ok": True, **{name: after[name] for name in ("path", "hash", "config", "warnings")}}


def _issues(faults: Sequence[Fault]) -> list[dict[str, str]]:
    return [{"path": fault.where, "message": fault.what} for fault in faults[:MAX_ISSUES]]


METHODS = (
    Method("config.get", READ, params(), _get),
    Method("config.schema", READ, params(), _schema),
    Method("config.set", ADMIN, _SET, _set),
    Method("config.patch", ADMIN, _PATCH, _patch),
    Method("config.apply", ADMIN, _APPLY, _set),
)
