"""How what is new in a configuration's text is written: in the manner of the text around it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.config.syntax import Edit, Item, Node, Tree

_BARE_NAME = re.compile(r"[A-Za-z_$][\w$]*\Z", re.ASCII)
_BLANKS = (" ", "\t")
_INDENT = re.compile(r"[ \t]{0,64}")  # no more, as each new line has it
_NEWLINE = re.compile(r"\r?\n")
_ON_ONE_LINE = 80  # characters of a list or an object; longer ones have a line for each entry

Entry = tuple[str | int, Any]


class Layout:
    """Makes the edits of one text. New entries look like those beside them; comments outside of what goes stay."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._text = tree.text
        self._comments = dict(tree.comments)
        first = tree.root.items[0] if tree.root.items else None
        # A file in plain JSON stays plain JSON.
        self._plain_json = first is not None and self._text[first.start] == '"'
        self._newline = "\r\n" if "\r\n" in self._text else "\n"
        self._unit = (self._indent(first.start) if first and self._is_first_on_line(first.start) else "") or "  "

    def exchange(self, node: Node, value: Any) -> list[Edit]:
        """No edit where the value is the same: however it was written, it stays."""
        if _same(self._tree.value(node), value):
            return []
        return [(node.start, node.end, self._written(value, self._indent(node.start)))]

    def change(self, node: Node, added: Sequence[Entry], removed: Sequence[Item] = ()) -> list[Edit]:
        """Edits of an object's or a list's own entries: some go, others come behind the last."""
        items = node.items or []
        gone = {item.start for item in removed}
        left = [item for item in items if item.start not in gone]
        trailing = bool(items) and items[-1].comma is not None
        edits = [edit for item in removed for edit in self._cut(item)]
        if added and left:
            edits += self._behind(left[-1], added, node, trailing)
        elif added:
            edits.append(self._first(node, added))
        elif removed and left and not trailing and left[-1].comma is not None:
            edits.append((left[-1].comma, left[-1].comma + 1, ""))
        return edits

    def _behind(self, last: Item, added: Sequence[Entry], node: Node, trailing: bool) -> list[Edit]:
        edits: list[Edit] = []
        at = last.node.end
        if last.comma is None:
            edits.append((at, at, ","))
        else:
            at = last.comma + 1
        before = " "
        if self._is_first_on_line(last.start):
            before = self._newline + self._indent(last.start)
            at = self._behind_comments(at)
        entries = [before + self._entry(entry, node, self._indent(last.start)) for entry in added]
        return [*edits, (at, at, ",".join(entries) + ("," if trailing else ""))]

    def _first(self, node: Node, added: Sequence[Entry]) -> Edit:
        outer, at = self._indent(node.start), node.start + 1
        broken = "\n" in self._tree.source(node)
        if not broken and node is not self._tree.root:
            space = " " if node.is_object and not self._plain_json else ""
            return at, at, space + ", ".join(self._entry(entry, node, outer) for entry in added) + space
        lines = [self._newline + outer + self._unit + self._entry(entry, node, outer + self._unit) for entry in added]
        end = "" if self._plain_json else ","
        return at, at, ",".join(lines) + end + ("" if broken else self._newline + outer)

    def _cut(self, item: Item) -> list[Edit]:
        text, start, end = self._text, item.start, item.node.end
        if item.comma is not None and text[end : item.comma].strip():
            return [(start, end, ""), (item.comma, item.comma + 1, "")]  # a comment between value and comma stays
        if item.comma is not None:
            end = item.comma + 1
        rest = self._behind_blanks(end)
        if self._is_first_on_line(start):
            if newline := _NEWLINE.match(text, rest):
                return [(self._before_blanks(start), newline.end(), "")]
            end = rest
        elif item.comma is not None and text[rest] not in "]}":
            end = rest
        else:
            start = self._before_blanks(start)
        return [(start, end, "")]

    def _entry(self, entry: Entry, node: Node, indent: str) -> str:
        key, value = entry
        written = self._written(value, indent)
        return f"{self._name(str(key))}: {written}" if node.is_object else written

    def _name(self, name: str) -> str:
        return name if not self._plain_json and _BARE_NAME.match(name) else json.dumps(name, ensure_ascii=False)

    def _written(self, value: Any, indent: str) -> str:
        short = self._inline(value)
        if not isinstance(value, Mapping | list | tuple) or len(short) <= _ON_ONE_LINE:
            return short
        inner = indent + self._unit
        if isinstance(value, Mapping):
            lines = [f"{self._name(key)}: {self._written(item, inner)}" for key, item in value.items()]
        else:
            lines = [self._written(item, inner) for item in value]
        first, last = "{}" if isinstance(value, Mapping) else "[]"
        joined = f",{self._newline}{inner}".join(lines)
        end = "" if self._plain_json else ","
        return f"{first}{self._newline}{inner}{joined}{end}{self._newline}{indent}{last}"

    def _inline(self, value: Any) -> str:
        if isinstance(value, Mapping) and value:
            inner = ", ".join(f"{self._name(key)}: {self._inline(item)}" for key, item in value.items())
            return f"{{{inner}}}" if self._plain_json else f"{{ {inner} }}"
        if isinstance(value, list | tuple) and value:
            return f"[{', '.join(map(self._inline, value))}]"
        return json.dumps(value, ensure_ascii=False)

    def _indent(self, at: int) -> str:
        """What the line of this place begins with."""
        match = _INDENT.match(self._text, self._text.rfind("\n", 0, at) + 1)
        return match[0] if match else ""

    def _is_first_on_line(self, at: int) -> bool:
        begin = self._before_blanks(at)
        return begin > 0 and self._text[begin - 1] == "\n"

    def _behind_comments(self, at: int) -> int:
        """Behind the comments that follow on the same line: they are about what stands before them."""
        while (begin := self._behind_blanks(at)) in self._comments:
            at = self._comments[begin]
        return at

    def _before_blanks(self, at: int) -> int:
        while self._text[at - 1 : at] in _BLANKS:
            at -= 1
        return at

    def _behind_blanks(self, at: int) -> int:
        while self._text[at : at + 1] in _BLANKS:
            at += 1
        return at


def _same(one: Any, other: Any) -> bool:
    # Compared as text: to Python 1, 1.0 and True are the same.
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
