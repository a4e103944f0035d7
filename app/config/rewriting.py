"""The file's text with today's keys in place of older ones: what ``migrations`` does at each load, done once.

Where the whole is in several files, only what the main one has is moved.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.config.document import with_value, without
from app.config.environment import Environment
from app.config.faults import ConfigError, Fault, KeyPath, Moved, Report, dotted, value_at
from app.config.include import Composition
from app.config.loading import check
from app.config.migrations import migrated
from app.config.reading import FilesRead
from app.config.syntax import FILE_NAME, parse, read_tree

_BY_HAND = "stands in an included file or beside one: move it by hand"


def with_todays_keys(text: str, environment: Environment) -> tuple[str, tuple[Moved, ...]]:
    """The text that says the same with today's keys, and what was moved; the text itself where nothing was.

    Values stay as they are written, ``${NAME}`` included; comments of what moved stay where it stood. Raises
    ConfigError for a text that ``load`` would refuse, and for keys that move within included files.
    """
    before = check(text, environment)
    whole = Composition(text, environment.config_path, environment.config_path.name, FilesRead())
    _, moves = _migrated(whole.document, whole)
    document = parse(text, FILE_NAME)
    today, own = _migrated(document)
    if not moves:
        return text, ()
    if own != moves:
        told = [move for move in moves if move not in own] or moves
        raise ConfigError(*(Fault(move.old, f"{_BY_HAND}, to {move.new}") for move in told))
    new = _edited(text, document, today)
    after = check(new, environment)
    again = Composition(new, environment.config_path, environment.config_path.name, FilesRead())
    if replace(after, warnings=()) != replace(before, warnings=()) or _migrated(again.document)[1]:
        # An included file that overlaps with what moves: lists are joined, and what stands beside it wins.
        raise ConfigError(*(Fault(move.old, f"{_BY_HAND}, to {move.new}") for move in moves))
    return new, moves


def _migrated(document: dict[str, Any], whole: Composition | None = None) -> tuple[dict[str, Any], tuple[Moved, ...]]:
    """The document with today's keys, and what moves. whole: refuses what moves and was written in other files."""
    report = Report(document)
    today = migrated(document, report)
    if whole is not None:
        main = whole.file_of(())
        elsewhere = [
            Fault(whole.located(path), f"stands in an included file: move it by hand, to {dotted(report.today(path))}")
            # Nothing is known yet but what is read in another form.
            for old in (*report.moves, *report.outcomes)
            for path in _leaves(value_at(document, old), old)
            if whole.file_of(path) != main
        ]
        if elsewhere:
            raise ConfigError(*elsewhere)
    return today, tuple(report.moved)


def _leaves(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if not (isinstance(value, dict | list) and value):
        yield path
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(inner, (*path, key))


def _edited(text: str, old: Any, new: Any, path: KeyPath = ()) -> str:
    """``text``, which has ``old`` at a path, with ``new`` there: two objects, or two lists that don't get shorter."""
    before = dict(_items(old))
    after = dict(_items(new))
    for key, value in after.items():
        here = (*path, key)
        if key not in before:
            text = with_value(text, here, value)
        elif _mergeable(before[key], value):
            text = _edited(text, before[key], value, here)
        elif json.dumps(before[key]) != json.dumps(value):
            text = with_value(text, here, value)
    for key in [key for key in before if key not in after]:
        text = _without(text, (*path, key))
    return text


def _items(value: Any) -> Iterator[tuple[str | int, Any]]:
    return iter(value.items()) if isinstance(value, dict) else enumerate(value)


def _mergeable(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) <= len(new)
    return isinstance(old, dict) and isinstance(new, dict)


def _without(text: str, path: KeyPath) -> str:
    """``text`` without what stands at a path, but with the comments that stood within it."""
    tree = read_tree(text)
    owner = tree.root.find(path[:-1])
    item = owner.item(path[-1]) if owner else None
    if item is None:
        return text
    kept = [text[start:end] for start, end in tree.comments if item.start <= start < item.node.end]
    if not kept:
        return without(text, path)
    newline = "\r\n" if "\r\n" in text else "\n"
    indent = text[text.rfind("\n", 0, item.start) + 1 : item.start]
    between = newline + (indent if not indent.strip() else "")
    return without(text[: item.start] + "".join(comment + between for comment in kept) + text[item.start :], path)
