"""Where a value of ``exec`` doesn't count because something narrower does: told, since who wrote it relies on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.config.faults import KeyPath, Report, What, dotted
from app.config.matching import programs
from app.config.narrowing import INTERPRETERS, MODES, Written
from app.config.settings import SECURITIES

# What each value asks for. Of keys that say how much may run, any narrower one around or beside it counts; of the
# others, which only take something away, the same one around it.
_HOW_MUCH: dict[str, Mapping[Any, str]] = {"security": {each: each for each in SECURITIES}, "mode": MODES}
_LESS: dict[str, Mapping[Any, str]] = {
    "ask": {"off": "full", "on-miss": "allowlist", "always": "deny"},
    "host": {"auto": "full", "gateway": "full", "sandbox": "deny", "node": "deny"},
    "strict_inline_eval": {False: "full", True: "allowlist"},
}
_BOUNDS = ("timeout_seconds", "max_memory_bytes", "max_processes")
_WRITTEN = {
    "strict_inline_eval": "strictInlineEval",
    "safe_bins": "safeBins",
    "timeout_seconds": "timeoutSeconds",
    "max_memory_bytes": "maxMemoryBytes",
    "max_processes": "maxProcesses",
}


def tell_overruled(tools: Sequence[Written], report: Report) -> None:
    """Report of the innermost of these sections ``tools`` what doesn't hold; the outermost stands first."""
    *around, own = [Written(each.data.get("exec", {}), (*each.path, "exec")) for each in tools]
    for key, wanted in (_HOW_MUCH | _LESS).items():
        if key in own.data:
            _tell(_narrowest(key, around, own), own, key, wanted[own.data[key]], report)
    for key in _BOUNDS:
        bounds = [(each.data[key], _at(each, key)) for each in around if key in each.data]
        if key in own.data and bounds and (least := min(bounds))[0] < own.data[key]:
            _narrow(_at(own, key), least[1], report)
    for each in around:
        if own.data.get("network") and not each.data.get("network", True):
            _narrow(_at(own, "network"), _at(each, "network"), report)
        listed = each.data.get("safe_bins", () if _is_allowlist(each) and each is around[0] else None)
        if listed is not None and not set(own.data.get("safe_bins", ())) <= set(listed):
            _narrow(_at(own, "safe_bins"), _at(each, "safe_bins"), report)
    _tell_inline([*around, own], report)


def _is_allowlist(section: Written) -> bool:
    return _narrowest("security", (), section)[0] == "allowlist"


def _at(section: Written, key: str) -> KeyPath:
    return (*section.path, _WRITTEN.get(key, key))


def _narrowest(key: str, around: Sequence[Written], own: Written) -> tuple[str, KeyPath]:
    """(what it asks for, its path) of the narrowest that counts besides a key of ``own``."""
    found: list[tuple[str, KeyPath]] = [("full", ())]
    levels = _HOW_MUCH | _LESS
    for section in (*around, own):
        keys = [key] if key in _LESS else [*levels]
        found += [(levels[each][section.data[each]], _at(section, each)) for each in keys if each in section.data]
    return min(found, key=lambda each: SECURITIES.index(each[0]))


def _tell(narrowest: tuple[str, KeyPath], own: Written, key: str, wanted: str, report: Report) -> None:
    security, path = narrowest
    if SECURITIES.index(security) >= SECURITIES.index(wanted):
        return
    if path[:-1] == own.path:  # what stands beside it is told of by itself
        report.note(_at(own, key), What.STRICTER, f"{dotted(path)} is narrower and counts")
    else:
        _narrow(_at(own, key), path, report)


def _narrow(path: KeyPath, by: KeyPath, report: Report) -> None:
    instead = f"{dotted(by)} is narrower and counts"
    report.narrow(path, f"{dotted(path)} is wider than {dotted(by)}, which counts", instead)


def _tell_inline(sections: Sequence[Written], report: Report) -> None:
    """Which of ``safeBins`` don't run because of ``strictInlineEval``, whichever section has either of them."""
    barred = {name.lower() for name in INTERPRETERS}
    for strict in sections:
        if not strict.data.get("strict_inline_eval"):
            continue
        for section in sections:
            if names := [name for name in section.data.get("safe_bins", ()) if programs(name) & barred]:
                by, at = dotted(_at(strict, "strict_inline_eval")), _at(section, "safe_bins")
                said = f"{', '.join(names)} of {dotted(at)} don't run, because of {by}"
                report.narrow(at, said, f"those that run what their arguments say don't run, because of {by}")
