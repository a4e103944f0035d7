"""The file's text with some values changed and everything else as it was: order, comments, spaces, quotes."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.config.faults import ConfigError, Fault, KeyPath, dotted, kind, shown
from app.config.layout import Entry, Layout
from app.config.syntax import Edit, Item, Node, Tree, read_tree, replaced

EMPTY = "{}\n"  # the text to begin with where there is no file

_STEP = re.compile(r"""\.?([^.\[\]"']+)|\[(\d{1,9})\]|\[("(?:[^"\\]|\\.)*")\]""")
_INDEX = re.compile(r"\[\d*\]")
_MAX_LEVELS = 32  # the parser's own limit


def parse_path(text: str) -> KeyPath:
    """``agents.list[2].model`` as ``("agents", "list", 2, "model")``. A name with a dot in it: ``["a.b"]``.

    The other way round: ``dotted``. Raises ConfigError for any other text.
    """
    path: list[str | int] = []
    at = 0
    while at < len(text) and len(path) < _MAX_LEVELS:
        step = _STEP.match(text, at)
        if not step or (step[1] and text[at] != "." and at > 0) or (at == 0 and text[0] == "."):
            break
        name, index, quoted = step.groups()
        path.append(name or (int(index) if index else _unquoted(text, quoted)))
        at = step.end()
    if at < len(text) or not path:
        raise _bad_path(text)
    return tuple(path)


def with_value(text: str, path: KeyPath, value: Any) -> str:
    """``text`` with ``value`` (of JSON's types) at a path; objects that lack on the way are made.

    The place behind a list's last entry appends to it. Raises ConfigError where no value can be set, and for text that
    is no JSON5 object. What is set isn't checked here: see ``check``.
    """
    _check_levels(value)
    tree = read_tree(text)
    layout = Layout(tree)
    node = tree.root
    if not path:
        raise ConfigError(Fault("the file", "found no key; allowed: the path of one"))
    for depth, step in enumerate(path):
        key = _fitting(node, step, path[:depth])
        item = node.item(key)
        if item is None:
            return replaced(text, layout.change(node, [(key, _nested(path, depth + 1, value))]))
        node = item.node
    return replaced(text, layout.exchange(node, value))


def with_names_once(text: str, path: KeyPath) -> str:
    """``text`` where each name on the way to a path stands once: of those that stand twice, that which counts.

    ``check`` refuses names that stand twice, so this comes before a change that shall mend one. Raises ConfigError for
    text that is no JSON5 object.
    """
    tree = read_tree(text)
    layout = Layout(tree)
    edits: list[Edit] = []
    node: Node | None = tree.root
    for step in path:
        item = node.item(step) if node else None
        if node is None or item is None:
            break
        edits += layout.change(node, (), [twin for twin in node.items or () if twin.key == item.key and twin != item])
        node = item.node
    return replaced(text, edits)


def without(text: str, path: KeyPath) -> str:
    """``text`` without the value at a path and its name. Raises ConfigError when there is none."""
    tree = read_tree(text)
    owner = tree.root.find(path[:-1]) if path else None
    removed = [item for item in owner.items or () if item.key == owner.key(path[-1])] if owner else []
    if not owner or not removed:
        raise ConfigError(Fault(dotted(path), "found nothing; allowed: a key that the file has"))
    return replaced(text, Layout(tree).change(owner, (), removed))


def merged(text: str, patch: Mapping[str, Any], replace_paths: Collection[str] = ()) -> str:
    """``text`` after a merge patch (RFC 7396: objects merge, ``None`` removes a key, anything else replaces).

    Unlike there, a list whose entries all have an ``id`` merges by id: entries that the patch names are merged, others
    come behind the last, none goes. At one of ``replace_paths`` (such as ``agents.list``; ``[]`` stands for any entry)
    it is replaced. Raises ConfigError for a patch that can't be merged, and for text that is no JSON5 object.
    """
    _check_levels(patch)
    tree = read_tree(text)
    merge = _Merge(tree, frozenset(_INDEX.sub("[]", path) for path in replace_paths))
    merge.objects(tree.root, patch, ())
    return replaced(text, merge.edits)


class _Merge:
    def __init__(self, tree: Tree, replace_paths: frozenset[str]) -> None:
        self._layout = Layout(tree)
        self._replace_paths = replace_paths
        self.edits: list[Edit] = []

    def objects(self, node: Node, patch: Mapping[str, Any], path: KeyPath) -> None:
        items: dict[str | int, list[Item]] = {}
        for item in node.items or ():
            items.setdefault(item.key, []).append(item)
        added, removed = [], []
        for key, new in patch.items():
            old = items.get(key, [])
            if new is None:
                removed += old  # all of them, or an earlier one of the same name would count again
            elif old:
                self._value(old[-1].node, new, (*path, key))
            else:
                added.append((key, _without_nulls(new)))
        self.edits += self._layout.change(node, added, removed)

    def _value(self, node: Node, new: Any, path: KeyPath) -> None:
        if isinstance(new, Mapping) and node.is_object:
            self.objects(node, new, path)
        elif isinstance(new, list) and self._merges_by_id(node, path):
            self._entries(node, new, path)
        else:
            self.edits += self._layout.exchange(node, _without_nulls(new))

    def _merges_by_id(self, node: Node, path: KeyPath) -> bool:
        ids = {_id_of(item.node) for item in node.items or ()}
        unique = len(ids) == len(node.items or ()) and None not in ids
        return node.is_array and bool(ids) and unique and _INDEX.sub("[]", dotted(path)) not in self._replace_paths

    def _entries(self, node: Node, entries: Sequence[Any], path: KeyPath) -> None:
        items = {_id_of(item.node): item for item in node.items or ()}
        added: list[Entry] = []
        seen = set()
        for index, new in enumerate(entries):
            name = new.get("id") if isinstance(new, Mapping) else None
            if not isinstance(name, str) or name in seen:
                found = "no id" if not isinstance(name, str) else f"{shown(name)} a second time"
                remedy = f"an object with an id of its own, or {dotted(path)} in replacePaths to replace the list"
                raise ConfigError(Fault(dotted((*path, index)), f"found {found}; allowed: {remedy}"))
            seen.add(name)
            if item := items.get(name):
                self.objects(item.node, new, (*path, item.key))
            else:
                added.append((len(items) + len(added), _without_nulls(new)))
        self.edits += self._layout.change(node, added)


def _id_of(node: Node) -> str | None:
    found = node.find(("id",)) if node.is_object else None
    return found.value if found and isinstance(found.value, str) else None


def _without_nulls(value: Any) -> Any:
    """What a merge patch makes of nothing; nulls in lists stay."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _fitting(node: Node, step: str | int, path: KeyPath) -> str | int:
    """``step`` as a key that ``node`` has or could have. path: of ``node``, for the fault."""
    if node.items is None:
        raise ConfigError(Fault(dotted(path), f"found {kind(node.value)}; allowed: an object, to set a key in it"))
    key = node.key(step)
    if node.is_object or (isinstance(key, int) and key <= len(node.items)):
        return str(key) if node.is_object else key
    raise ConfigError(Fault(dotted((*path, step)), f"found no such entry; allowed: [0] to [{len(node.items)}]"))


def _nested(path: KeyPath, depth: int, value: Any) -> Any:
    for key in reversed(path[depth:]):
        if isinstance(key, int) and key > 0:
            raise ConfigError(Fault(dotted(path), "found no such entry; allowed: [0] in a list that is new"))
        value = {key: value} if isinstance(key, str) else [value]
    return value


def _check_levels(value: Any) -> None:
    level = [value]
    for _ in range(_MAX_LEVELS):
        level = [
            inner
            for outer in level
            if isinstance(outer, Mapping | list)
            for inner in (outer.values() if isinstance(outer, Mapping) else outer)
        ]
    if level:
        raise ConfigError(Fault("the new value", f"found deeper nesting; allowed: {_MAX_LEVELS} levels"))


def _unquoted(text: str, quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        raise _bad_path(text) from None


def _bad_path(text: str) -> ConfigError:
    return ConfigError(
        Fault("the path", f'found {shown(text)}; allowed: such as gateway.port, agents.list[0].model or a["b.c"]')
    )
