import json
from collections.abc import Iterator

import pyjson5
import pytest
from hypothesis import given

from app.config import ConfigError
from app.config.syntax import MAX_CHARACTERS, Node, Tree, line_and_column, names_twice, read_tree, replaced
from tests.config.texts import TEXTS, Text


def values(tree: Tree, node: Node) -> object:
    """What the tree itself says that a node holds."""
    if node.items is None:
        return node.value
    if node.is_object:
        return {item.key: values(tree, item.node) for item in node.items}
    return [values(tree, item.node) for item in node.items]


@given(TEXTS)
def test_a_tree_has_every_value_in_its_place(written: Text) -> None:
    """The tree of any text holds what the parser reads, and each place of it parses to its value."""
    tree = read_tree(written.text)
    assert values(tree, tree.root) == pyjson5.decode(written.text) == written.value
    for item in tree.root.items or ():
        assert pyjson5.decode(tree.source(item.node)) == values(tree, item.node)
        assert item.comma is None or tree.text[item.comma] == ","


@given(TEXTS)
def test_a_tree_has_every_comment(written: Text) -> None:
    """Without its comments a text says the same, and has none."""
    tree = read_tree(written.text)
    bare = replaced(written.text, [(start, end, " ") for start, end in tree.comments])
    assert pyjson5.decode(bare) == written.value
    assert read_tree(bare).comments == []


@pytest.mark.parametrize(
    "text",
    [
        "{a: +.5, b: -Infinity, c: 0xFF, d: 5., e: 1e3}",
        "{\\u0061: 1, $_: 2, ü: 3, 'x\\\ny': 4, null: 5}",
        "{a: 'it\\'s \\\\', b: \"// {\", c: '/*'}//",
        "\ufeff{a\u00a0:[[],{},]}",
        "{a:1/**/,/***/b:2/* * / **/}",
        "{a:1//x\r,b:2//y\u2028,c:3}",
    ],
)
def test_odd_texts(text: str) -> None:
    """What JSON5 allows beyond the usual is read like the parser reads it."""
    tree = read_tree(text)
    assert json.dumps(values(tree, tree.root)) == json.dumps(pyjson5.decode(text))


def test_spaces_are_the_parsers() -> None:
    """No character is a space to the parser and something else to the tree."""
    for code in range(0x10000):
        text = f"{{a:{chr(code)}1}}"
        try:
            expected = pyjson5.decode(text)
        except pyjson5.Json5DecoderException:
            continue
        tree = read_tree(text)
        assert values(tree, tree.root) == expected, hex(code)


@pytest.mark.parametrize("text", ["", "[]", "{", "{a:1,,}", "{a:1}}", "[" * 40 + "]" * 40, "{a:1} /*"])
def test_other_texts_are_refused(text: str) -> None:
    """What the parser refuses has no tree."""
    with pytest.raises(ConfigError, match=r"openclaw\.json"):
        read_tree(text)


def test_a_text_has_a_bound() -> None:
    """A text that no hand has written isn't looked at."""
    with pytest.raises(ConfigError, match=f"allowed: at most {MAX_CHARACTERS}"):
        read_tree("{}" + " " * MAX_CHARACTERS)


def test_the_last_of_a_name_counts() -> None:
    """As the parser has it."""
    tree = read_tree("{a: 1, 'a': 2, b: {c: [3]}}")
    found = tree.root.find(("a",))
    assert found
    assert tree.source(found) == "2"
    assert tree.root.find(("b", "c", 1)) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{a: 1, b: {a: 1}, c: [{a: 1}, {a: 1}]}", []),
        ("{a: 1, 'a': 2, \"a\": 3}", [(("a",), 7, 1), (("a",), 15, 1)]),
        ("{a: {b: 1, b: 2}}", [(("a", "b"), 11, 5)]),
        ("{a: [1, [{}, {b: 1, b: 2}]]}", [(("a", 1, 1, "b"), 20, 14)]),
        ("{a: 'a', /* a: 1 */ \\u0061: 1}", [(("a",), 20, 1)]),
        ("{a: {a: 1}, a: {}}", [(("a",), 12, 1)]),
        ("{'': 1, '': 2}", [(("",), 8, 1)]),
    ],
)
def test_names_that_stand_twice(text: str, found: object) -> None:
    """Each is found with its path, its place and the first one's, however it is written."""
    assert list(names_twice(text)) == found


@given(TEXTS)
def test_names_that_stand_twice_are_those_of_the_tree(written: Text) -> None:
    """Of any text, what a look at its tokens finds is what its tree has."""

    def walk(node: Node, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], int]]:
        seen = set()
        for item in node.items or ():
            if item.key in seen:
                yield (*path, item.key), item.start
            seen.add(item.key)
            yield from walk(item.node, (*path, item.key))

    tree = read_tree(written.text)
    assert [(path, at) for path, at, _ in names_twice(written.text)] == list(walk(tree.root, ()))


def test_lines_and_columns() -> None:
    """Both are counted from 1."""
    assert [line_and_column("a\nbc", at) for at in range(4)] == [(1, 1), (1, 2), (2, 1), (2, 2)]
