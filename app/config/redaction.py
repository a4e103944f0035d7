"""The file's text without its secrets, for whoever may look at it, and with them again when it comes back changed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from app.config.faults import ConfigError, Fault, KeyPath, dotted
from app.config.secrecy import is_guarded, is_reference, looks_secret
from app.config.secret_forms import hidden, secret_arguments, secret_places
from app.config.syntax import FILE_NAME, Edit, Item, Node, Tree, parse, read_tree, replaced

REDACTED = "__OPENCLAW_REDACTED__"

_QUOTED = json.dumps(REDACTED)
_REFERENCE_KEYS = frozenset({"source", "provider", "id"})
_REFERENCE_SOURCES = ("env", "file", "exec")
# A setting that was commented out, or a header that somebody noted.
_IN_COMMENT = re.compile(
    r"""((?:token|passw(?:or)?d|passphrase|secret|key|authorization|cookie)["']?\s*[:=]\s*)
    ("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\$\{\w+\}|(?:(?:bearer|basic)\s+)?[^\s"',;{}\[\]()]+)""",
    re.VERBOSE | re.IGNORECASE,
)
_MAX_SOUGHT = 200  # of a file with more secrets, comments are hidden whole
_MIN_WITHIN_WORDS = 6  # a shorter secret is looked for as a word of its own: it may be a part of many


def redacted(text: str) -> str:
    """The same text with ``REDACTED`` in place of each secret that is written out, in values and in comments.

    ``${NAME}`` and ``{source, id}`` stay: they say where a secret is, not what it is. Raises ConfigError for text that
    is no JSON5 object.
    """
    tree = read_tree(text)
    places = [(node.start, node.end, _QUOTED) for _, node in _secrets(tree.root)]
    redact = _comment_redactor(tree)
    return replaced(text, [*places, *((start, end, redact(text[start:end])) for start, end in tree.comments)])


def redacted_parsed(parsed: dict[str, Any]) -> dict[str, Any]:
    """The same for a document that is parsed already, under the same rules."""
    return parse(redacted(json.dumps(parsed, ensure_ascii=False)), FILE_NAME)


def restored(text: str, stored: str | None) -> str:
    """``text`` with the secrets of ``stored``, the file's text, wherever ``text`` has ``REDACTED`` at the same path.

    Objects in a list are found by their ``id``, other entries by their place. Comments get back what was taken out of
    them where they are unchanged. Raises ConfigError that names each path at which ``stored`` has no secret.
    """
    tree, old = read_tree(text), _tree_or_none(stored)
    secrets = {node.start for _, node in _secrets(old.root)} if old else set()
    edits: list[Edit] = []
    faults = []
    for path, node, twin in _pairs(tree.root, old.root if old else None):
        if not isinstance(node.value, str) or REDACTED not in node.value:
            continue
        if old and twin and node.value == REDACTED and twin.start in secrets:
            edits.append((node.start, node.end, old.source(twin)))
        elif not (twin and twin.value == node.value):  # a text that speaks of the mark, stored like that already
            faults.append(
                Fault(dotted(path), f"found {REDACTED}, where no secret is stored; allowed: the value itself")
            )
    if faults:
        raise ConfigError(*faults)
    return replaced(text, [*edits, *(_restored_comments(tree, old) if old else ())])


def _secrets(node: Node, path: KeyPath = (), guarded: bool = False) -> Iterator[tuple[KeyPath, Node]]:
    """Every scalar that holds a secret. guarded: one may stand at this very path."""
    if node.items is None:
        if _is_literal(node.value) and (guarded or (isinstance(node.value, str) and secret_places(node.value))):
            yield path, node
        return
    if guarded and _is_source(node):
        return
    arguments = _secret_arguments(node.items) if node.is_array else frozenset()
    for position, item in enumerate(node.items):
        here = (*path, item.key)
        yield from _secrets(item.node, here, guarded or position in arguments or is_guarded(here))


def _is_literal(value: Any) -> bool:
    if isinstance(value, str):
        return value not in ("", REDACTED) and not is_reference(value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_source(node: Node) -> bool:
    source = node.find(("source",))
    known = node.is_object and all(item.key in _REFERENCE_KEYS for item in node.items or ())
    return known and source is not None and source.value in _REFERENCE_SOURCES


def _secret_arguments(items: Sequence[Item]) -> frozenset[int]:
    """Which entries of a list would be secrets among a command's arguments."""
    values = ["" if item.node.items is not None else str(item.node.value) for item in items]
    given = secret_arguments(values)
    return frozenset(each.argument for each in given if not is_reference(values[each.argument][slice(*each.place)]))


def _comment_redactor(tree: Tree) -> Callable[[str], str]:
    """Takes the tree's secrets out of a comment, and what looks like a setting of one."""
    known = set()
    for path, node in _secrets(tree.root):
        for secret in (str(node.value), tree.source(node).strip("\"'")):
            # A harmless variable such as LANG=C must not take every C out of the comments.
            if len(secret) >= _MIN_WITHIN_WORDS or looks_secret(str(path[-1])):
                known.add(secret)
    words = [
        re.escape(secret) if len(secret) >= _MIN_WITHIN_WORDS else rf"(?<!\w){re.escape(secret)}(?!\w)"
        for secret in sorted(known, key=len, reverse=True)
    ]
    anywhere = re.compile("|".join(words)) if words else None

    def redact(comment: str) -> str:
        end = -2 if comment.startswith("/*") else len(comment)
        body = comment[2:end]
        if len(words) > _MAX_SOUGHT:
            body = REDACTED
        elif anywhere:
            body = anywhere.sub(REDACTED, body)
        body = _IN_COMMENT.sub(_hide_setting, body)
        return comment[:2] + hidden(body, secret_places(body), REDACTED) + comment[end:]

    return redact


def _hide_setting(match: re.Match[str]) -> str:
    value = match[2].strip("\"'")
    return match[0] if is_reference(value) or value in ("", REDACTED) else match[1] + _QUOTED


def _restored_comments(tree: Tree, old: Tree) -> Iterator[Edit]:
    redact = _comment_redactor(old)
    taken: dict[str, list[str]] = {}
    for start, end in reversed(old.comments):
        comment = old.text[start:end]
        taken.setdefault(redact(comment), []).append(comment)
    for start, end in tree.comments:
        if originals := taken.get(tree.text[start:end]):
            yield start, end, originals.pop()


def _tree_or_none(text: str | None) -> Tree | None:
    try:
        return read_tree(text) if text is not None else None
    except ConfigError:
        return None  # a stored file that can't be read has no secret to give back, and a new one may replace it


def _pairs(node: Node, old: Node | None, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node, Node | None]]:
    """Each scalar with what ``old`` has in its place."""
    if node.items is None:
        yield path, node, old
        return
    same_kind = old is not None and old.items is not None and old.is_object == node.is_object
    twins: Iterator[Node | None] = repeat(None)
    if old and same_kind:
        twins = _same_names(node, old) if node.is_object else _same_entries(node, old)
    for item, twin in zip(node.items, twins, strict=False):
        yield from _pairs(item.node, twin, (*path, item.key))


def _same_names(node: Node, old: Node) -> Iterator[Node | None]:
    """A name that stands twice is matched one by one if it does in both, otherwise with the one that counts."""
    olds: dict[str | int, list[Node]] = {}
    for item in old.items or ():
        olds.setdefault(item.key, []).append(item.node)
    times = Counter(item.key for item in node.items or ())
    seen: Counter[str | int] = Counter()
    for item in node.items or ():
        found = olds.get(item.key, [])
        position = seen[item.key] if len(found) == times[item.key] else -1
        seen[item.key] += 1
        yield found[position] if found else None


def _same_entries(node: Node, old: Node) -> Iterator[Node | None]:
    olds = [item.node for item in old.items or ()]
    by_id = {_id(other): other for other in reversed(olds)}
    for position, item in enumerate(node.items or ()):
        name = _id(item.node)
        beside = olds[position] if position < len(olds) else None
        if beside and name in (_id(beside), REDACTED):
            yield beside
        else:
            yield by_id.get(name) if name is not None else None


def _id(node: Node) -> str | None:
    found = node.find(("id",)) if node.is_object else None
    return found.value if found and isinstance(found.value, str) else None
