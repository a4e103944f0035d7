"""``env`` of the file: variables that neither the process nor ``.env`` has."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from app.config.environment import Environment
from app.config.faults import KeyPath, Report, shown
from app.config.references import filled_in

KEY = "env"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SCALAR = "text, a number or a boolean"


def variables_of(document: dict[str, Any], environment: Environment, report: Report) -> dict[str, str]:
    """What ``env.vars`` and, where they are silent, ``env`` itself say. What can't be a variable is reported.

    environment: what ``${NAME}`` in a value stands for. A value with one that isn't set is no variable either: whoever
    needs it is told that it isn't set.
    """
    block = document.get(KEY, {})
    if not isinstance(block, dict):
        report.add((KEY,), "an object of variables by name")
        return {}
    own = {name: value for name, value in block.items() if name not in ("vars", "shellEnv")}
    inner = block.get("vars", {})
    if not isinstance(inner, dict):
        report.add((KEY, "vars"), "an object of variables by name")
        inner = {}
    if "shellEnv" in block:
        if not isinstance(block["shellEnv"], dict):
            report.add((KEY, "shellEnv"), "an object")
        report.ignore((KEY, "shellEnv"))
    entries = (*_entries(own, (KEY,), report), *_entries(inner, (KEY, "vars"), report))
    return {name: filled for name, value in entries if (filled := filled_in(value, environment.get)) is not None}


def _entries(block: dict[str, Any], path: KeyPath, report: Report) -> Iterator[tuple[str, str]]:
    for name, value in block.items():
        here = (*path, name)
        if not _NAME.match(name):
            report.add(here, "letters, digits and _, no digit first", f"the name {shown(name)}")
        elif isinstance(value, str) and "\0" in value:
            report.add(here, "text without a NUL", "a NUL")
        elif isinstance(value, bool):
            yield name, str(value).lower()
        elif isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value)):
            # An empty one is the same as an absent one, and then what env itself says counts.
            if value != "":
                yield name, _written(value)
        else:
            report.add(here, _SCALAR)


def _written(value: str | int | float) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
