import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agents.tools.confinement import Confinement
from app.config import check, parse_path, read_text, redacted, with_value
from app.config.faults import value_at
from app.config.include import Composition
from app.config.reading import FilesRead
from app.config.syntax import MAX_CHARACTERS
from tests.config.conftest import TOKEN, Place

Refused = Callable[..., str]
AUTH = {"auth": {"mode": "token", "token": "tok-12345678901234567890"}}


def put(place: Place, name: str, document: Any) -> Path:
    path = place.state_dir / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(0o600)
    return path


def composed(folder: Path, document: Any) -> Any:
    return Composition(json.dumps(document), folder / "openclaw.json", "openclaw.json", FilesRead()).document


def test_a_file_is_included(place: Place) -> None:
    """What it says is as if it stood in the main file."""
    put(place, "base.json5", "{logging: {level: 'warn'}} // JSON5")
    settings = place.load({"$include": "./base.json5", "gateway": AUTH}, NONE="")
    assert settings.logging.level == "warn"
    assert settings.warnings == ()


def test_what_stands_beside_it_wins(place: Place) -> None:
    """Objects merge to any depth, lists are joined with the included first, anything else is replaced."""
    put(place, "a.json5", {"x": {"one": 1, "both": "a", "list": [1, {"y": 1}]}, "kind": [1], "only": "a"})
    put(place, "b.json5", {"x": {"two": 2, "both": "b", "list": [2]}, "kind": {}})
    document = {"$include": ["a.json5", "./b.json5"], "x": {"both": "main", "list": [3]}, "kind": "text"}
    assert composed(place.state_dir, document) == {
        "x": {"one": 1, "both": "main", "list": [1, {"y": 1}, 2, 3], "two": 2},
        "kind": "text",
        "only": "a",
    }


@given(
    st.recursive(st.integers() | st.lists(st.integers()), lambda inner: st.dictionaries(st.sampled_from("abc"), inner))
)
def test_an_include_alone_changes_nothing(tmp_path_factory: Any, document: Any) -> None:
    """An object that is only an include is what the file holds, and so is one with an include of nothing."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "part.json5").write_text(json.dumps({"part": document}))
    (folder / "empty.json5").write_text("{}")
    assert composed(folder, {"$include": "part.json5"}) == {"part": document}
    assert composed(folder, {"$include": ["empty.json5"], "part": document}) == {"part": document}
    assert composed(folder, {"x": [{"$include": ["part.json5", "empty.json5"]}]}) == {"x": [{"part": document}]}


def tagged(tag: str) -> st.SearchStrategy[Any]:
    """Objects whose scalars say which file they are in."""
    values = st.recursive(
        st.integers(0, 9).map(lambda number: f"{tag}{number}"),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
        max_leaves=5,
    )
    return st.dictionaries(st.sampled_from("xyz"), values, max_size=3)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(inner, (*path, key))


@given(tagged("a"), tagged("b"), tagged("m"))
def test_every_value_is_known_to_be_where_it_was_written(tmp_path_factory: Any, a: Any, b: Any, main: Any) -> None:
    """However the files merge, of each value the file and its place there are told."""
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.json5").write_text(json.dumps(a, indent=1))
    (folder / "b.json5").write_text(json.dumps({"part": b, "$include": "a.json5"}, indent=1))
    document = {"$include": "b.json5", **main, "part": {**main, "$include": "a.json5"}}
    text = json.dumps(document, indent=1)
    whole = Composition(text, folder / "openclaw.json", "openclaw.json", FilesRead())
    names = {"a": "a.json5", "b": "b.json5", "m": "openclaw.json"}
    for path, value in leaves(whole.document):
        assert whole.file_of(path).name == names[value[0]]
        where = whole.located(path)
        if value[0] == "m":
            assert value_at(document, parse_path(where)) == value
        else:
            line = int(where.removesuffix(")").rpartition(":")[2])
            assert f'"{value}"' in (folder / names[value[0]]).read_text().splitlines()[line - 1]


def test_includes_within_includes(place: Place) -> None:
    """A path is relative to the file that names it, at any object."""
    put(place, "parts/agents.json5", "{list: [{$include: './one.json5', name: 'One'}]}")
    put(place, "parts/one.json5", "{id: 'one', $include: '../model.json5'}")
    put(place, "model.json5", "{model: 'local/smollm2-135m'}")
    agent = place.load({"agents": {"$include": "parts/agents.json5"}}).agents["one"]
    assert (agent.name, agent.model.primary) == ("One", "local/smollm2-135m")


def test_faults_say_file_and_line(place: Place) -> None:
    """Of an included key; keys of the main file are told as ever, wherever the merge has put them."""
    put(
        place,
        "parts/base.json5",
        "{\n  gateway: {\n    port: 'x',\n    prot: 1,\n  },\n  agents: {list: [{id: 'A'}]},\n}",
    )
    lines = place.faults(
        {"$include": "parts/base.json5", "gateway": {"bind": "wan"}, "agents": {"list": [{"id": "B"}]}, "extra": 1}
    )
    assert sorted(line.partition(": ")[0] for line in lines) == [
        "agents.list[0].id",
        "agents.list[0].id (parts/base.json5:6)",
        "extra",
        "gateway.bind",
        "gateway.port (parts/base.json5:3)",
        "gateway.prot (parts/base.json5:4)",
    ]


def test_what_lacks_is_told_where_its_object_begins(place: Place, refused: Refused) -> None:
    """A key that must be there is missed in the file that has the object."""
    put(place, "p.json5", "{\n  house: {\n    apiKey: 'x' } }")
    line = refused({"models": {"providers": {"$include": "p.json5"}}})
    assert line.startswith("models.providers.house.baseUrl (p.json5:2): found nothing")


def test_syntax_faults_have_the_files_name(place: Place, refused: Refused) -> None:
    """With line and column there, and where it was included."""
    put(place, "parts/base.json5", "{\n  a: }")
    line = refused({"gateway": {"$include": "parts/base.json5"}})
    assert line.startswith("parts/base.json5:2:6: ")
    assert line.endswith("(included at gateway.$include)")


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("gone.json5", None, "can't be read: No such file or directory"),
        (".", None, "which is"),
        ("parts", {}, "can't be read: Is a directory"),
        ("list.json5", "[]", "found no object; allowed: one JSON5 object"),
        ("long.json5", "{}" + " " * MAX_CHARACTERS, f"allowed: at most {MAX_CHARACTERS}"),
        ("huge.json5", "{}" + " " * 4 * MAX_CHARACTERS, "is larger than 4096 KiB"),
        ("deep.json5", "{a:" * 31 + "1" + "}" * 31, "nests too deeply"),
        ("../outside.json5", None, "allowed: a file below"),
        ("/etc/hostname", None, "which is '/etc/hostname'; allowed: a file below"),
        ("openclaw.json", None, "which includes itself in the end"),
        ("link.json5", None, "which is '/etc/hostname'; allowed: a file below"),
        ("a\0b", None, "allowed: the path of a file, or a list of such"),
        ("x" * 300, None, "can't be read: File name too long"),
    ],
)
def test_what_can_not_be_included(place: Place, refused: Refused, name: str, content: Any, what: str) -> None:
    """One fault that says where it was to be included, and the file."""
    (place.state_dir / "parts").mkdir()
    (place.state_dir / "link.json5").symlink_to("/etc/hostname")
    if isinstance(content, str):
        put(place, name, content)
    line = refused({"gateway": {"auth": {"$include": [name]}}})
    assert "gateway.auth.$include[0]" in line
    assert what in line


@pytest.mark.parametrize("value", [1, None, True, {}, "", [1], [[]], ["base.json5", None]])
def test_what_names_no_file(place: Place, refused: Refused, value: Any) -> None:
    """Only text, or a list of texts, names files."""
    put(place, "base.json5", {})
    assert refused({"agents": {"$include": value}}).startswith("agents.$include")


def test_an_unreadable_pipe_is_refused(place: Place, refused: Refused) -> None:
    """Nobody waits for somebody to write into it."""
    os.mkfifo(place.state_dir / "pipe.json5")
    assert "is not a regular file" in refused({"$include": "pipe.json5"})


def test_a_folder_behind_a_link_is_the_same_folder(tmp_path: Path) -> None:
    """What is inside is told by where files really are."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    place = Place(tmp_path / "link")
    put(place, "base.json5", {"logging": {"level": "warn"}})
    assert place.load({"$include": str(tmp_path / "real" / "base.json5")}).logging.level == "warn"


def test_a_circle_is_one_fault(place: Place, refused: Refused) -> None:
    """It names the place that closes it; a file that is included twice is none."""
    put(place, "a.json5", "{$include: 'b.json5'}")
    put(place, "b.json5", "{\n$include: './a.json5'}")
    assert refused({"$include": "a.json5"}).startswith('$include (b.json5:2): found "./a.json5", which includes itself')
    put(place, "b.json5", {})
    assert place.load({"$include": ["a.json5", "b.json5", "b.json5"]})


def test_levels_have_a_bound(place: Place, refused: Refused) -> None:
    """Ten are enough, eleven a fault."""
    for level in range(1, 11):
        put(place, f"{level}.json5", {"$include": f"{level + 1}.json5"})
    put(place, "11.json5", {"logging": {"level": "warn"}})
    assert place.load({"$include": "2.json5"}).logging.level == "warn"
    assert refused({"$include": "1.json5"}).startswith('$include (10.json5:1): found "11.json5", on level 11')


def test_files_have_a_bound(place: Place, refused: Refused) -> None:
    """Also where few files include each other many times."""
    put(place, "leaf.json5", {})
    assert place.load({"$include": ["leaf.json5"] * 64})
    assert "at most 64 included files" in refused({"$include": ["leaf.json5"] * 70})
    put(place, "9.json5", {})
    for level in range(9):
        put(place, f"{level}.json5", {"$include": [f"{level + 1}.json5"] * 9})
    assert "at most 64 included files" in refused({"$include": "0.json5"})


def test_all_files_together_have_a_bound(place: Place, refused: Refused) -> None:
    """They are read at each change while callers wait, so together they are no longer than one text may be."""
    put(place, "half.json5", "{}" + " " * (MAX_CHARACTERS // 2))
    assert place.load({"$include": "half.json5"})
    line = refused({"$include": ["half.json5", "half.json5"]})
    assert line == (
        '$include[1]: found "half.json5", with which the files are too long; '
        f"allowed: {MAX_CHARACTERS} characters in all"
    )


def test_all_includes_that_fail_are_told_at_once(place: Place) -> None:
    """With what stands twice; what would only follow from them isn't."""
    lines = place.faults("{agents: {$include: 'a'}, gateway: {$include: ['b', 'c'], port: 1, port: 2}}")
    assert [line.partition(":")[0] for line in lines] == [
        "agents.$include",
        "gateway.$include[0]",
        "gateway.$include[1]",
        "gateway.port (openclaw.json",
    ]


def test_included_values_may_be_references(place: Place) -> None:
    """Variables, secrets and env work there as in the main file."""
    put(place, "base.json5", "{env: {A: 'a-token'}, gateway: {auth: {token: '${A}'}}}")
    assert place.load({"$include": "base.json5"}, NONE="").gateway.auth.token == "a-token"


def test_a_change_may_be_made_beside_an_include(place: Place) -> None:
    """A change stays in the main file's text, is checked with all that it includes, and shows the main file alone."""
    put(place, "base.json5", {"gateway": {"auth": {"token": TOKEN}, "port": 4000}})
    place.write("{$include: 'base.json5'} // mine")
    text = with_value(read_text(place.environment()) or "", ("gateway", "port"), 4001)
    settings = check(text, place.environment())
    assert (settings.gateway.port, settings.gateway.auth.token) == (4001, TOKEN)
    assert TOKEN not in redacted(text)
    assert "$include: 'base.json5'" in redacted(text)


def test_secrets_in_included_files_that_others_can_read_are_told(place: Place) -> None:
    """The file that has the secret is named, and no other."""
    path = put(place, "secret.json5", {"gateway": {"auth": {"token": "literal"}}})
    place.write({"$include": "secret.json5"})
    place.file.chmod(0o644)
    assert place.load_written(NONE="").warnings == ()
    path.chmod(0o644)
    (warning,) = place.load_written(NONE="").warnings
    assert f"chmod 600 {path}" in warning


def test_tools_may_not_touch_what_is_included(tmp_path: Path) -> None:
    """Files beside a configuration that is not in the state folder are as private as it is."""
    (tmp_path / "state").mkdir(mode=0o700)
    place = Place(tmp_path / "state")
    place.file = tmp_path / "openclaw.json"
    (tmp_path / "base.json5").write_text("{}")
    settings = place.load(
        {"$include": "base.json5"}, OPENCLAW_GATEWAY_TOKEN=TOKEN, OPENCLAW_CONFIG_PATH=str(place.file)
    )
    assert tmp_path / "base.json5" in settings.agents["main"].private
    assert tmp_path / "base.json5" in Confinement.of(settings).files
