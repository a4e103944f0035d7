from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from app import children
from app.agents.tools import sandbox
from app.agents.tools.sandbox import NoSandbox, Sandbox, SandboxRefused, Search
from app.children import Outcome
from tests.agents.scene import until
from tests.test_children import ENVIRONMENT, alive, new_mark


@pytest.fixture
def box() -> Sandbox:
    found = sandbox.find()
    if isinstance(found, NoSandbox):
        pytest.skip(found.reason)
    return found


class Place(NamedTuple):
    """A state folder with a secret and a workspace in it."""

    state: Path
    workspace: Path
    secret: Path


@pytest.fixture
def place() -> Iterator[Place]:
    # Not in /tmp, which is hidden anyway.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        state = Path(folder, "state")
        (state / "workspace").mkdir(parents=True)
        (state / "secret").write_text("hush")
        yield Place(state, state / "workspace", state / "secret")


def inside(box: Sandbox, script: str, workspace: Path, *hidden: Path, timeout: float = 20) -> Outcome:
    command = box.command(["/bin/sh", "-c", script], workspace=workspace, folder=workspace, hidden=hidden)
    return children.run(command, environment=ENVIRONMENT, timeout=timeout, max_output=10_000)


def test_the_workspace_alone_can_be_written(box: Sandbox, place: Place) -> None:
    """Files outside can be read and not changed, those of the workspace can be changed."""
    script = f"pwd; cat {place.secret}; echo new > made; echo > {place.secret}; echo > /var/tmp/made; echo > /etc/made"
    outcome = inside(box, script, place.workspace)
    assert outcome.text().startswith(f"{place.workspace}\nhush")
    assert outcome.text().count("Read-only file system") == 3
    assert (place.workspace / "made").read_text() == "new\n"
    assert place.secret.read_text() == "hush"


def test_tmp_is_its_own(box: Sandbox, place: Place, tmp_path: Path) -> None:
    """/tmp begins empty and can be written, and nothing of it reaches the machine's."""
    name = f"/tmp/{new_mark()}"
    outcome = inside(box, f"ls -A /tmp; echo x > {name} && cat {name}", place.workspace)
    assert outcome.text() == "x\n"
    assert not Path(name).exists()


def test_the_state_folder_is_hidden(box: Sandbox, place: Place) -> None:
    """Of the state folder there is only the workspace in it, also by way of a link."""
    (place.workspace / "link").symlink_to(place.secret)
    outcome = inside(
        box, f"ls -A {place.state}; cat {place.secret}; cat link; echo ok > made", place.workspace, place.state
    )
    assert outcome.text().splitlines()[0] == "workspace"
    assert "hush" not in outcome.text()
    assert (place.workspace / "made").read_text() == "ok\n"


def test_a_hidden_path_may_be_a_link(box: Sandbox, place: Place) -> None:
    """What the link leads to is hidden."""
    link = place.state.parent / "link"
    link.symlink_to(place.state)
    assert "hush" not in inside(box, f"cat {place.secret} {link}/secret", place.workspace, link).text()


def test_a_workspace_around_the_state_folder(box: Sandbox, place: Place) -> None:
    """A state folder inside of the workspace is hidden as well."""
    around = place.state.parent
    outcome = inside(box, f"cat {place.secret}; ls -A {place.state}; echo x > made", around, place.state)
    assert "hush" not in outcome.text()
    assert outcome.code == 0
    assert (around / "made").exists()
    assert place.secret.exists()


def test_a_hidden_file_is_empty(box: Sandbox, place: Place) -> None:
    """A single file gives nothing away, and its neighbours stay."""
    outcome = inside(box, f"cat {place.secret}; ls {place.state}", place.workspace, place.secret)
    assert "hush" not in outcome.text()
    assert outcome.text().endswith("secret\nworkspace\n")


def test_what_does_not_exist_needs_no_hiding(box: Sandbox, place: Place) -> None:
    """A hidden path may be missing."""
    assert inside(box, "echo ok", place.workspace, place.state.parent / "missing" / "file").text() == "ok\n"


@pytest.mark.parametrize("workspace", ["/", "/proc", "/dev/shm"])
def test_folders_of_the_system_are_no_workspace(workspace: str) -> None:
    """Letting them in would undo the sandbox."""
    with pytest.raises(SandboxRefused, match="folder of the system"):
        Sandbox("bwrap").command(["true"], workspace=Path(workspace), folder=Path(workspace))


def test_a_workspace_that_is_hidden_itself_is_refused(place: Place) -> None:
    """The state folder can't be a workspace, under no name."""
    link = place.state.parent / "link"
    link.symlink_to(place.state)
    for workspace, hidden in ((link, place.state), (place.state, link)):
        with pytest.raises(SandboxRefused, match="own files"):
            Sandbox("bwrap").command(["true"], workspace=workspace, folder=workspace, hidden=[hidden])


def test_processes_outside_are_unseen(box: Sandbox, place: Place) -> None:
    """The gateway's process and its environment are out of sight."""
    outcome = inside(box, "cat /proc/*/cmdline | tr '\\0' ' '; ls -d /proc/[0-9]* | wc -l", place.workspace)
    assert "pytest" not in outcome.text()
    assert int(outcome.text().split()[-1]) < 10


def test_it_can_not_be_undone(box: Sandbox, place: Place) -> None:
    """No capability is left, whoever runs the gateway, and the kernel's settings are read-only."""
    script = (
        "grep CapEff /proc/self/status; [ -w /proc/sys/kernel/hostname ] && echo writable;"
        f"umount {place.state} 2>&1 || mount -o remount,rw / 2>&1 || cat {place.secret}"
    )
    text = inside(box, script, place.workspace, place.state).text()
    assert text.startswith("CapEff:\t0000000000000000\n")
    assert "writable" not in text
    assert "hush" not in text


def test_without_the_network(box: Sandbox, place: Place) -> None:
    """Nothing but a loopback of its own, on which nobody listens."""
    arguments = ["/bin/cat", "/proc/net/dev"]
    command = box.command(arguments, workspace=place.workspace, folder=place.workspace, network=False)
    outcome = children.run(command, environment=ENVIRONMENT, timeout=20, max_output=10_000)
    _, _, *interfaces = outcome.text().splitlines()
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_memory_is_bounded(box: Sandbox, place: Place) -> None:
    """What is written to /tmp, /dev/shm and hidden folders is memory: each takes so much, and /dev nothing."""
    if not box.sized:
        pytest.skip("this bubblewrap has no --size")
    script = f"df --output=size -B1 /tmp /dev/shm {place.state}; echo > /dev/null && echo x > /dev/x"
    text = inside(box, script, place.workspace, place.state).text()
    _, *sizes, refusal = text.splitlines()
    assert [int(size) for size in sizes] == [sandbox.TMP_SIZE, sandbox.SHARED_SIZE, sandbox.HIDDEN_SIZE]
    assert "/dev/x: Read-only file system" in refusal


@pytest.mark.parametrize("timeout", [0.5, 20], ids=["its time", "itself"])
def test_what_it_started_ends_with_it(box: Sandbox, place: Place, timeout: float) -> None:
    """Nothing inside lives longer, not even with a new session and an empty environment."""
    mark = new_mark()
    script = f"setsid env -i /bin/sleep {mark} & (trap '' TERM; sleep {mark}) & sleep 0.1"
    outcome = inside(box, f"{script}; {'sleep 60' if timeout < 1 else ':'}", place.workspace, timeout=timeout)
    assert outcome.timed_out == (timeout < 1)
    # All inside is sent SIGKILL with the sandbox's own end, and what shed its environment is not waited for.
    until(lambda: alive(mark) == [])


def test_no_bubblewrap(tmp_path: Path) -> None:
    """Without the program the reason says so, and the remedy names the package."""
    found = Search(str(tmp_path))()
    assert isinstance(found, NoSandbox)
    assert "not installed" in found.reason
    assert "apt install bubblewrap" in found.remedy


def fake_bubblewrap(folder: Path, script: str) -> Path:
    """A bwrap that notes each trial. The file with the notes."""
    program = folder / "bwrap"
    helped = '[ "$1" = --help ] && exec echo "--tmpfs DEST"'
    program.write_text(f"#!/bin/sh\n{helped}\necho started >> {folder}/starts\n{script}\n")
    program.chmod(0o755)
    return folder / "starts"


def test_a_bubblewrap_that_may_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words are the reason; it is tried again only after a while."""
    starts = fake_bubblewrap(tmp_path, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    search = Search(str(tmp_path))
    found = search()
    assert isinstance(found, NoSandbox)
    assert "(bwrap: No permissions to create new namespace)" in found.reason
    assert "namespaces" in found.remedy
    assert search() == found
    assert starts.read_text() == "started\n"
    monkeypatch.setattr(search, "_next", 0.0)
    fake_bubblewrap(tmp_path, "exit 0")
    assert search() == Sandbox(str(tmp_path / "bwrap"))


def test_an_old_bubblewrap(tmp_path: Path) -> None:
    """One that knows no sizes works without them."""
    fake_bubblewrap(tmp_path, 'case "$*" in *--size*) exit 1; esac')
    assert Search(str(tmp_path))() == Sandbox(str(tmp_path / "bwrap"), sized=False)


def test_a_working_bubblewrap_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What works is not tried again."""
    monkeypatch.setattr(sandbox, "RETRY", 0.0)
    starts = fake_bubblewrap(tmp_path, "exit 0")
    search = Search(f"{tmp_path}{os.pathsep}/usr/bin")
    assert search() == search() == Sandbox(str(tmp_path / "bwrap"))
    assert starts.read_text() == "started\n"
