"""``$include``: other files' objects within the configuration, and where each key of the whole was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from app.config.faults import ConfigError, Fault, KeyPath, dotted, kind, shown
from app.config.reading import FilesRead, Unreadable
from app.config.syntax import MAX_CHARACTERS, Tree, check_length, line_and_column, names_twice, parse, read_tree

INCLUDE = "$include"
MAX_LEVELS = 10
MAX_FILES = 64
_MAX_NESTING = 32  # of the whole, as of one text: whatever walks it may call itself

_MAX_TWICE = 100  # names that are told of one text

_ALLOWED = "the path of a file, or a list of such"


class _NotIncluded(Exception):
    def __init__(self, found: str, allowed: str) -> None:
        super().__init__(f"{found}; allowed: {allowed}")


@dataclass(slots=True)
class Source:
    """One text. name: as faults tell it. at: where in the whole its object stands. above: those that led to it."""

    path: Path
    name: str
    text: str
    at: KeyPath = ()
    above: tuple[Path, ...] = ()
    tree: Tree | None = None

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest one around it that there is."""
        self.tree = self.tree or read_tree(self.text)
        node, place = self.tree.root, self.tree.root.start
        for key in path:
            item = node.item(key)
            if item is None:
                break
            node, place = item.node, item.start
        return line_and_column(self.text, place)[0]


@dataclass(slots=True)
class Origin:
    """Where a value of the whole was written. parts: its items that were not written below it."""

    source: Source
    path: KeyPath = ()
    parts: dict[str | int, Origin] = field(default_factory=dict)

    def part(self, key: str | int) -> Origin:
        return self.parts.get(key) or Origin(self.source, (*self.path, key))


class Composition:
    """A configuration's text with all that it includes.

    document: the whole. faults: names that stand twice, in any of the texts.

    Raises ConfigError with every fault of texts that are no JSON5 object, and of includes.
    """

    def __init__(self, text: str, path: Path, name: str, files: FilesRead) -> None:
        """name: of the main text, in faults of its syntax."""
        self._files = files
        self._folder = path.parent
        self._refused: list[Fault] = []
        self._included = 0
        self._characters = len(text)
        self.faults: list[Fault] = []
        self._main = Source(path, path.name, text)
        document = parse(text, name)
        self._find_names_twice(self._main)
        value, self._origin = self._expanded(document, Origin(self._main), ())
        if self._refused:
            raise ConfigError(*self._refused, *self.faults)
        self.document: dict[str, Any] = value

    def located(self, path: KeyPath) -> str:
        """A key's path as faults tell it, with file and line where it was included."""
        source, own = self._origin_of(path)
        return dotted(own) if source is self._main else f"{dotted(path)} ({source.name}:{source.line(own)})"

    def file_of(self, path: KeyPath) -> Path:
        """The file that has the value at a path."""
        return self._origin_of(path)[0].path

    def _origin_of(self, path: KeyPath) -> tuple[Source, KeyPath]:
        origin = self._origin
        for depth, key in enumerate(path):
            if key not in origin.parts:
                return origin.source, (*origin.path, *path[depth:])
            origin = origin.parts[key]
        return origin.source, origin.path

    def _expanded(self, value: Any, origin: Origin, at: KeyPath) -> tuple[Any, Origin]:
        """A value with all includes in it followed. origin: of the value as it is. at: where in the whole it stands."""
        if not isinstance(value, dict | list):
            return value, origin
        parts: dict[str | int, Origin] = {}
        items: dict[str | int, Any] = {}
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if key == INCLUDE:
                continue
            items[key], part = self._expanded(inner, origin.part(key), (*at, key))
            if part.parts or part.source is not origin.source:
                parts[key] = part
        own = Origin(origin.source, origin.path, parts)
        if isinstance(value, list):
            return list(items.values()), own
        if INCLUDE not in value:
            return items, own
        whole: Any = {}
        whole_origin = Origin(own.source, own.path)
        for name, where in self._names(value[INCLUDE], (*origin.path, INCLUDE), (*at, INCLUDE), own.source):
            included = self._include(name, where, own.source, at)
            if included:
                whole, whole_origin = _merged(whole, whole_origin, *included)
        return _merged(whole, whole_origin, items, own)

    def _names(self, value: Any, own: KeyPath, at: KeyPath, source: Source) -> Iterator[tuple[str, str]]:
        """(file, place in faults) of each file that an ``$include`` names."""
        several = isinstance(value, list)
        for index, name in enumerate(value if several else [value]):
            place = dotted((*at, index) if several else at)
            if source is not self._main:
                place += f" ({source.name}:{source.line((*own, index) if several else own)})"
            if self._included > MAX_FILES:
                return  # the one too many is told; the rest would only be more of the same
            if isinstance(name, str) and name and "\0" not in name:
                yield name, place
            else:
                found = shown(name) if isinstance(name, str) else kind(name)
                self._refused.append(Fault(place, f"found {found}; allowed: {_ALLOWED}"))

    def _include(self, name: str, where: str, source: Source, at: KeyPath) -> tuple[Any, Origin] | None:
        """A file's object, expanded, and its origin; ``None`` when there is none, which is reported."""
        try:
            included, document = self._opened(name, source, at)
        except _NotIncluded as error:
            self._refused.append(Fault(where, f"found {shown(name)}, {error}"))
            return None
        except ConfigError as error:
            self._refused += [Fault(fault.where, f"{fault.what} (included at {where})") for fault in error.faults]
            return None
        self._find_names_twice(included)
        return self._expanded(document, Origin(included), at)

    def _opened(self, name: str, source: Source, at: KeyPath) -> tuple[Source, dict[str, Any]]:
        """A file that ``source`` names, and its object. Raises _NotIncluded, and ConfigError for a faulty text."""
        path = source.path.parent / name
        real, folder = Path(os.path.realpath(path)), Path(os.path.realpath(self._folder))
        above = (*source.above, Path(os.path.realpath(source.path)))
        self._included += 1
        if self._included > MAX_FILES:
            raise _NotIncluded("one file too many", f"at most {MAX_FILES} included files")
        if folder not in real.parents:
            raise _NotIncluded(f"which is {str(real)!r}", f"a file below {str(folder)!r}")
        if real in above:
            raise _NotIncluded("which includes itself in the end", "no circles")
        if len(above) > MAX_LEVELS:
            raise _NotIncluded(f"on level {len(above)}", f"{MAX_LEVELS} levels")
        try:
            text = self._files.read_text(path, 4 * MAX_CHARACTERS)
        except Unreadable as error:
            raise _NotIncluded(f"a file that {error}", "a JSON5 file that this process can read") from None
        included = Source(path, os.path.relpath(real, folder), text, at, above)
        # Together the files are one text, and may take as long to load as one.
        self._characters += len(text)
        check_length(text, included.name)
        if self._characters > MAX_CHARACTERS:
            raise _NotIncluded("with which the files are too long", f"{MAX_CHARACTERS} characters in all")
        document = parse(text, included.name)
        if _nests_deeper(document, _MAX_NESTING - len(at)):
            raise _NotIncluded("which nests too deeply there", f"{_MAX_NESTING} levels in all")
        return included, document

    def _find_names_twice(self, source: Source) -> None:
        for path, place, first in islice(names_twice(source.text), _MAX_TWICE):
            line, column = line_and_column(source.text, place)
            before = ":".join(map(str, line_and_column(source.text, first)))
            where = f"{dotted((*source.at, *path))} ({source.name}:{line}:{column})"
            self.faults.append(Fault(where, f"found a second time, first at {before}; allowed: once"))


def _merged(base: Any, base_origin: Origin, over: Any, over_origin: Origin) -> tuple[Any, Origin]:
    """``over`` laid over ``base``: objects merge, lists are joined, of anything else ``over`` counts."""
    parts = dict(over_origin.parts)
    origin = Origin(over_origin.source, over_origin.path, parts)
    if isinstance(base, list) and isinstance(over, list):
        for index in range(len(base)):
            parts[index] = base_origin.part(index)
        for index in range(len(over)):
            parts[len(base) + index] = over_origin.part(index)
        return base + over, origin
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over, over_origin
    whole = dict(base)
    for key, value in base.items():
        if key in over:
            whole[key], parts[key] = _merged(value, base_origin.part(key), over[key], over_origin.part(key))
        else:
            parts[key] = base_origin.part(key)
    return whole | {key: value for key, value in over.items() if key not in base}, origin


def _nests_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(max(levels, 0)):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return any(isinstance(inner, dict | list) for inner in level)
