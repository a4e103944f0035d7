import json
from typing import Any

import pyjson5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import ConfigError, merged, parse_path, with_names_once, with_value, without
from app.config.faults import dotted
from app.config.syntax import Tree, read_tree
from tests.config.texts import OBJECTS, TEXTS, VALUES, Text

FILE = """\
// The gateway's configuration.
{
  gateway: {
    port: 18789, // the usual
    auth: { mode: "token", token: '${TOKEN}' },
    bind: "loopback" /* nobody else */
  },
  // Who answers.
  agents: {
    list: [
      { id: "main", default: true }, // the first
      { id: 'writer', tools: { allow: ["read"] } },
    ],
  },
  models: {},
}
"""


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in inner for found in ((*path, key), *paths(item, (*path, key)))]


def comments(tree: Tree, *without_: tuple[int, int]) -> list[str]:
    """The comments, but for those inside of some places."""
    return [
        tree.text[start:end]
        for start, end in tree.comments
        if not any(low <= start and end <= high for low, high in without_)
    ]


@settings(max_examples=150)
@given(TEXTS, VALUES, st.data())
def test_a_value_that_is_set_is_all_that_changes(written: Text, value: Any, data: st.DataObject) -> None:
    """The rest says the same, and each comment outside of the old value is still there, in its order."""
    known = paths(written.value)
    path = data.draw(st.sampled_from(known)) if known else ("new",)
    if data.draw(st.booleans()):
        owner = path[:-1] if isinstance(path[-1], str) else ()
        path = (*owner, "new key")
    expected = json.loads(json.dumps(written.value))
    owner_value = expected
    for key in path[:-1]:
        owner_value = owner_value[key]
    owner_value[path[-1]] = value
    old = read_tree(written.text)
    node = old.root.find(path)
    text = with_value(written.text, path, value)
    assert pyjson5.decode(text) == expected
    changed = [(node.start, node.end)] if node and text != written.text else []
    assert comments(read_tree(text)) == comments(old, *changed)
    assert with_value(text, path, value) == text


@settings(max_examples=150)
@given(TEXTS, st.data())
def test_a_value_that_is_removed_is_all_that_goes(written: Text, data: st.DataObject) -> None:
    """The rest says the same, and each comment outside of what was removed is still there, in its order."""
    known = paths(written.value)
    if not known:
        return
    path = data.draw(st.sampled_from(known))
    expected = json.loads(json.dumps(written.value))
    owner_value = expected
    for key in path[:-1]:
        owner_value = owner_value[key]
    del owner_value[path[-1]]
    old = read_tree(written.text)
    owner = old.root.find(path[:-1])
    assert owner
    gone = [(item.start, item.node.end) for item in owner.items or () if item.key == path[-1]]
    text = without(written.text, path)
    assert pyjson5.decode(text) == expected
    assert comments(read_tree(text)) == comments(old, *gone)


def rfc_7396(target: Any, patch: Any) -> Any:
    """MergePatch, as section 2 of the RFC has it."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc_7396(result.get(name), value)
    return result


@settings(max_examples=150)
@given(TEXTS, OBJECTS)
def test_a_merge_patch_does_what_the_rfc_says(written: Text, patch: dict[str, Any]) -> None:
    """Of any text and any patch; a second time it changes nothing."""
    text = merged(written.text, patch, [dotted(path) for path in paths(patch)])
    assert pyjson5.decode(text) == rfc_7396(written.value, patch)
    assert merged(text, patch, [dotted(path) for path in paths(patch)]) == text


@given(TEXTS)
def test_a_patch_of_what_is_there_changes_nothing(written: Text) -> None:
    """Not a letter: numbers, quotes and spaces stay as they were written."""
    patch = {name: value for name, value in written.value.items() if "null" not in json.dumps(value)}
    assert merged(written.text, patch, [dotted(path) for path in paths(patch)]) == written.text


def test_a_file_stays_its_users() -> None:
    """New keys stand where a person would have put them, and lines that no change is about stay."""
    text = merged(
        FILE,
        {
            "gateway": {"port": 1, "bind": None, "reload": {"mode": "off"}, "auth": {"mode": None, "password": "p"}},
            "agents": {"list": [{"id": "writer", "name": "W"}, {"id": "new"}], "defaults": {"maxTurns": 3}},
            "models": {"providers": {"openai": {"baseUrl": "https://api.example/v1", "headers": {"X-Org": "o" * 60}}}},
            "logging": {"level": "debug"},
        },
    )
    assert (
        text
        == f"""\
// The gateway's configuration.
{{
  gateway: {{
    port: 1, // the usual
    auth: {{ token: '${{TOKEN}}', password: "p" }},
    reload: {{ mode: "off" }}
    /* nobody else */
  }},
  // Who answers.
  agents: {{
    list: [
      {{ id: "main", default: true }}, // the first
      {{ id: 'writer', tools: {{ allow: ["read"] }}, name: "W" }},
      {{ id: "new" }},
    ],
    defaults: {{ maxTurns: 3 }},
  }},
  models: {{ providers: {{
    openai: {{
      baseUrl: "https://api.example/v1",
      headers: {{ "X-Org": "{"o" * 60}" }},
    }},
  }} }},
  logging: {{ level: "debug" }},
}}
"""
    )


@pytest.mark.parametrize(
    ("text", "path", "value", "after"),
    [
        ("{}\n", "gateway.port", 1, "{\n  gateway: { port: 1 },\n}\n"),
        ("{\r\n\ta: 1\r\n}", "b", 2, "{\r\n\ta: 1,\r\n\tb: 2\r\n}"),
        ('{\n    "a": 1\n}', "b.c", [1, {}], '{\n    "a": 1,\n    "b": {"c": [1, {}]}\n}'),
        ("{ a: 1 }", "b", 2, "{ a: 1, b: 2 }"),
        ("{a: 1, // one\n}", "b", 2, "{a: 1, b: 2, // one\n}"),
        ("{\n  a: 1, // one\n}", "b", 2, "{\n  a: 1, // one\n  b: 2,\n}"),
        ("{\n  // none yet\n}", "b", 2, "{\n  b: 2,\n  // none yet\n}"),
        ("{a: [1]}", "a[1]", 2, "{a: [1, 2]}"),
        ("{a: [1]}", "a.0", 2, "{a: [2]}"),
        ("{a: []}", "a[0].b", 2, "{a: [{ b: 2 }]}"),
        ("{a: 1, 'a': 2}", "a", 3, "{a: 1, 'a': 3}"),
        ("{a: 0x10}", "a", 16, "{a: 0x10}"),
        ("{a: 1}", "a", 1.0, "{a: 1.0}"),
        ("{a: 1}", "a", True, "{a: true}"),
        ("{a: 1}", "a", None, "{a: null}"),
        ("{ a: {} }", '["x.y"]', "é\n", '{ a: {}, "x.y": "é\\n" }'),
    ],
)
def test_setting(text: str, path: str, value: Any, after: str) -> None:
    """A value is written in the manner of the text around it; one that is the same already stays as it was written."""
    assert with_value(text, parse_path(path), value) == after


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        ("{a: 1}", "a", "{}"),
        ("{a: 1, b: 2}", "b", "{a: 1}"),
        ("{a: 1, b: 2,}", "b", "{a: 1,}"),
        ("{ a: 1, b: 2 }", "a", "{ b: 2 }"),
        ("{\n  a: 1,\n  b: 2\n}", "b", "{\n  a: 1\n}"),
        ("{\n  a: 1,\n  // of b\n  b: 2,\n}", "b", "{\n  a: 1,\n  // of b\n}"),
        ("{a: 1, b: 2, a: 3}", "a", "{b: 2}"),
        ("{a: [1, 2, 3]}", "a[1]", "{a: [1, 3]}"),
        ("{a: [{b: 1}]}", "a.0.b", "{a: [{}]}"),
    ],
)
def test_removing(text: str, path: str, after: str) -> None:
    """A value goes with its name, its comma and its line."""
    assert without(text, parse_path(path)) == after


@pytest.mark.parametrize(
    ("patch", "replace_paths", "after"),
    [
        ([{"id": "b", "x": 1}], [], [{"id": "a", "y": [1]}, {"id": "b", "x": 1}]),
        ([{"id": "a", "y": None}], [], [{"id": "a"}, {"id": "b"}]),
        ([{"id": "c"}], [], [{"id": "a", "y": [1]}, {"id": "b"}, {"id": "c"}]),
        ([], [], [{"id": "a", "y": [1]}, {"id": "b"}]),
        ([], ["agents.list"], []),
        ([{"id": "a", "y": []}], [], [{"id": "a", "y": []}, {"id": "b"}]),
        ([{"name": "no id"}], ["agents.list"], [{"name": "no id"}]),
        (None, [], None),
        ("other", [], "other"),
    ],
)
def test_lists_of_objects_with_ids_merge(patch: Any, replace_paths: list[str], after: Any) -> None:
    """By id and without loss, unless the caller says that the list is to be replaced."""
    text = merged("{agents: {list: [{id: 'a', y: [1]}, {id: 'b'}]}}", {"agents": {"list": patch}}, replace_paths)
    assert pyjson5.decode(text)["agents"].get("list") == after


def test_what_a_patch_removes_is_gone() -> None:
    """An earlier key of the same name doesn't come back."""
    assert merged("{a: 1, b: 2, a: 3}", {"a": None}) == "{b: 2}"


def test_a_list_within_a_list_may_be_replaced() -> None:
    """Its path has [] for any entry."""
    text = "{a: [{id: 'x', b: [{id: 'y'}]}]}"
    patch = {"a": [{"id": "x", "b": [{"id": "z"}]}]}
    assert pyjson5.decode(merged(text, patch))["a"][0]["b"] == [{"id": "y"}, {"id": "z"}]
    assert pyjson5.decode(merged(text, patch, ["a[].b"]))["a"][0]["b"] == [{"id": "z"}]


@pytest.mark.parametrize("entries", [[{"name": "x"}], [1], [{"id": "a"}, {"id": "a"}], [{"id": 1}]])
def test_a_list_that_can_not_be_merged_is_refused(entries: Any) -> None:
    """The fault says how to replace it."""
    with pytest.raises(ConfigError, match=r"agents\.list\[\d\]: found .* agents\.list in replacePaths"):
        merged(FILE, {"agents": {"list": entries}})


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("gateway.port.x", r"gateway\.port: found a number"),
        ("agents.list[3]", r"agents\.list\[3\]: found no such entry; allowed: \[0\] to \[2\]"),
        ("agents.list.name", r"agents\.list\.name: found no such entry"),
        ("models.x[1]", r"models\.x\[1\]: found no such entry"),
    ],
)
def test_where_nothing_can_be_set(path: str, where: str) -> None:
    """The fault names the path."""
    with pytest.raises(ConfigError, match=f"^{where}"):
        with_value(FILE, parse_path(path), 1)


@pytest.mark.parametrize("path", ["gateway.prot", "agents.list[2]", "gateway.port.x", "agents.list.x"])
def test_nothing_can_not_be_removed(path: str) -> None:
    """A key that the file doesn't have is a fault."""
    with pytest.raises(ConfigError, match="found nothing"):
        without(FILE, parse_path(path))


def test_a_value_has_a_depth() -> None:
    """What the parser wouldn't read again is refused before it is written."""
    value: Any = 1
    for _ in range(2000):
        value = [value]
    with pytest.raises(ConfigError, match="deeper nesting"):
        with_value("{}", ("a",), value)
    with pytest.raises(ConfigError, match="deeper nesting"):
        merged("{}", {"a": value})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("gateway", ("gateway",)),
        ("agents.list[2].model", ("agents", "list", 2, "model")),
        ('models.providers["a.b"].headers["X \\" Y"]', ("models", "providers", "a.b", "headers", 'X " Y')),
        ('["a"][0]', ("a", 0)),
        ("agents.list.2", ("agents", "list", "2")),
    ],
)
def test_paths(text: str, path: tuple[str | int, ...]) -> None:
    """Names are parted by dots; an index, or a name with a dot in it, stands in brackets."""
    assert parse_path(text) == path


@given(st.lists(st.text(min_size=1) | st.integers(0, 10**8), min_size=1, max_size=6).map(tuple))
def test_paths_of_faults_can_be_given_back(path: tuple[str | int, ...]) -> None:
    """Every path that a fault names can be set."""
    assert parse_path(dotted(path)) == path


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a]", "a[0]b", 'a["\\x"]', "a." * 40 + "b"]
)
def test_other_paths_are_refused(text: str) -> None:
    """The fault shows how a path is written."""
    with pytest.raises(ConfigError, match="the path: found"):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "path", "after"),
    [
        ("{a: 1, b: 2, a: 3}", "a", "{b: 2, a: 3}"),
        ("{a: {b: 1}, a: {b: 2, b: 3, c: 4, c: 5}}", "a.b", "{a: {b: 3, c: 4, c: 5}}"),
        ("{a: [{b: 1, b: 2}]}", "a[0].b", "{a: [{b: 2}]}"),
        ("{a: 1, a: 2}", "b.c", "{a: 1, a: 2}"),
        ("{a: 1}", "a.b", "{a: 1}"),
    ],
)
def test_names_that_stand_once(text: str, path: str, after: str) -> None:
    """On the way to a path only what counts is left; elsewhere everything is."""
    assert with_names_once(text, parse_path(path)) == after


@given(TEXTS, st.data())
def test_what_counts_stays(written: Text, data: st.DataObject) -> None:
    """Whatever the text, it means the same afterwards."""
    path = data.draw(st.lists(st.sampled_from(["a", "b", "list", "env", 0]), min_size=1, max_size=3))
    assert pyjson5.decode(with_names_once(written.text, tuple(path))) == written.value
