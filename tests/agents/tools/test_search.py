"""The tools find and grep."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import gevent
import psutil
import pytest

from app.agents.tools import search
from app.agents.tools.search import MAX_MATCHES, MAX_TEXT, search_tools
from app.agents.tools.search_program import MAX_FILE, MAX_LINE, MAX_MEMORY, glob_expression
from app.agents.tools.workspace import Workspace
from tests.agents.scene import until
from tests.agents.tools.conftest import Files
from tests.open_files import open_files


@pytest.fixture
def project(files: Files) -> Files:
    for path in ("a.py", "src/b.py", "src/deep/c.js", "src/deep/d.ts", ".git/e.py", "src/node_modules/f.py"):
        (files.root / path).parent.mkdir(parents=True, exist_ok=True)
        (files.root / path).write_text(f"first\nthis is {path}\n")
    return files


SKIPPED = "[not searched: .git, node_modules; give one as path to search it]"


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        ("*.py", ".", "a.py\nsrc/b.py"),
        ("**/*.py", ".", "a.py\nsrc/b.py"),
        ("*/*.py", ".", "src/b.py"),
        ("src/**/*.{js,ts}", ".", "src/deep/c.js\nsrc/deep/d.ts"),
        ("./src/?.py", ".", "src/b.py"),
        ("[!ab].*", "", "src/deep/c.js\nsrc/deep/d.ts"),
        ("deep", ".", "src/deep/"),
        ("deep/*", "src/", "src/deep/c.js\nsrc/deep/d.ts"),
        ("*.rs", ".", "[no matches]"),
    ],
)
def test_finding(project: Files, pattern: str, path: str, found: str) -> None:
    """A glob without a slash is for names, one with a slash for paths; what is found can be read as it stands."""
    told = project.call("find", pattern=pattern, path=path)
    assert told.partition("\n[not searched")[0] == found


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("a*c", ["ac", "abc"], ["a/c", "abcd", "Abc"]),
        ("**", ["a", "a/b"], []),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b/a/c"]),
        ("[]a-c]", ["]", "b"], ["d", "-"]),
        ("[!a]", ["b"], ["a", "/", "bb"]),
        ("[a", ["[a"], ["a"]),
        ("{a,b{c,d}}.x", ["a.x", "bc.x", "bd.x"], ["b.x", "ax"]),
        ("{a", ["{a"], ["a"]),
        (r"\*", ["*"], ["a"]),
        ("a.b+", ["a.b+"], ["axb+", "a.bb"]),
    ],
)
def test_globs(glob: str, yes: list[str], no: list[str]) -> None:
    """Stars and question marks stop at slashes, brackets and braces choose, all else stands for itself."""
    expression = re.compile(glob_expression(glob))
    assert [text for text in yes + no if expression.fullmatch(text)] == yes


def test_what_is_rarely_meant_is_skipped(project: Files) -> None:
    """Folders of tools are left out, which is said, unless the path names them."""
    assert project.call("find", pattern="*.py") == f"a.py\nsrc/b.py\n{SKIPPED}"
    assert project.call("find", pattern="*.py", path=".git") == ".git/e.py"
    assert project.call("grep", pattern="this", path="src/node_modules") == (
        "src/node_modules/f.py:2:this is src/node_modules/f.py"
    )


def test_grep(project: Files) -> None:
    """Each line that matches is told with its path and number, of a folder and of a single file."""
    assert project.call("grep", pattern=r"^this .*[cd]\.", path="src") == (
        "src/deep/c.js:2:this is src/deep/c.js\nsrc/deep/d.ts:2:this is src/deep/d.ts\n"
        "[not searched: node_modules; give one as path to search it]"
    )
    assert project.call("grep", pattern="IS(?i:X|)", path="a.py") == "[no matches]"
    assert project.call("grep", pattern="(?i)IS", path="a.py") == "a.py:2:this is a.py"
    assert project.call("grep", pattern="first", path=f"{project.root}/a.py") == f"{project.root}/a.py:1:first"


def test_lines_are_told_as_text(files: Files) -> None:
    """Line ends are no part of a line, long lines are cut around what matches, other characters are made harmless."""
    (files.root / "a").write_bytes(b"one\r\n\r\nend\x1b[0m \xff")
    assert files.call("grep", pattern="e$") == "a:1:one"
    assert files.call("grep", pattern="^$") == "a:2:"
    assert files.call("grep", pattern="end") == "a:3:end\ufffd[0m \ufffd"
    (files.root / "a").write_text(f"{'x' * 5000}here{'y' * 5000}")
    told = files.call("grep", pattern="here")
    assert re.fullmatch("a:1:…x+herey+…", told)
    assert len(told) == len("a:1:……") + MAX_LINE


def test_what_is_not_searched(files: Files) -> None:
    """Binary files, pipes, links and files with several names are passed over; a large file is searched in part."""
    (files.root / "binary").write_bytes(b"word\0")
    os.mkfifo(files.root / "pipe")
    (files.root / "link").symlink_to(".")
    (files.root / "one").write_text("word")
    os.link(files.root / "one", files.root / "two")
    assert files.call("grep", pattern="word") == "[no matches]"
    assert files.call("find", pattern="**") == "binary"
    (files.root / "large").write_bytes(b"word\n" + b" " * MAX_FILE + b"word")
    assert files.call("grep", pattern="word") == "large:1:word\n[too large, searched in part: 1 files]"
    assert "is a hard link" in files.refusal("grep", pattern="word", path="one")


def test_matches_are_bounded(files: Files) -> None:
    """Beyond a number of matches, or of characters, it is said that there are more."""
    (files.root / "a").write_text("x\n" * MAX_MATCHES)
    assert "more" not in files.call("grep", pattern="x")
    (files.root / "a").write_text("x\n" * (MAX_MATCHES + 1))
    *lines, note = files.call("grep", pattern="x").split("\n")
    assert len(lines) == MAX_MATCHES
    assert note == f"[the first {MAX_MATCHES} matches; there are more: use a narrower pattern or path]"
    (files.root / "a").unlink()
    for number in range(MAX_MATCHES):
        (files.root / f"{number:0250}").touch()
    told = files.call("find", pattern="*")
    assert len(told) < MAX_TEXT + 200
    assert told.endswith("use a narrower pattern or path]")


@pytest.mark.parametrize(
    ("name", "pattern", "fault"),
    [
        ("grep", "a(b", "pattern is not a regular expression: missing ), unterminated subpattern at position 1"),
        ("grep", "a{99999999999}", "pattern is too large"),
        ("find", "{a,{b}", "pattern is not a glob"),
    ],
)
def test_bad_patterns(files: Files, name: str, pattern: str, fault: str) -> None:
    """What is wrong with a pattern is told, with its place."""
    assert files.refusal(name, pattern=pattern).startswith(fault)


def test_a_doubtful_pattern_is_no_fault(files: Files) -> None:
    """A pattern that Python warns of is searched for all the same."""
    (files.root / "a").write_text("[x")
    assert files.call("grep", pattern="[[x]x") == "a:1:[x"


def test_bad_paths(project: Files) -> None:
    """Where nothing can be searched the path is named."""
    assert project.refusal("find", pattern="*", path="none") == "none: there is no such file or folder"
    assert project.refusal("find", pattern="*", path="a.py") == "a.py is a file; find searches a folder"


def test_a_pattern_that_never_ends(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is bounded, which is told, and greenlets beside it go on meanwhile."""
    monkeypatch.setattr(search, "TIME_LIMIT", 0.5)
    (files.root / "a").write_text("a" * 60 + "b")
    ticks: list[float] = []

    def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            gevent.sleep(0.01)

    ticker = gevent.spawn(tick)
    refusal = files.refusal("grep", pattern="(a+)+$")
    ticker.kill()
    assert refusal == "the search took longer than 0.5 s and was ended; use a simpler pattern or a narrower path"
    assert len(ticks) > 3


def test_a_search_that_is_killed(files: Files) -> None:
    """When its run ends, a search ends at once and nothing of it stays open."""
    (files.root / "a").write_text("a" * 60 + "b")
    files.call("find", pattern="*")
    before = open_files()
    searching = gevent.spawn(files.call, "grep", pattern="(a+)+$")
    with gevent.Timeout(10):
        while str(files.root) not in {
            os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
        }:
            gevent.sleep(0.01)
        searching.kill()
    assert open_files() <= before


def test_how_many_search_at_once(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many searches go on at once, of all agents; who would wait too long is told, and places come back."""
    program = files.root / "endless.py"
    program.write_text("import time; time.sleep(60)")
    real = search.PROGRAM
    monkeypatch.setattr(search, "PROGRAM", program)

    def at_work() -> int:
        return sum(str(program) in " ".join(child.cmdline()) for child in psutil.Process().children())

    busy = [gevent.spawn(files.call, "find", pattern="*") for _ in range(search.AT_ONCE)]
    until(lambda: at_work() == search.AT_ONCE)
    monkeypatch.setattr(search, "QUEUE_TIMEOUT", 0.01)
    assert files.refusal("find", pattern="*") == "too many searches go on at once; try again later"
    gevent.killall(busy)
    assert at_work() == 0
    monkeypatch.setattr(search, "PROGRAM", real)
    assert files.call("find", pattern="*") == "endless.py"


def test_very_many_lines(files: Files) -> None:
    """A file of nothing but short lines is searched with the little memory that a search has."""
    (files.root / "a").write_bytes(b"ab\n" * (MAX_FILE // 3) + b"b")
    assert MAX_MEMORY <= 256 * 1024 * 1024
    assert files.call("grep", pattern="^b") == f"a:{MAX_FILE // 3 + 1}:b"


def test_a_search_that_breaks_off(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the program fails the model reads that, and nothing of what the program said."""
    program = files.root / "broken.py"
    program.write_text("raise SystemExit('a stack trace')")
    monkeypatch.setattr(search, "PROGRAM", program)
    refusal = files.refusal("find", pattern="*")
    assert refusal == "the search broke off without a result; use a simpler pattern or a narrower path"


def test_what_is_hidden_is_not_found(tmp_path: Path) -> None:
    """The gateway's own folder and file are as if they were not there."""
    state = tmp_path / "state"
    state.mkdir()
    for folder in (state, tmp_path):
        (folder / "openclaw.json").write_text("token: secret\n")
    (tmp_path / "notes.txt").write_text("token: mine\n")
    find, grep = search_tools(Workspace(tmp_path, (state, tmp_path / "openclaw.json")))
    assert find.work(None, {"pattern": "*"}).split() == ["notes.txt"]  # type: ignore[arg-type]
    assert grep.work(None, {"pattern": "token"}) == "notes.txt:1:token: mine"  # type: ignore[arg-type]
