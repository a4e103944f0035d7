from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import create_server
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.agents.tools import exec as module
from app.agents.tools import sandbox
from app.agents.tools.confinement import Confinement
from app.agents.tools.exec import ExecRules, exec_tool
from app.agents.tools.files import file_tools
from app.agents.tools.sandbox import NoSandbox
from app.agents.tools.search import search_tools
from app.agents.tools.tool import ToolFailed
from app.agents.tools.workspace import Workspace
from app.children import Bounds
from app.config import load, read_environment
from app.config.settings import Auth, Gateway, Settings
from tests.agents.scene import turn, until
from tests.test_children import alive, new_mark

Work = Callable[..., str]

FULL = ExecRules("full")
NONE = NoSandbox("no bubblewrap here", "install it")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a sandbox."""
    monkeypatch.setattr(sandbox, "find", lambda: NONE)


@pytest.fixture(params=["bare", "boxed"])
def either(request: pytest.FixtureRequest) -> None:
    """Once without a sandbox, once in it."""
    if request.param == "bare":
        request.getfixturevalue("bare")
    elif isinstance(found := sandbox.find(), NoSandbox):
        pytest.skip(found.reason)


def worker(root: Path, rules: ExecRules = FULL) -> Work:
    tool = exec_tool(root, rules)

    def work(command: str, admin: bool = False, **arguments: Any) -> str:
        given = {"command": command, **arguments}
        Draft202012Validator(tool.parameters).validate(given)
        return tool.work(SimpleNamespace(turn=turn(admin=admin)), given)  # type: ignore[arg-type]

    return work


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "workspace"


def allowing(*names: str) -> ExecRules:
    return ExecRules("allowlist", names)


def admitting(mode: str) -> ExecRules:
    """A shell, behind a gateway with this auth mode."""
    return ExecRules("full", confinement=Confinement(gateway=Gateway(auth=Auth(mode))))


def refused(work: Work, command: str, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as failure:
        work(command, **arguments)
    return str(failure.value)


@pytest.mark.usefixtures("either")
class TestFull:
    def test_output_with_its_exit_code(self, root: Path) -> None:
        """The model reads what was printed, and the exit code when it is not 0."""
        work = worker(root)
        assert work("echo a | tr a b; echo c >&2") == "b\nc\n"
        assert work("printf x; exit 3") == "x\n[exit code 3]"
        assert work("exit 4") == "[exit code 4]"
        assert work("true") == "[no output]"

    def test_it_starts_in_the_workspace(self, root: Path) -> None:
        """The workspace is made, private, and what a command writes there stays."""
        work = worker(root)
        assert work("pwd; echo $PWD; mkdir sub; echo x > sub/file") == f"{root}\n{root}\n"
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
        assert work("pwd; cat file", workdir="sub") == f"{root}/sub\nx\n"
        assert work("pwd", workdir=f"{root}/sub/..") == f"{root}\n"

    @pytest.mark.parametrize("workdir", ["..", "/", "/etc", "out", "sub/../../x", "missing", "file", "circle"])
    def test_no_other_folder(self, root: Path, workdir: str) -> None:
        """A folder outside, also by a link, and one that isn't there, is refused without a path of outside."""
        root.mkdir(parents=True)
        (root / "out").symlink_to("/etc")
        (root / "circle").symlink_to("circle")
        (root / "file").touch()
        assert refused(worker(root), "pwd", workdir=workdir).startswith(f"workdir {workdir!r} ")

    def test_secrets_of_the_gateway_are_unseen(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No variable of the gateway's that isn't named harmless reaches a command; PATH and HOME do."""
        for name in ("OPENCLAW_GATEWAY_TOKEN", "OPENAI_API_KEY", "LC_SECRET", "https_proxy", "BASH_ENV"):
            monkeypatch.setenv(name, "must-not-show")
        lines = worker(root)("env").splitlines()
        assert "must-not-show" not in "".join(lines)
        assert {f"HOME={os.environ['HOME']}", f"PATH={os.environ['PATH']}", "TERM=dumb"} <= set(lines)

    def test_its_time(self, root: Path) -> None:
        """A command ends when its time is over, and the model is told."""
        mark = new_mark()
        assert worker(root)(f"echo begun; sleep {mark}", timeout=1) == "begun\n[ended after 1 s]"
        assert alive(mark) == []

    def test_cancelled(self, root: Path) -> None:
        """A cancelled command leaves nothing behind, in whatever session."""
        mark = new_mark()
        greenlet = gevent.spawn(worker(root), f"setsid sleep {mark} & : > ready; sleep {mark}")
        until(lambda: (root / "ready").exists())
        until(lambda: alive(mark))
        greenlet.kill()
        assert alive(mark) == []

    def test_long_output(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a long output the ends are read; an endless one ends the command."""
        monkeypatch.setattr(module, "MAX_READ", 3 << 20)
        text = worker(root)("seq 1 100000")
        assert len(text) < module.MAX_OUTPUT + 100
        assert text.startswith("1\n2\n")
        assert "bytes left out]\n" in text
        assert text.endswith("\n100000\n")
        assert worker(root)("yes").endswith("y\n[ended after printing 3 MB]")

    @pytest.mark.parametrize("command", ["echo \0", "echo \ud800"])
    def test_text_that_no_program_can_have(self, root: Path, command: str) -> None:
        """It is refused in words."""
        assert refused(worker(root), command).startswith("command and workdir must")


@pytest.fixture
def boxed() -> None:
    """Skipped where there is no sandbox."""
    if isinstance(found := sandbox.find(), NoSandbox):
        pytest.skip(found.reason)


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder outside of /tmp, which is hidden anyway."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


def configured(place: Path) -> Settings:
    """A configuration whose every part is in the folder that the workspace is in, so that it isn't hidden whole."""
    (state := place / "state").mkdir()
    (credentials := place / "credentials").mkdir()
    (place / "linked.env").write_text("A_KEY=hush")
    (state / ".env").symlink_to(place / "linked.env")
    for name in ("used", "unused", "own.json5.bak", "own.json5~", ".own.json5.swp", "part.json5.bak.2"):
        (place / name).write_text("hush")
    (credentials / "token").write_text("hush")
    (place / "plain").write_text("plain\n")
    providers = {name: {"source": "file", "path": str(place / name)} for name in ("used", "unused")}
    reference = {"source": "file", "provider": "used", "id": "value"}
    document = {
        "$include": "part.json5",
        "gateway": {"auth": {"token": reference}},
        "secrets": {"providers": providers},
    }
    (place / "own.json5").write_text(json.dumps(document))
    (place / "part.json5").write_text(json.dumps({"env": {"vars": {"B_KEY": "hush"}}}))
    variables = {"STATE_DIR": state, "CONFIG_PATH": place / "own.json5"}
    given = {f"OPENCLAW_{name}": str(value) for name, value in variables.items()}
    return load(read_environment(given | {"CREDENTIALS_DIRECTORY": str(credentials)}))


@pytest.mark.usefixtures("boxed")
class TestConfinement:
    def test_state_is_hidden_around_the_workspace(self, place: Path) -> None:
        """In the sandbox the state folder and the configuration outside of it show nothing."""
        state, config = place / "state", place / "openclaw.json"
        state.mkdir()
        (state / "gateway.sqlite3").write_text("hush")
        config.write_text("hush")
        rules = ExecRules("full", confinement=Confinement((state,), (config,)))
        work = worker(state / "workspace", rules)
        assert "hush" not in work(f"ls -A {state}; cat {state}/gateway.sqlite3 {config}; echo x > made")
        assert (state / "workspace" / "made").exists()
        message = refused(worker(state, rules), "true")
        assert message.startswith("commands can't run here: the workspace is the folder of the gateway's own files")

    def test_a_configuration_that_is_saved_meanwhile_stays_hidden(self, place: Path) -> None:
        """A command that runs when a file is put in its place reads neither it nor the copies beside it."""
        config, root = place / "config" / "openclaw.json", place / "work"
        config.parent.mkdir()
        config.write_text("hush")
        rules = ExecRules("full", confinement=Confinement(files=(config,)))
        waiting = f": > ready; until [ -e go ]; do sleep 0.01; done; cat {config} {config}~; ls -A {config.parent}"
        running = gevent.spawn(worker(root, rules), waiting)
        until(lambda: (root / "ready").exists())
        Path(f"{config}~").write_text("hush")
        (place / "new").write_text("hush")
        (place / "new").rename(config)
        (root / "go").touch()
        assert "hush" not in running.get(timeout=20)

    def test_files_in_a_folder_that_is_needed(self, place: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The file can't be read, the rest of its folder is there, and the operator is told once."""
        module._warn.cache_clear()
        (root := place / "work").mkdir()
        (place / "neighbour").write_text("hello")
        (config := place / "openclaw.json").write_text("hush")
        work = worker(root, ExecRules("full", confinement=Confinement(files=(config,))))
        for _ in range(2):
            assert work(f"cat {place}/neighbour; cat {config} 2>/dev/null || true") == "hello"
        [told] = [record.getMessage() for record in caplog.records]
        assert f"is in {place}, which commands of agents need" in told

    def test_files_that_hold_secrets_are_hidden_wherever_they_are(self, place: Path) -> None:
        """Of a whole configuration: includes, .env, all secret files, backups, credentials."""
        (root := place / "work").mkdir()
        settings = configured(place)
        work = worker(root, ExecRules("full", confinement=Confinement.of(settings)))
        written = [path for path in place.rglob("*") if path.is_file() and "hush" in path.read_text()]
        assert len(written) == 10
        read = f"cat {' '.join(map(str, written))} {place}/plain; grep -rl hush {place}"
        text = work(f"echo read; ({read}) 2>/dev/null")
        assert text == "read\nplain\n[exit code 2]"

    def test_a_secret_file_in_the_workspace_stays_hidden(self, place: Path) -> None:
        """A command can't move the folder that it is in, so that the next one or another tool would find it there."""
        root = place / "work"
        (root / "a" / "b" / "c").mkdir(parents=True)
        (root / "a" / "b" / "c" / "key").write_text("hush")
        (root / "a" / "b" / "own").write_text("mine")
        (root / "key").write_text("hush")
        rules = ExecRules("full", confinement=Confinement(files=(root / "a" / "b" / "c" / "key", root / "key")))
        work = worker(root, rules)
        for script in ("mv a z", "mv a/b a/z", "mv a/b/c a/b/z", "mv key z", "rm -rf a key", "ln key z", "cp key z"):
            work(f"{script} 2>/dev/null; echo")
            assert work("grep -r hush . 2>/dev/null; cat key a/b/c/key 2>/dev/null; echo end") == "end\n"
        assert (root / "key").read_text() == (root / "a" / "b" / "c" / "key").read_text() == "hush"

    def test_a_secret_file_that_was_replaced_is_hidden(self, place: Path) -> None:
        """What counts is what stands there when the command begins: another file, a link to one, or a folder."""
        (root := place / "work").mkdir()
        (place / "deep" / "folder").mkdir(parents=True)
        for name in ("first", "second", "deep/folder/third"):
            (place / name).write_text("hush")
        secret = place / "secret"
        work = worker(root, ExecRules("full", confinement=Confinement(files=(secret,))))
        secret.write_text("hush")
        assert work(f"cat {secret} 2>/dev/null; echo end") == "end\n"
        (place / "first").replace(secret)
        assert work(f"cat {secret} 2>/dev/null; echo end") == "end\n"
        secret.unlink()
        secret.symlink_to(place / "second")
        assert work(f"cat {secret} {place}/second 2>/dev/null; echo end") == "end\n"
        secret.unlink()
        secret.symlink_to(place / "deep" / "folder")
        assert work(f"cat {secret}/third {place}/deep/folder/third 2>/dev/null; echo end") == "end\n"

    @pytest.mark.parametrize(("mode", "reached"), [("token", True), ("none", False)])
    def test_a_gateway_that_believes_everybody_is_out_of_reach(self, root: Path, mode: str, reached: bool) -> None:
        """A command has the network only where it can't make itself an admin by it."""
        with create_server(("127.0.0.1", 0)) as gateway:
            call = f"exec 3<>/dev/tcp/127.0.0.1/{gateway.getsockname()[1]} && echo reached"
            assert ("reached" in worker(root, admitting(mode))(call, admin=True)) == reached


def test_other_tools_have_no_way_to_them_either(place: Path) -> None:
    """Where such files lie in a workspace, none of the tools for files reads, changes, or finds them."""
    workspace = Workspace(place, configured(place).agents["main"].private)
    tools = {tool.name: tool for tool in (*file_tools(workspace), *search_tools(workspace))}
    for name in ("unused", "used", "own.json5", "own.json5.bak", "part.json5", "linked.env", "credentials/token"):
        for tool, more in (("read", {}), ("write", {"content": "x"}), ("edit", {"oldText": "h", "newText": "x"})):
            with pytest.raises(ToolFailed, match="belongs to the gateway itself"):
                tools[tool].work(None, {"path": name, **more})  # type: ignore[arg-type]
    found = tools["grep"].work(None, {"pattern": "hush"})  # type: ignore[arg-type]
    # Not the gateway's: what an editor left there.
    assert sorted(line.partition(":")[0] for line in found.splitlines()) == [
        ".own.json5.swp",
        "own.json5~",
        "part.json5.bak.2",
    ]


@pytest.mark.usefixtures("boxed")
def test_a_command_without_network(root: Path) -> None:
    """In the sandbox it reaches nobody, not even this machine, and the model is told beforehand."""
    rules = ExecRules("full", network=False)
    with create_server(("127.0.0.1", 0)) as listening:
        call = f"exec 3<>/dev/tcp/127.0.0.1/{listening.getsockname()[1]} && echo reached"
        assert "reached" not in worker(root, rules)(call)
        assert "reached" in worker(root)(call)
    assert exec_tool(root, rules).description.endswith(" There is no network.")


@pytest.mark.usefixtures("bare")
def test_without_network_nothing_runs_without_a_sandbox(root: Path) -> None:
    """Not for admins either."""
    message = refused(worker(root, ExecRules("full", network=False)), "echo x", admin=True)
    assert message.startswith("denied by policy: tools.exec.network is false")


@pytest.mark.usefixtures("either")
def test_bounds_of_a_command(root: Path) -> None:
    """Its memory and its processes are bounded together with those of all that it starts, in a sandbox or not."""
    work = worker(root, ExecRules("full", bounds=Bounds(memory=64 << 20, processes=5)))
    sleeping = "for i in 1 2 3{}; do sleep 2 & done; wait; echo fine"
    assert work(sleeping.format("")) == "fine\n"
    assert "[ended: it had more than" in work(sleeping.format(" 4 5 6 7"))
    python = Path(sys.executable).resolve()  # a virtual environment may be where the sandbox sees nothing
    assert "MemoryError" in work(f"{python} -S -c 'bytes(100 << 20)'")
    held = f"{python} -S -c 'import time; x = b\"x\" * (30 << 20); time.sleep(9)' &"
    assert "MB together]" in work(f"{held} {held} {held} wait")


@pytest.mark.usefixtures("bare")
def test_without_a_sandbox_admins_alone_have_commands(root: Path) -> None:
    """Where a command could call the gateway as an admin, it is only for those who are; elsewhere for all."""
    work = worker(root, admitting("none"))
    message = refused(work, "echo x", admin=False)
    assert message.startswith("denied by policy: gateway.auth.mode is none, so without a sandbox a command could ")
    assert work("echo x", admin=True) == "x\n"
    assert worker(root, admitting("token"))("echo x", admin=False) == "x\n"


@pytest.mark.usefixtures("either")
class TestAllowlist:
    def test_a_listed_program_runs(self, root: Path) -> None:
        """It has its words as they stand, quotes taken off and nothing interpreted."""
        assert worker(root, allowing("echo", "cat"))("echo 'a  b' \"|\" $HOME *.txt '>'") == "a  b | $HOME *.txt >\n"

    def test_others_are_denied(self, root: Path) -> None:
        """The message names the program, the key and what is allowed."""
        work = worker(root, allowing("ls", "cat"))
        assert refused(work, "rm -rf x") == "denied by policy: 'rm' is not in tools.exec.safeBins (allowed: ls, cat)"
        assert refused(worker(root, allowing()), "ls").endswith("'ls' is not in tools.exec.safeBins (allowed: none)")

    @pytest.mark.parametrize(
        "command",
        [
            "ls | sh",
            "ls;sh",
            "ls ; sh",
            "ls && sh",
            "ls & sh",
            "ls > x",
            "ls >x",
            "ls 2>&1",
            "ls $(sh)",
            "ls `sh`",
            "ls < x",
        ],
    )
    def test_there_is_no_shell(self, root: Path, command: str) -> None:
        """What needs a shell is denied, not half done."""
        assert refused(worker(root, allowing("ls")), command).startswith("denied by policy: ")
        assert list(root.iterdir()) == []

    @pytest.mark.parametrize(
        "command", ["/bin/ls", "./ls", "../ls", "", " ", "'ls", "LS", "ls\\ -l", '"ls -l"', "A=b ls"]
    )
    def test_only_the_bare_name(self, root: Path, command: str) -> None:
        """A path, another spelling, an assignment or no command at all is denied."""
        tool = exec_tool(root, allowing("ls"))
        with pytest.raises(ToolFailed, match=r"^denied by policy: "):
            tool.work(None, {"command": command})  # type: ignore[arg-type]

    def test_a_path_is_denied_even_when_listed(self, root: Path) -> None:
        """safeBins are names."""
        assert refused(worker(root, allowing("./x")), "./x").startswith("denied by policy: ")

    def test_a_program_of_the_agents_own_is_not_found(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that the agent calls like a listed program is not what runs, even when PATH leads there."""
        root.mkdir(parents=True)
        own = root / "mine"
        own.write_text("#!/bin/sh\necho pwned\n")
        own.chmod(0o755)
        (link := root.parent / "link").symlink_to(root)
        monkeypatch.setenv("PATH", f"{root}::.:{link}:{os.environ['PATH']}")
        work = worker(root, allowing("mine", "env"))
        assert refused(work, "mine") == "'mine' is allowed, but not installed"
        assert "workspace" not in work("env").partition("PATH=")[2].partition("\n")[0]


SAFE, UNSAFE = ("ls", "cat"), ("rm", "sh", "bash", "env", "python3", "lsx")
PIECES = st.sampled_from(
    [
        *SAFE,
        *UNSAFE,
        *"|&;<>()`'\"\\$#!~*\n\t ",
        " && ",
        " || ",
        "$(",
        "${IFS}",
        "@",
        "@/rm",
        "./own",
        "../",
        "=",
        "-c",
        "%",
    ]
)


@example("ls -l")
@example("cat x y")
@example("ls;rm")
@example("@/rm x")
@example("ls\nrm")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PIECES | st.text(max_size=3), min_size=1, max_size=8).map("".join))
@pytest.mark.usefixtures("bare")
def test_nothing_else_is_ever_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Whatever the command is: of programs that note their start, only listed ones do, and once at most."""
    bins, root, notes = tmp_path / "bin", tmp_path / "workspace", tmp_path / "notes"
    for folder, names in ((bins, SAFE + UNSAFE), (root, ("own", "ls", "rm"))):
        folder.mkdir(exist_ok=True)
        for name in names:
            if not (program := folder / name).exists():
                program.write_text(f'#!/bin/sh\necho "$0" >> {notes}\n')
                program.chmod(0o755)
    notes.write_text("")
    monkeypatch.setenv("PATH", f"{root}:{bins}")
    command = command.replace("@", str(bins))
    try:
        exec_tool(root, allowing(*SAFE)).work(None, {"command": command})  # type: ignore[arg-type]
    except ToolFailed:
        assert notes.read_text() == ""
    else:
        assert notes.read_text() in {f"{bins / name}\n" for name in SAFE}


def test_the_time_of_the_rules_is_the_most(root: Path) -> None:
    """timeoutSeconds bounds what the model may ask for, and what it gets without asking."""
    timeouts = [
        exec_tool(root, ExecRules("full", timeout_seconds=most)).parameters["properties"]["timeout"]
        for most in (None, 5, 900)
    ]
    assert [timeout["maximum"] for timeout in timeouts] == [600, 5, 900]
    assert [timeout["description"] for timeout in timeouts] == [
        "Seconds, 120 by default.",
        "Seconds, 5 by default.",
        "Seconds, 120 by default.",
    ]


@pytest.mark.usefixtures("bare")
def test_a_missing_sandbox_is_told_once(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The operator learns that commands have the gateway's rights, why, and what helps; once."""
    module._warn.cache_clear()
    work = worker(root)
    with caplog.at_level(logging.WARNING, "gateway.tools"):
        work("true")
        work("true")
    [record] = caplog.records
    assert record.name == "gateway.tools"
    assert "all rights of the gateway's user: no bubblewrap here; install it" in record.getMessage()
