"""Which keys of a file are ours, which are OpenClaw's alone, and which nobody knows."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from app.config.faults import KeyPath, Report, What

Tree = dict[str, "Tree"]

# Sections of before the first of those releases. What is read of them is moved before: see ``migrations``.
_OLDER = (
    *("agent", "routing", "identity", "memorySearch", "heartbeat"),
    *("whatsapp", "telegram", "discord", "slack", "signal", "imessage", "msteams"),
)
# Keys whose sections have no use here, wherever they stand.
_NEUTRAL_SECTIONS = frozenset({"$schema", "meta", "wizard"})
# Values of keys that say what is so anyway.
_NEUTRAL: Mapping[KeyPath, str] = MappingProxyType(
    {("gateway", "mode"): "local", ("models", "mode"): "merge", ("gateway", "tailscale", "mode"): "off"}
)
# What people write that no version had, and where it belongs.
_MEANT: Mapping[KeyPath, str] = MappingProxyType(
    {
        ("providers",): "models.providers",
        ("version",): "meta.lastTouchedVersion",
        ("model",): "agents.defaults.model",
        ("models", "default"): "agents.defaults.model",
        ("gateway", "cors"): "gateway.http.cors",
        ("permissions",): "tools",
        ("exec",): "tools.exec",
        ("sandbox",): "agents.defaults.sandbox",
    }
)


@cache
def openclaw_keys() -> Tree:
    """``openclaw_keys.txt`` as a tree: one key a line, a space of indent a level, ``*`` any name, ``[]`` any entry.

    A key without keys below it may hold anything.
    """
    root: Tree = {name: {} for name in _OLDER}
    branch = [root]
    for line in files(__package__).joinpath("openclaw_keys.txt").read_text("utf-8").splitlines():
        key = line.lstrip(" ")
        if key and not key.startswith("#"):
            depth = len(line) - len(key)
            branch[depth + 1 :] = [branch[depth].setdefault(key, {})]
    # Older files list their agents; an entry has the same keys in both forms.
    root["agents"]["list"] = {"[]": root["agents"]["entries"]["*"]}
    return root


def keep_known(document: dict[str, Any], schema: Schema, report: Report) -> dict[str, Any]:
    """The document without the keys that ``schema`` lacks: each is reported, as ignored or as a fault."""
    kept = _section(document, schema, openclaw_keys(), (), report)
    return kept if isinstance(kept, dict) else {}


def _section(value: Any, schema: Schema, foreign: Tree, path: KeyPath, report: Report) -> Any:
    if not isinstance(value, dict):
        return value
    ours = {str(field.data_key): field for field in schema.fields.values()}
    kept = {}
    for key, inner in value.items():
        here = (*path, key)
        below = foreign.get(key, foreign.get("*"))
        if key in ours:
            kept[key] = _value(inner, ours[key], below or {}, here, report)
        elif below is not None:
            _ignore(inner, here, report)
            _check_foreign(inner, below, here, report)
        elif schema.unknown != EXCLUDE:
            _unknown(here, ours.keys(), foreign.keys(), report)
        else:
            report.note(here, What.NEUTRAL)
    return kept


def _value(value: Any, field: fields.Field[Any], foreign: Tree, path: KeyPath, report: Report) -> Any:
    if isinstance(field, fields.Nested):
        return _section(value, field.schema, foreign, path, report)
    if isinstance(field, fields.List) and isinstance(value, list):
        below = foreign.get("[]", {})
        return [_value(item, field.inner, below, (*path, index), report) for index, item in enumerate(value)]
    if isinstance(field, fields.Dict) and isinstance(value, dict) and field.value_field:
        below = foreign.get("*", {})
        return {name: _value(item, field.value_field, below, (*path, name), report) for name, item in value.items()}
    if (names := field.metadata.get("names")) and isinstance(value, dict):
        for key in [key for key in value if key not in names]:
            report.ignore((*path, key))
        return {key: inner for key, inner in value.items() if key in names}
    safer = field.metadata.get("replaced", {}).get(value) if isinstance(value, str) else None
    if safer is None:
        return value
    report.replace(path, value, safer)
    return safer


def _ignore(value: Any, path: KeyPath, report: Report) -> None:
    """Report what stands at and below a foreign key: as neutral what says nothing, being empty or switched off.

    Of a section that is used nowhere here no more than its name.
    """
    if path[0] in _NEUTRAL_SECTIONS or value == _NEUTRAL.get(path, ()) or _is_silent(value, path):
        report.note(path, What.NEUTRAL)
    elif isinstance(value, dict) and len(path) > 1:
        for key, inner in value.items():
            _ignore(inner, (*path, key), report)
    else:
        report.ignore(path)


def _is_silent(value: Any, path: KeyPath) -> bool:
    switched_off = isinstance(value, dict) and value.get("enabled") is False
    return switched_off or (len(path) > 1 and (value is None or value in ({}, [])))


def _check_foreign(value: Any, tree: Tree, path: KeyPath, report: Report) -> None:
    """Report keys below a foreign key that OpenClaw doesn't have either."""
    if isinstance(value, list) and "[]" in tree:
        for index, item in enumerate(value):
            _check_foreign(item, tree["[]"], (*path, index), report)
    elif isinstance(value, dict) and tree and "[]" not in tree:
        for key, inner in value.items():
            below = tree.get(key, tree.get("*"))
            if below is None:
                _unknown((*path, key), (), tree.keys(), report)
            else:
                _check_foreign(inner, below, (*path, key), report)


def _unknown(path: KeyPath, ours: Iterable[str], foreign: Iterable[str], report: Report) -> None:
    names = [name for name in (*ours, *foreign) if name not in ("*", "[]")]
    by_lower = {name.lower(): name for name in reversed(names)}
    near = difflib.get_close_matches(str(path[-1]).lower(), by_lower, n=1)
    meant = _MEANT.get(path) or (by_lower[near[0]] if near else _entry(path))
    said = f"; did you mean {meant}?" if meant else ""
    # Read before the schema sees the file.
    more = ("env", "secrets") if len(path) == 1 else ()
    report.add(path, ", ".join(sorted({*(ours or foreign), *more})) + said, found="an unknown key")


def _entry(path: KeyPath) -> str | None:
    """Where an agent belongs that stands beside ``agents.entries``."""
    if len(path) != 2 or path[0] != "agents" or not re.fullmatch(r"[a-z0-9_-]{1,64}", str(path[1])):
        return None
    return f"agents.entries.{path[1]}"
