"""A workspace: what is inside can be used, and nothing that is outside, whoever plays tricks with links."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.agents.tools.search_program import search
from app.agents.tools.tool import ToolFailed
from app.agents.tools.workspace import FileContent, PathRefused, Workspace
from app.agents.tools.workspace_walk import MAX_DEPTH, MAX_LINKS, MAX_SHOWN
from app.concurrency.threads import aside
from tests.agents.tools.conftest import Files
from tests.open_files import open_files

SECRET = "the-secret-of-another"
# A name outside that no path of these tests holds: whoever knows it has listed what is outside.
HIDDEN = "name-out-there"


@contextmanager
def beside_a_secret() -> Iterator[Path]:
    """A folder with an empty ``workspace``, and with ``outside`` that has the secret in files."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "workspace").mkdir()
        (base / "outside/b").mkdir(parents=True)
        for name in ("a", "b/a", "b/" + HIDDEN):
            (base / "outside" / name).write_text(SECRET)
        yield base


def record(folder: Path) -> list[Any]:
    """All that can be changed of what is below ``folder``, but for the number of its names."""
    found: list[Any] = []
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else None
        found.append((path, status.st_ino, status.st_mode, status.st_mtime_ns, content))
    return found


NAMES = st.sampled_from(["a", "b", "c"])
PARTS = st.one_of(NAMES, NAMES, st.sampled_from(["..", ".", "", "outside", "a\0", "x" * 300, "\ud800", "\udc80", "é"]))
STARTS = st.sampled_from(["", "", "", "/", "{base}/", "{base}/outside/", "{base}/workspace/", "{base}/workspace/../"])
PATHS = st.builds(lambda start, parts: start + "/".join(parts), STARTS, st.lists(PARTS, max_size=5))
INSIDE = st.builds("/".join, st.lists(NAMES, min_size=1, max_size=3))
OUTSIDE = st.sampled_from(["..", "../outside", "../../outside/b", "../outside/a", "{base}/outside", "{base}/outside/b"])
ARRANGEMENTS = st.one_of(
    st.tuples(st.sampled_from(["folder", "file", "pipe"]), INSIDE, st.just("")),
    st.tuples(st.just("symlink"), INSIDE, st.one_of(PATHS, OUTSIDE)),
    st.tuples(st.just("hard link"), INSIDE, st.sampled_from(["{base}/outside/a", "{base}/outside/b/a"])),
)
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("read", {}),
    ("ls", {}),
    ("edit", {"oldText": SECRET[:5], "newText": ""}),
    ("write", {"content": "mine"}),
]


def arrange(kind: str, place: Path, target: str) -> None:
    """What somebody who may write in the workspace does there; what can't be done is left."""
    with suppress(OSError, ValueError):
        if kind == "folder":
            place.mkdir(parents=True)
        elif kind == "file" and not place.exists():
            place.write_text("mine")
        elif kind == "pipe":
            os.mkfifo(place)
        elif kind == "symlink":
            place.symlink_to(target)
        elif kind == "hard link":
            os.link(target, place)


def says(files: Files, name: str, **arguments: Any) -> str:
    """What the model reads, be it a result or a refusal."""
    try:
        return files.call(name, **arguments)
    except ToolFailed as failure:
        return str(failure)


def searched(files: Files, kind: str, pattern: str, path: str = ".") -> str:
    """What a search finds, without the process that each has: that would be most of the time of a test of many."""
    request = {"kind": kind, "pattern": pattern, "hidden": [], "prefix": path, "matches": 1000, "characters": 100_000}
    try:
        with files.workspace.opened(path) as start:
            return str(search({**request, "start": start}))
    except ToolFailed as failure:
        return str(failure)


@settings(max_examples=50, deadline=None)
@given(st.lists(ARRANGEMENTS, max_size=15), st.lists(PATHS, min_size=1, max_size=5))
def test_no_paths_and_no_links_lead_out(arranged: list[tuple[str, str, str]], paths: list[str]) -> None:
    """Whatever is linked to whatever, and whatever path a tool is given: nothing outside is told or changed."""
    with beside_a_secret() as base:
        files = Files(base / "workspace")
        for kind, path, target in arranged:
            place = files.root / path
            # Nor do the tests themselves change what is outside. From the outermost on: a look through a link may fail.
            if not any(folder.is_symlink() for folder in reversed(place.parents)):
                arrange(kind, place, target.replace("{base}", str(base)))
        before = record(base / "outside")
        tried = [path.replace("{base}", str(base)) for path in paths]
        tried += [path + below for _, path, _ in arranged for below in ("", "/a", "/b/a", "/outside/a")]
        told = [says(files, name, path=path, **more) for name, more in CALLS for path in tried]
        told.append(searched(files, "find", "**"))
        told += [searched(files, "grep", ".", path) for path in (".", tried[0])]
        assert not [text for text in told if SECRET in text or HIDDEN in text]
        assert record(base / "outside") == before
        for text in told:
            text.encode()


# Lets two names change places at once. See renameat2(2): -100 is the working folder, 2 is RENAME_EXCHANGE.
EXCHANGE = "assert not ctypes.CDLL(None).renameat2(-100, b'{}', -100, b'{}', 2)"
# For what is overwritten meanwhile: makes both, and then puts one after the other in its place.
LINK_AND_FILE = (
    "os.symlink('{}', 'spare'); open('other', 'w').write('mine'); "
    "os.replace('spare', 'folder/a'); os.replace('other', 'folder/a')"
)
PIPE_AND_FILE = LINK_AND_FILE.replace("symlink('{}', 'spare')", "mkfifo('spare')")


@contextmanager
def meanwhile(change: str, folder: Path) -> Iterator[None]:
    """While this lasts, another process does ``change`` in ``folder`` again and again."""
    program = f"import ctypes, os\nprint(flush=True)\nwhile True: {change}"
    with subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield
            assert process.poll() is None
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("change", "calls", "enough"),
    [
        pytest.param(EXCHANGE.format("folder", "link"), ["read", "write"], 300, id="folder"),
        pytest.param(EXCHANGE.format("folder/a", "link to a"), ["read"], 300, id="file read"),
        pytest.param(LINK_AND_FILE.format("../../outside/a"), ["write"], 100, id="file written"),
    ],
)
def test_links_that_change_at_the_same_time_lead_nowhere(change: str, calls: list[str], enough: int) -> None:
    """While a folder, or a file, turns into a link to the outside and back, what is read and written is inside."""
    with beside_a_secret() as base:
        files = Files(base / "workspace")
        (files.root / "folder").mkdir()
        (files.root / "folder/a").write_text("mine")
        (files.root / "link").symlink_to(base / "outside")
        (files.root / "link to a").symlink_to(base / "outside/a")
        before = record(base / "outside")
        told: list[str] = []
        refused = 0
        with meanwhile(change, files.root):
            for _ in range(50_000):
                # Both sides of the coin have been seen often enough.
                if len(told) > enough and refused > enough:
                    break
                for name in calls:
                    try:
                        told.append(files.call(name, path="folder/a", **dict(CALLS)[name]))
                    except PathRefused:
                        refused += 1
            assert len(told) > enough
            assert refused > enough
            for _ in range(5):
                told.append(files.call("grep", pattern="."))
                told.append(files.call("find", pattern="**"))
        assert not [text for text in told if SECRET in text or HIDDEN in text]
        assert record(base / "outside") == before


def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(files: Files) -> None:
    """A file that turns into a pipe and back is read or refused, and never waited for."""
    told = set()
    (files.root / "folder").mkdir()
    (files.root / "folder/a").write_text("mine")
    with meanwhile(PIPE_AND_FILE, files.root):
        for count in range(50_000):
            try:
                told.add(files.call("read", path="folder/a"))
            except PathRefused:
                told.add("refused")
            if count > 1000 and told == {"mine", "refused"}:
                break
    assert told == {"mine", "refused"}


@pytest.mark.parametrize(
    "path",
    [
        "note",
        "./note",
        "folder/../note",
        "folder//../note",
        "link",
        "chain",
        "up/note",
        "absolute",
        "{root}/note",
        "{real}/note",
    ],
)
def test_the_ways_to_a_file_inside(tmp_path: Path, path: str) -> None:
    """Relative, through links that stay inside, and absolute below the root as it is named or as it really is."""
    real = tmp_path / "real"
    (real / "folder").mkdir(parents=True)
    (real / "note").write_text("mine")
    root = tmp_path / "root"
    root.symlink_to(real)
    (real / "link").symlink_to("note")
    (real / "chain").symlink_to("folder/../link")
    (real / "up").symlink_to("folder/..")
    (real / "absolute").symlink_to(root / "note")
    workspace = Workspace(root)
    wanted = path.format(root=root, real=real)
    assert workspace.read(wanted, 10) == FileContent(b"mine", 4)
    assert workspace.write(wanted, b"new") is False
    assert (real / "note").read_text() == "new"
    assert not (real / "note").is_symlink()


@pytest.mark.parametrize(
    "path", ["..", "../workspace", "a/../..", "/", "/etc/passwd", "{root}/..", "{root}x/a", "out", "out/a"]
)
def test_the_ways_out_are_closed(files: Files, path: str) -> None:
    """What leads outside is refused in the model's own words, and no path outside is told."""
    (files.root / "a").mkdir()
    (files.root / "out").symlink_to("../elsewhere")
    wanted = path.format(root=files.root)
    refusal = files.refusal("read", path=wanted)
    assert refusal == f"{wanted} leads outside of the workspace; use a path relative to the workspace"


def test_hard_links_are_refused(files: Files, tmp_path: Path) -> None:
    """A file with a second name may be somebody else's: it is not read or written, and the message says why."""
    (tmp_path / "outside").write_text(SECRET)
    os.link(tmp_path / "outside", files.root / "a")
    for name, more in (("read", {}), ("write", {"content": ""}), ("edit", {"oldText": "t", "newText": ""})):
        assert "a is a hard link: 2 names share one file" in files.refusal(name, path="a", **more)
    assert (tmp_path / "outside").read_text() == SECRET


def test_only_files_and_folders(files: Files) -> None:
    """A pipe is refused at once, to readers and to writers."""
    os.mkfifo(files.root / "pipe")
    for name, more in (("read", {}), ("write", {"content": ""})):
        assert "pipe is neither a file nor a folder" in files.refusal(name, path="pipe", **more)


def test_bounds_of_a_path(files: Files) -> None:
    """Circles of links, endless depth, endless names and characters that no name has are each refused as such."""
    (files.root / "circle").symlink_to("circle")
    assert f"more than {MAX_LINKS} symbolic links" in files.refusal("read", path="circle")
    deep = "/".join("d" * MAX_DEPTH)
    assert f"more than {MAX_DEPTH} folders deep" in files.refusal("write", path=f"{deep}/a", content="")
    assert "File name too long" in files.refusal("write", path="x" * 300, content="")
    assert "at most 4096 bytes" in files.refusal("read", path="x/" * 4000)
    assert "NUL" in files.refusal("read", path="a\0b")
    assert "valid Unicode" in files.refusal("read", path="\ud800")
    assert len(files.refusal("read", path="x" * 4000)) < MAX_SHOWN + 100


def test_a_part_of_the_way_that_is_no_folder(files: Files) -> None:
    """A file on the way is named, and a missing folder says that there is nothing."""
    (files.root / "a").write_text("mine")
    assert files.refusal("read", path="a/b") == "a/b: a is not a folder"
    assert files.refusal("read", path="a/") == "a/: a is not a folder"
    assert files.refusal("ls", path="c/d") == "c/d: there is no such file or folder"


def test_reading_up_to_a_limit(files: Files) -> None:
    """A reader gets as much as it asked for and the whole size; of what is missing, None."""
    (files.root / "a").write_bytes(b"0123456789")
    assert files.workspace.read("a", 4) == FileContent(b"0123", 10)
    assert files.workspace.read("b", 4) is None
    assert files.workspace.read("b/c", 4) is None
    with pytest.raises(PathRefused, match="is a folder"):
        files.workspace.read(".", 4)


def test_the_root_is_made_when_it_is_needed(tmp_path: Path) -> None:
    """A workspace that does not exist is empty, and private to its owner from then on."""
    root = tmp_path / "agents/main"
    assert Workspace(root).read("a", 1) is None
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_a_root_that_can_not_be_used(tmp_path: Path) -> None:
    """A file in the root's place is told as the workspace's fault, without its path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(PathRefused, match="the workspace folder can't be opened: Not a directory") as refused:
        Workspace(tmp_path / "file").read("a", 1)
    assert str(tmp_path) not in str(refused.value)


def test_a_failed_write_leaves_nothing(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, the old file is as it was and no other stays behind."""
    files.workspace.write("a", b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "/somewhere/else")

    monkeypatch.setattr(os, "replace", full)
    assert files.refusal("write", path="a", content="new") == "a: No space left on device"
    assert [(path.name, path.read_text()) for path in files.root.iterdir()] == [("a", "old")]


def test_no_descriptor_stays_open(files: Files) -> None:
    """Whether a path is good or bad, all that was opened on the way is closed."""
    (files.root / "circle").symlink_to("circle")

    def use_all() -> None:
        for path in ("a/b/c", "a/../..", "a/b/c/d", "circle", "a/b", "/etc", "x" * 300):
            for name, more in (("write", {"content": "x"}), ("read", {}), ("ls", {}), ("grep", {"pattern": "x"})):
                with suppress(ToolFailed):
                    files.call(name, path=path, **more)

    use_all()
    before = open_files()
    use_all()
    assert open_files() <= before


def test_a_killed_greenlet_leaves_with_its_thread() -> None:
    """Nobody writes behind the back of a run that has ended: its greenlet ends when the thread has."""
    begun, go = os.pipe()
    finished: list[int] = []

    def work() -> None:
        os.read(begun, 1)
        finished.append(1)

    worker = gevent.spawn(aside, work)
    gevent.sleep(0)
    worker.kill(block=False)
    gevent.sleep(0)
    assert not worker.dead
    os.write(go, b"x")
    worker.join(timeout=10)
    assert worker.dead
    assert finished
    os.close(begun)
    os.close(go)


def test_errors_of_a_thread_come_back_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    """What fails beside the hub is raised where it was asked for, and not printed."""

    def work() -> None:
        raise PathRefused("no")

    with pytest.raises(PathRefused, match="no"):
        aside(work)
    assert capfd.readouterr() == ("", "")


# What is hidden.


def test_what_is_hidden_is_refused_by_every_way(tmp_path: Path) -> None:
    """A folder and a file of the gateway's inside the workspace: by name and by link, for reading and writing."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "openclaw.json").write_text("secret")
    (tmp_path / "config.json").write_text("secret")
    (tmp_path / "link").symlink_to("state")
    (tmp_path / "other").symlink_to("state/openclaw.json")
    workspace = Workspace(tmp_path, (state, tmp_path / "config.json"))
    for path in ("state/openclaw.json", "link/openclaw.json", "other", "config.json", "state/../state/openclaw.json"):
        with pytest.raises(PathRefused, match="gateway"):
            workspace.read(path, 100)
        with pytest.raises(PathRefused, match="gateway"):
            workspace.write(path, b"evil")
    for path in ("state", "link", "state/new"):
        with pytest.raises(PathRefused, match="gateway"):
            workspace.listing(path, 10)
    with pytest.raises(PathRefused, match="gateway"):
        workspace.write("state/new", b"evil")
    assert [file.name for file in state.iterdir()] == ["openclaw.json"]


def test_a_workspace_that_is_hidden_itself(tmp_path: Path) -> None:
    """Nothing in it is reached; one that lies inside of what is hidden is a workspace like any other."""
    with pytest.raises(PathRefused, match="gateway"):
        Workspace(tmp_path, (tmp_path,)).write("a", b"b")
    inside = Workspace(tmp_path / "workspace", (tmp_path,))
    inside.write("a", b"b")
    content = inside.read("a", 10)
    assert content is not None
    assert content.data == b"b"
