"""What is wrong with a configuration: one line a fault, with path, finding and remedy, and never a secret."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from app.config.reading import FileState
from app.config.secrecy import is_secret
from app.config.secret_forms import secret_places

KeyPath = tuple[str | int, ...]

ABSENT: Any = object()
NAME: Any = object()  # where an object's name is at fault, marshmallow's messages have this below the name

_BARE = re.compile(r"[\w$-]+\Z", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}://")


@dataclass(frozen=True, slots=True)
class Fault:
    """where: a key's path, a variable or a file. what: what was found there and what is allowed.

    allowed: the latter alone, where it is told apart.
    """

    where: str
    what: str
    allowed: str = field(default="", compare=False)

    @classmethod
    def of(cls, where: str, found: Any, allowed: str) -> Fault:
        return cls(where, f"found {shown(found)}; allowed: {allowed}", allowed)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class ConfigError(Exception):
    """The configuration can't be used. ``faults`` names everything that is wrong with it.

    files: what a load has looked at before it gave up, to know when another try is worthwhile.
    """

    def __init__(self, *faults: Fault, files: Mapping[Path, FileState] = MappingProxyType({})) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults
        self.files = files


class What(Enum):
    """What becomes of a key, from the plainest to what a reader needs most."""

    OBEYED = "obeyed"
    NEUTRAL = "neutral"
    IGNORED = "ignored"
    MOVED = "read as"
    LEFT_OUT = "left out"
    UNUSABLE = "can't be asked"
    STRICTER = "stricter"
    REFUSED = "refused"


class Outcome(NamedTuple):
    """detail: as what a key is read, or what is done instead. Nothing of what the file has there."""

    what: What
    detail: str = ""


class Moved(NamedTuple):
    """A key, or a value of one, that is read as another."""

    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.old} read as {self.new}"


class Report:
    """Collects the faults and warnings of one load, and what becomes of each key.

    document: the file with today's keys. Findings are quoted from it, so what ``${NAME}`` stands for is never shown.
    as_written: the file with the keys that it has.
    located: how a path of the document is told, where parts of it come from other files.
    """

    def __init__(self, document: dict[str, Any], located: Callable[[KeyPath], str] | None = None) -> None:
        self.document = self.as_written = document
        self.located = located or dotted
        self.faults: dict[str, Fault] = {}
        self.ignored: list[str] = []
        self.replaced: list[str] = []
        self.moved: list[Moved] = []
        # Models and providers that can't be asked, where others can.
        self.unusable: list[str] = []
        # What is done in place of what a key asks for, where that is not possible: always something narrower.
        self.narrowed: dict[str, None] = {}
        # Where the file has what is read at another path.
        self.origins: dict[KeyPath, KeyPath] = {}
        self.left_out: list[str] = []
        # Where keys of the file are read, by the paths that it has.
        self.moves: dict[KeyPath, KeyPath] = {}
        # What becomes of what stands at a path of today; of a path that isn't in here it is obeyed.
        self.outcomes: dict[KeyPath, list[Outcome]] = {}

    def add(self, path: KeyPath, allowed: str, found: str | None = None) -> None:
        """Note a fault. Only the first at a path counts: what follows from it would be noise."""
        if found is None:
            value = self.at(path)
            found = kind(value) if is_secret(path) or _may_hold_secret(value, allowed) else shown(value)
        if dotted(path) not in self.faults:
            where = self.located(self.written(path))
            self.faults[dotted(path)] = Fault(where, f"found {found}; allowed: {allowed}", allowed)

    def ignore(self, path: KeyPath) -> None:
        self.ignored.append(dotted(path))
        self.note(path, What.IGNORED)

    def replace(self, path: KeyPath, value: str, safer: str) -> None:
        """Note that another value is taken, which is one of ours."""
        self.replaced.append(f'{dotted(path)} {shown(value)} by "{safer}"')
        self.note(path, What.STRICTER, f'taken as "{safer}"')

    def move(self, old: KeyPath, new: KeyPath) -> None:
        """Note that what stands at and below ``old`` is read at and below ``new``."""
        self.moved.append(Moved(dotted(old), dotted(new)))
        self.moves[old] = new

    def reread(self, path: KeyPath, old: str, new: str, detail: str) -> None:
        """Note that what stands at a path is read as something else, in another form."""
        self.moved.append(Moved(old, new))
        self.note(path, What.MOVED, detail)

    def unask(self, path: KeyPath, said: str) -> None:
        """Note a model or a provider that can't be asked."""
        self.unusable.append(said)
        self.note(path, What.UNUSABLE)

    def leave_out(self, path: KeyPath) -> None:
        self.left_out.append(f"{dotted(path)} {shown(self.at(path))}")
        self.note(path, What.LEFT_OUT)

    def narrow(self, path: KeyPath, said: str, instead: str) -> None:
        """Note once what is done in place of what a key asks for. instead: that alone, without the key's value."""
        self.narrowed[said] = None
        self.note(path, What.STRICTER, instead)

    def note(self, path: KeyPath, what: What, detail: str = "") -> None:
        """Note what becomes of what stands at a path of today."""
        outcomes = self.outcomes.setdefault(path, [])
        if (outcome := Outcome(what, detail)) not in outcomes:
            outcomes.append(outcome)

    def today(self, path: KeyPath) -> KeyPath:
        """Where is read what the file has at this path: the other way round than ``written``."""
        taken: set[KeyPath] = set()
        while old := next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self.moves), None):
            if old in taken:
                break
            taken.add(old)
            path = (*self.moves[old], *path[len(old) :])
        return path

    def refuse(self, messages: Any) -> None:
        """Note every fault in marshmallow's nested messages, each of which says what is allowed."""
        for path, allowed in _flat(messages):
            if path and path[-1] is NAME:
                self.add(path[:-1], allowed, f"the name {shown(path[-2])}")
            else:
                self.add(path, allowed)

    def at(self, path: KeyPath) -> Any:
        """What the file has at a path, ``ABSENT`` when nothing."""
        return value_at(self.document, path)

    def written(self, path: KeyPath) -> KeyPath:
        """Where the file has what is read at this path."""
        for end in range(len(path), 0, -1):
            if (old := self.origins.get(path[:end])) is not None:
                return (*old, *path[end:])
        return path

    def sound(self, *paths: str) -> bool:
        """Whether no fault is known at any of these paths or at a section around them."""
        return not any(path == bad or path.startswith(f"{bad}.") for path in paths for bad in self.faults)


def dotted(path: KeyPath) -> str:
    """``("agents", "list", 2, "model")`` as ``agents.list[2].model``; unusual names are quoted."""
    text = ""
    for key in path:
        if isinstance(key, str) and _BARE.match(key):
            text += f".{key}" if text else key
        else:
            text += f"[{json.dumps(key)}]"
    return text or "the file"


def value_at(document: Any, path: KeyPath) -> Any:
    """The value at a path, ``ABSENT`` when there is none."""
    for key in path:
        try:
            document = document[key]
        except (LookupError, TypeError):
            return ABSENT
    return document


def kind(value: Any) -> str:
    """A JSON value's type in words."""
    if value is ABSENT:
        return "nothing"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"


def shown(value: Any) -> str:
    """A JSON value in one short line. Of a URL only the scheme: the rest may hold a password."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        if secret_places(value):
            return "text that may hold a secret"
        head, url, _ = value.partition("://")
        text = f"{head}://…" if url else value
        quoted = json.dumps(text if len(text) <= 60 else f"{text[:60]}…", ensure_ascii=False)
        return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in quoted)
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        return str(value) if math.isfinite(value) else "a number that is not finite"
    return kind(value)


def _may_hold_secret(value: Any, allowed: str) -> bool:
    # Text where an object or a list belongs may be a secret written one level too high; a URL may hold a password,
    # and of one without a scheme ``shown`` can't tell where it begins.
    if allowed.startswith("a URL"):
        return isinstance(value, str) and not _SCHEME.match(value)
    return allowed.startswith(("an object", "a list"))


def _flat(messages: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _flat(inner, path if key == "_schema" else (*path, key))
    else:
        yield path, messages[0] if isinstance(messages, list) else str(messages)
