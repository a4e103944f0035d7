"""JSON5 text: parsed by pyjson5, and as a tree that knows where in the text each value and comment stands.

pyjson5 alone says what is valid and what a value means; the tree only finds places in text that it accepted. It nests
at most 32 levels, so whatever walks a tree may call itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyjson5

from app.config.faults import ConfigError, Fault, KeyPath

FILE_NAME = "openclaw.json"  # in faults of a text that came without a file
MAX_CHARACTERS = 1 << 20  # of a text that is looked at in detail; a real file has a hundredth of it

_POSITION = re.compile(r"\s*(?:starting )?near (\d+)")
_INDEX = re.compile(r"[0-9]{1,9}\Z")
_CODE_POINT = re.compile(r"U\+([0-9a-fA-F]{4,6})")
_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]++)
    |(?P<comment>//[^\n\r\u2028\u2029]*+|/\*(?s:.*?)\*/)
    |(?P<mark>[{}\[\]:,])
    |(?P<plain>"(?:[^"\\]|\\(?s:.))*+"|'(?:[^'\\]|\\(?s:.))*+'|[^\s\ufeff{}\[\]:,/"']++)""",
    re.VERBOSE,
)


Token = tuple[str, int, int]  # text, start, end
Edit = tuple[int, int, str]  # start, end, what is to stand there


@dataclass(slots=True)
class Node:
    """A value and its place ``text[start:end]``.

    value: a scalar's. items: what an object or an array holds, in the text's order; ``None`` for a scalar.
    """

    start: int
    end: int
    value: Any = None
    is_object: bool = False
    items: list[Item] | None = None
    _by_key: dict[str | int, Item] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def is_array(self) -> bool:
        return self.items is not None and not self.is_object

    def key(self, step: str | int) -> str | int:
        """A step of a path as a key of this value: in a list ``"2"`` is an index too."""
        if self.is_array and isinstance(step, str) and _INDEX.match(step):
            return int(step)
        return step

    def item(self, step: str | int) -> Item | None:
        """The item of this name or index. Of items with the same name the last is the one that counts."""
        if self._by_key is None:
            self._by_key = {item.key: item for item in self.items or ()}
        return self._by_key.get(self.key(step))

    def find(self, path: KeyPath) -> Node | None:
        node: Node | None = self
        for key in path:
            item = node.item(key) if node else None
            node = item.node if item else None
        return node


@dataclass(slots=True)
class Item:
    """start: where its name begins, in an array its value. comma: where the comma after it stands, if one does."""

    key: str | int
    start: int
    node: Node
    comma: int | None = None


@dataclass(slots=True)
class Tree:
    """A whole text. comments: the place of each, in order."""

    text: str
    root: Node
    comments: list[tuple[int, int]] = field(default_factory=list)

    def source(self, node: Node) -> str:
        return self.text[node.start : node.end]

    def value(self, node: Node) -> Any:
        """What a node holds, as Python's own types."""
        return node.value if node.items is None else pyjson5.decode(self.source(node))


def check_length(text: str, name: str) -> None:
    """Raises ConfigError for a text of more than ``MAX_CHARACTERS``."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(Fault(name, f"found {len(text)} characters; allowed: at most {MAX_CHARACTERS}"))


def parse(text: str, name: str) -> dict[str, Any]:
    """The object that a JSON5 text holds. name: of the text, for faults.

    Raises ConfigError with one fault, ``name:line:column``.
    """
    try:
        document = pyjson5.decode(text)
    except pyjson5.Json5DecoderException as error:
        raise ConfigError(_syntax_fault(name, text, str(error.message))) from None
    if not isinstance(document, dict):
        raise ConfigError(Fault(name, "found no object; allowed: one JSON5 object"))
    return document


def read_tree(text: str) -> Tree:
    """The tree of a text. Raises ConfigError for one that is too long, and see ``parse``."""
    check_length(text, FILE_NAME)
    parse(text, FILE_NAME)
    comments: list[tuple[int, int]] = []
    tokens = _tokens(text, comments)
    root = _node(next(tokens), tokens)
    next(tokens, None)  # reads the comments behind the value
    return Tree(text, root, comments)


def names_twice(text: str) -> Iterator[tuple[KeyPath, int, int]]:
    """(path, place, first place) of each name that stands in its object a second time. text: valid.

    Without a tree, which nobody needs otherwise at a load.
    """
    owners: list[dict[str, int] | None] = []  # of each open object where its names stand, None for an array
    path: list[str | int] = []
    before_name = False
    for match in _TOKEN.finditer(text):
        sign = match[0]
        if match.lastgroup == "mark":
            if sign in "{[":
                owners.append({} if sign == "{" else None)
                path.append(0)
            elif sign in "}]":
                owners.pop()
                path.pop()
            elif sign == "," and owners[-1] is None:
                path[-1] = int(path[-1]) + 1
            before_name = sign in "{," and bool(owners) and owners[-1] is not None
        elif before_name and match.lastgroup == "plain":
            before_name = False
            path[-1] = name = _name(sign)
            names = owners[-1]
            first = match.start() if names is None else names.setdefault(name, match.start())
            if first != match.start():
                yield tuple(path), match.start(), first


def line_and_column(text: str, at: int) -> tuple[int, int]:
    """Where a place of the text is to be looked for, counted from 1."""
    return text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)


def replaced(text: str, edits: Iterable[Edit]) -> str:
    """``text`` after edits, of which only removals may overlap. What is put in goes before what is exchanged there."""
    parts: list[str] = []
    at = 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += (text[at:start], new)
        at = max(at, end)
    return "".join([*parts, text[at:]])


def _tokens(text: str, comments: list[tuple[int, int]]) -> Iterator[Token]:
    """All that is no space and no comment; the places of comments go to ``comments``."""
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "comment":
            comments.append(match.span())
        elif match.lastgroup != "space":
            yield match[0], *match.span()


def _node(first: Token, tokens: Iterator[Token]) -> Node:
    """The value that begins with ``first``. tokens: those behind it, of text that is known to be valid."""
    written, start, end = first
    if written not in ("{", "["):
        return Node(start, end, pyjson5.decode(written))
    is_object = written == "{"
    items: list[Item] = []
    for part, begin, end in tokens:
        if part in ("}", "]"):
            break
        if part == ",":
            items[-1].comma = begin
        elif is_object:
            next(tokens)  # the colon
            items.append(Item(_name(part), begin, _node(next(tokens), tokens)))
        else:
            items.append(Item(len(items), begin, _node((part, begin, end), tokens)))
    return Node(start, end, None, is_object, items)


def _name(written: str) -> str:
    if "\\" not in written:
        return written[1:-1] if written[0] in "\"'" else written
    return str(next(iter(pyjson5.decode(f"{{{written}:0}}"))))


def _syntax_fault(name: str, text: str, message: str) -> Fault:
    """``name:line:column: what``, where the parser says ``Expected b'comma' or U+007d near 12, found U+0062``."""
    where = _POSITION.search(message)
    before = text[: max(int(where[1]) - 1, 0)] if where else ""
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    plain = _POSITION.sub("", message).replace("b'", "").replace("'", "").replace("JSON5Value", "a value")
    plain = _CODE_POINT.sub(lambda match: repr(chr(int(match[1], 16))), plain)
    return Fault(f"{name}:{line}:{column}", plain[:1].lower() + plain[1:])
