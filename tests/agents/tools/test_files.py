"""The tools read, write, edit and ls."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from app.agents.tools import files as files_module
from app.agents.tools import workspace
from app.agents.tools.files import MAX_FILE, MAX_LINES, MAX_NAMES, MAX_PLACES, MAX_TEXT
from tests.agents.tools.conftest import Files


def test_reading_is_free_and_changing_is_not(files: Files) -> None:
    """Calls that only read may run beside each other; those that change are told apart."""
    traits = {tool.name: (tool.concurrent, tool.changes) for tool in files.tools.values()}
    assert {name for name, trait in traits.items() if trait == (True, False)} == {"read", "ls", "find", "grep"}
    assert {name for name, trait in traits.items() if trait == (False, True)} == {"write", "edit"}


def test_a_small_file_is_read_whole(files: Files) -> None:
    """The text comes as it is, with nothing added."""
    (files.root / "a").write_text("one\ntwo")
    assert files.call("read", path="a") == "one\ntwo"


def test_a_long_file_is_read_in_parts(files: Files) -> None:
    """Each part says which lines it has and how to go on, and the parts make up the file."""
    lines = [f"line {number}" for number in range(1, 2 * MAX_LINES + 11)]
    (files.root / "a").write_text("\n".join(lines) + "\n")
    read: list[str] = []
    for offset in (1, MAX_LINES + 1, 2 * MAX_LINES + 1):
        *part, note = files.call("read", path="a", offset=offset).split("\n")
        read += part
        last = min(offset + MAX_LINES - 1, len(lines))
        more = f"; read on with offset {last + 1}" if last < len(lines) else ""
        assert note == f"[lines {offset}-{last} of {len(lines)}{more}]"
    assert read == lines


def test_a_window_of_lines(files: Files) -> None:
    """Offset counts from 1, and a JSON number such as 2.0 is one."""
    (files.root / "a").write_text("1\n2\n3\n4\n")
    assert files.call("read", path="a", offset=2.0, limit=2) == "2\n3\n[lines 2-3 of 4; read on with offset 4]"
    assert files.refusal("read", path="a", offset=9) == "a has 4 lines: there is no line 9"


def steps_of(work: Callable[..., str], *arguments: Any) -> int:
    """How many calls it makes: each is a while in which no other thread works."""
    count = 0

    def on_event(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(on_event)
    try:
        work(*arguments)
    finally:
        sys.setprofile(None)
    return count


def test_millions_of_lines_are_not_millions_of_steps(files: Files) -> None:
    """The last of very many lines is read, and changed, without going through them one by one."""
    (files.root / "a").write_bytes(b"\n" * (MAX_FILE - 2) + b"x\n")
    offset = MAX_FILE - 1
    assert files.call("read", path="a", offset=offset).startswith("x\n[lines 4194303-4194303 of 4194303")
    assert steps_of(files_module._read, files.workspace, {"path": "a", "offset": offset}) < 10_000
    edit = {"path": "a", "oldText": "x", "newText": "y"}
    assert steps_of(files_module._edit, files.workspace, edit) < 20_000
    assert (files.root / "a").read_bytes() == b"\n" * (MAX_FILE - 2) + b"y\n"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 100])
def test_every_line_is_found(files: Files, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """However lines lie in the blocks by which they are counted, each is the one that was asked for."""
    monkeypatch.setattr(files_module, "BLOCK", block)
    lines = ["1", "", "", "four", "", "six six six", "7"]
    (files.root / "a").write_text("\n".join(lines))
    for number, line in enumerate(lines, 1):
        assert files.call("read", path="a", offset=number, limit=1).split("\n")[0] == line


def test_reading_stops_at_the_bytes_too(files: Files) -> None:
    """Long lines end a part before the number of lines does, and a line that is longer than a part is cut."""
    (files.root / "a").write_text(f"{'x' * 30_000}\n{'y' * 30_000}\n{'é' * MAX_TEXT}\n")
    assert files.call("read", path="a") == f"{'x' * 30_000}\n[lines 1-1 of 3; read on with offset 2]"
    last = files.call("read", path="a", offset=3)
    assert last == f"{'é' * (MAX_TEXT // 2)}\n[line 3 is cut, it has {2 * MAX_TEXT + 1} bytes; lines 3-3 of 3]"


def test_a_file_that_is_too_large_to_be_read(files: Files) -> None:
    """What this tool can't reach is told, and that it is not the whole."""
    (files.root / "a").write_bytes(b"0123456\n" * (MAX_FILE // 8 + 1))
    last = MAX_FILE // 8
    assert files.call("read", path="a", offset=last).split("\n")[-1] == (
        f"[lines {last}-{last} of {last} in the first {MAX_FILE} of its {MAX_FILE + 8} bytes, "
        "which are all that this tool reads]"
    )
    assert "edit changes files of at most" in files.refusal("edit", path="a", oldText="0", newText="1")
    assert "at most" in files.refusal("write", path="b", content="x" * (MAX_FILE + 1))


def test_what_is_not_text(files: Files) -> None:
    """A binary file is named with its size, an empty one as empty, and bytes that are no UTF-8 are replaced."""
    (files.root / "binary").write_bytes(b"\x7fELF\0\0")
    (files.root / "empty").write_bytes(b"")
    (files.root / "latin").write_bytes(b"caf\xe9")
    assert files.call("read", path="binary") == "[binary is a binary file of 6 bytes]"
    assert files.call("read", path="empty") == "[empty is empty]"
    assert files.call("read", path="latin") == "caf\ufffd"
    assert files.refusal("read", path="none") == "none: there is no such file"
    assert files.refusal("read", path=".") == ". is a folder; ls shows what is in it"


def test_writing(files: Files) -> None:
    """A file and its folders are made, an old one is replaced whole, and only with valid Unicode."""
    assert files.call("write", path="x/y/a", content="é") == "created x/y/a: 2 bytes"
    assert files.call("write", path="x/y/a", content="b") == "replaced x/y/a: 1 bytes"
    assert (files.root / "x/y/a").read_text() == "b"
    assert files.refusal("write", path="x", content="") == "x is a folder; name a file"
    assert "not valid Unicode at character 1" in files.refusal("write", path="a", content="x\ud800")
    assert sorted(path.name for path in files.root.rglob("*")) == ["a", "x", "y"]


def test_the_mode_of_a_file_is_kept(files: Files) -> None:
    """A script stays executable, and what is private stays private."""
    for mode in (0o755, 0o600):
        (files.root / "a").write_text("x")
        (files.root / "a").chmod(mode)
        files.call("write", path="a", content="y")
        assert stat.S_IMODE((files.root / "a").stat().st_mode) == mode


def test_a_changed_program_is_run_as_changed(files: Files) -> None:
    """Python does not take the byte code of before for that of a file that was changed within the same second."""
    for content in ("print(1)", "print(2)", "print(3)"):
        files.call("write", path="program.py", content=content)
        run = subprocess.run([sys.executable, "-c", "import program"], cwd=files.root, capture_output=True, check=True)
        assert f"print({run.stdout.decode().strip()})" == content
    times = set()
    for number in range(4):
        files.call("edit", path="program.py", oldText=f"print({number + 3})", newText=f"print({number + 4})")
        times.add(int((files.root / "program.py").stat().st_mtime))
    assert len(times) == 4


def test_editing(files: Files) -> None:
    """The one place is replaced, nothing else, bytes that are no UTF-8 included."""
    (files.root / "a").write_bytes(b"one\ntwo\nthree\n\xff\n")
    assert files.call("edit", path="a", oldText="two\nth", newText="2\n3, ") == "edited a at line 2"
    assert (files.root / "a").read_bytes() == b"one\n2\n3, ree\n\xff\n"


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"one\r\ntwo\r\n", "one\ntwo", "1\n2\n3", b"1\r\n2\r\n3\r\n"),
        (b"one\r\ntwo\r\n", "one\r\ntwo", "1\r\n2", b"1\r\n2\r\n"),
        (b"one\r\ntwo\r\n", "\ntwo\n", "\n", b"one\r\n"),
        (b"one\ntwo\n", "one\r\ntwo", "1\r\n2", b"1\n2\n"),
        (b"1\r\n2\r\n3\r\n4\n5\n", "3\n4\n", "x\n", b"1\r\n2\r\nx\r\n5\n"),
        (b"1\n2\n3\r\n4\n5\n", "2\n3\n", "x\n", b"1\nx\n4\n5\n"),
        (b"\xef\xbb\xbfone\r\n", "one", "1", b"\xef\xbb\xbf1\r\n"),
        (b"\xef\xbb\xbfone", "\ufeffone", "1", b"\xef\xbb\xbf1"),
    ],
)
def test_line_ends_and_marks_are_kept(files: Files, before: bytes, old: str, new: str, after: bytes) -> None:
    """The model need not know how lines end: what it adds ends as the file's lines do, and the rest is untouched."""
    (files.root / "a").write_bytes(before)
    files.call("edit", path="a", oldText=old, newText=new)
    assert (files.root / "a").read_bytes() == after


def test_a_text_that_does_not_occur(files: Files) -> None:
    """The model is told, shown the line that is meant if there is one like it, and nothing huge."""
    (files.root / "a").write_text(f"if x:\n    call()  # {'y' * 5000}\n")
    refusal = files.refusal("edit", path="a", oldText="\n  call()\n", newText="")
    assert refusal.startswith(
        "oldText does not occur in a, nothing was changed; its first line is like line 2: '    call()"
    )
    assert len(refusal) < 500
    assert "read the file and copy" in files.refusal("edit", path="a", oldText="z" * 50_000, newText="")
    assert (
        files.refusal("edit", path="none", oldText="a", newText="b") == "none: there is no such file; write makes one"
    )


def test_a_text_that_occurs_several_times(files: Files) -> None:
    """The model is told how often and where, overlapping places included, and nothing is changed."""
    (files.root / "a").write_text("x\naba\nba\n")
    assert "occurs 3 times in a, at lines 2, 2, 3;" in files.refusal("edit", path="a", oldText="a", newText="b")
    (files.root / "a").write_text("aaa")
    assert "occurs 2 times in a, at lines 1, 1;" in files.refusal("edit", path="a", oldText="aa", newText="b")
    (files.root / "a").write_text("b" * 5000)
    assert f"more than {MAX_PLACES} times" in files.refusal("edit", path="a", oldText="b", newText="c")
    assert (files.root / "a").read_text() == "b" * 5000


def test_an_edit_of_nothing(files: Files) -> None:
    """Texts that are the same, but for the kind of line ends, are refused."""
    (files.root / "a").write_text("x\n")
    assert "the same" in files.refusal("edit", path="a", oldText="x\n", newText="x\r\n")


def test_listing(files: Files) -> None:
    """Names are sorted and marked for what they are; the root is what is listed without a path."""
    (files.root / "folder").mkdir()
    (files.root / "a").write_text("")
    (files.root / "link").symlink_to("folder")
    assert files.call("ls") == "a\nfolder/\nlink@"
    assert files.call("ls", path="link") == "[link is an empty folder]"
    assert files.refusal("ls", path="a") == "a is a file, not a folder; read shows it"


def test_a_long_listing(files: Files) -> None:
    """What is left out is counted."""
    for number in range(MAX_NAMES + 3):
        (files.root / f"{number:04}").touch()
    *names, note = files.call("ls").split("\n")
    assert names == [f"{number:04}" for number in range(MAX_NAMES)]
    assert note == "[and 3 more]"


def test_a_listing_of_very_many_names(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a huge folder only so many names are looked at, and it is said that they are only some."""
    assert workspace.MAX_ENTRIES == files_module.MAX_ENTRIES == 10_000
    for module in (workspace, files_module):
        monkeypatch.setattr(module, "MAX_ENTRIES", 4)
    for number in range(4):
        (files.root / str(number)).touch()
    assert files.call("ls") == "0\n1\n2\n3"
    (files.root / "4").touch()
    *names, note = files.call("ls").split("\n")
    assert len(names) == 4
    assert note == "[some of the more than 4 names in this folder; find searches them all]"


def test_names_that_are_no_text(files: Files) -> None:
    """A name that is not UTF-8, or that has line ends, is one line of valid text."""
    (files.root / "two\nlines").touch()
    with open(bytes(files.root) + b"/\xff", "w"):
        pass
    assert files.call("ls") == "two\ufffdlines\n\ufffd"
