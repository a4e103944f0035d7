"""Which keys of a file are ours, which are OpenClaw's alone, and which nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from marshmallow import EXCLUDE, Schema, fields

from app.config.faults import KeyPath, Report, dotted, shown

Tree = dict[str, "Tree"]


@cache
def openclaw_keys() -> Tree:
    """``openclaw_keys.txt`` as a tree: one key a line, a space of indent a level, ``*`` any name, ``[]`` any entry.

    A key without keys below it may hold anything.
    """
    root: Tree = {}
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
        if key in ours:
            kept[key] = _value(inner, ours[key], foreign.get(key, {}), here, report)
        elif key in foreign:
            report.ignored.append(dotted(here))
            _check_foreign(inner, foreign[key], here, report)
        elif schema.unknown != EXCLUDE:
            _unknown(here, ours.keys(), foreign.keys(), report)
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
        report.ignored += [dotted((*path, key)) for key in value if key not in names]
        return {key: inner for key, inner in value.items() if key in names}
    safer = field.metadata.get("replaced", {}).get(value) if isinstance(value, str) else None
    if safer is None:
        return value
    report.replaced.append(f'{dotted(path)} {shown(value)} by "{safer}"')
    return safer


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
    meant = f"; did you mean {by_lower[near[0]]}?" if near else ""
    report.add(path, ", ".join(sorted(ours or foreign)) + meant, found="an unknown key")
