"""Commands on a machine without a sandbox: whatever they do, nothing of them outlives their run or the gateway."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from tests.conftest import StartGateway
from tests.live.gateway import Gateway, wait_until
from tests.scripted import Reply, ScriptedProvider, ToolCall
from tests.test_children import alive, new_mark

PROGRAMS = ("sh", "bash", "sleep", "setsid", "env", "cat", "kill", "yes", "seq", "rm")

# Ways to be found neither by group and session, nor by an environment. @ is the mark of what stays.
ESCAPES = {
    "without environment": "setsid env -i sleep @ &",
    "forked twice": "(setsid env -i sh -c 'sleep @ & sleep @ & exit' &)",
    "stopped": "setsid env -i sh -c 'sleep @ & kill -STOP $!; kill -STOP $$' &",
    "ignoring all": "setsid env -i sh -c 'trap \"\" TERM HUP INT USR1 USR2; sleep @; sleep @' &",
    "forking on and on": "setsid env -i sh -c 'while :; do (sleep @ & setsid sleep @ &) ; done' &",
    "its head killed": "setsid env -i sleep @ & (setsid env -i sh -c 'sleep @ & sleep @' &) ; kill -KILL $PPID",
    "its head stopped": "setsid env -i sleep @ & kill -STOP $PPID",
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH without bubblewrap."""
    (folder := tmp_path / "bin").mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(next(path for path in (Path("/bin", name), Path("/usr/bin", name)) if path.exists()))
    return folder


@pytest.fixture
def marks() -> Iterator[Callable[[], str]]:
    """Makes marks; what has one is ended after the test, however that went."""
    made: list[str] = []

    def make() -> str:
        made.append(new_mark())
        return made[-1]

    yield make
    for number in (signal.SIGSTOP, signal.SIGKILL):
        while found := [each for each in psutil.process_iter(["cmdline", "status"]) if _left(each, made, number)]:
            for process in found:
                with suppress(psutil.Error):
                    process.send_signal(number)


def _left(process: psutil.Process, made: list[str], number: int) -> bool:
    command = " ".join(process.info["cmdline"] or ())
    over = (psutil.STATUS_ZOMBIE, *((psutil.STATUS_STOPPED,) if number == signal.SIGSTOP else ()))
    return process.info["status"] not in over and any(mark in command for mark in made)


def without_sandbox(start_gateway: StartGateway, programs: Path) -> Gateway:
    return start_gateway(env={"PATH": f"{programs}"}, tools={"profile": "coding"})


def ask(gateway: Gateway, provider: ScriptedProvider, command: str, **arguments: object) -> str:
    """What the model reads of a command that it runs."""
    call = ToolCall("x1", "exec", json.dumps({"command": command, **arguments}))
    provider.enqueue(Reply(tool_calls=(call,), finish="tool_calls"), Reply("done"))
    assert gateway.chat("go").text == "done"
    return str(provider.requests[-1].body["messages"][-1]["content"])


def test_none_outlives_its_run(
    start_gateway: StartGateway, programs: Path, provider: ScriptedProvider, marks: Callable[[], str]
) -> None:
    """However they leave their family: when the model reads the result they are gone."""
    gateway = without_sandbox(start_gateway, programs)
    for way, script in ESCAPES.items():
        mark = marks()
        ready = "until [ -e ready ]; do sleep 0.01; done; "
        ask(gateway, provider, f"rm -f ready; {script}\n : > ready; {ready} sleep 0.2".replace("@", mark), timeout=5)
        assert alive(mark) == [], way
    assert ask(gateway, provider, "echo still").startswith("still")


@pytest.mark.parametrize("way", [way for way in ESCAPES if not way.startswith("its head")])
def test_none_outlives_a_killed_gateway(
    start_gateway: StartGateway, programs: Path, provider: ScriptedProvider, marks: Callable[[], str], way: str
) -> None:
    """kill -9 of all processes of the gateway ends what their commands do."""
    gateway = without_sandbox(start_gateway, programs)
    mark = marks()
    command = f"{ESCAPES[way]}\n sleep {mark}".replace("@", mark)
    call = ToolCall("x1", "exec", json.dumps({"command": command}))
    provider.enqueue(Reply(tool_calls=(call,), finish="tool_calls"))
    asking = Thread(target=lambda: _hopeless(gateway))
    asking.start()
    wait_until(lambda: len(alive(mark)) > 1, "the command runs")
    master = psutil.Process(gateway.process.pid)
    for process in (master, *master.children()):
        process.kill()
    wait_until(lambda: alive(mark) == [], "its processes are gone")
    asking.join()


def _hopeless(gateway: Gateway) -> None:
    with suppress(OSError):
        gateway.chat("go")


def test_bounds_from_the_file_hold(start_gateway: StartGateway, programs: Path, provider: ScriptedProvider) -> None:
    """An agent's own key narrows the gateway's, and the model reads what the command went beyond."""
    gateway = start_gateway(
        env={"PATH": f"{programs}"},
        tools={"profile": "coding", "exec": {"maxProcesses": 50, "maxMemoryBytes": 10**9}},
        agents={"list": [{"id": "main", "model": "scripted/m", "tools": {"exec": {"maxProcesses": 3}}}]},
    )
    seen = ask(gateway, provider, "for i in 1 2 3 4 5; do sleep 60 & done; wait")
    assert "[ended: it had more than 3 processes]" in seen


@pytest.mark.parametrize("where", ["tools", "agents"])
def test_no_network_is_refused_without_a_sandbox(start_gateway: StartGateway, programs: Path, where: str) -> None:
    """The start ends in one line that says which agents, why, and what to do; without commands it is no matter."""
    exec_rules = {"exec": {"network": False}}
    changes: dict[str, Any] = {"tools": {"profile": "coding"}}
    if where == "tools":
        changes["tools"] |= exec_rules
    else:
        changes["agents"] = {"list": [{"id": "main", "model": "scripted/m", "tools": exec_rules}]}
    gateway = start_gateway(env={"PATH": f"{programs}"}, up=False, **changes)
    assert gateway.wait_for_end() != 0
    [line] = [line for line in gateway.log.splitlines() if line.startswith("gateway: ")]
    assert "tools.exec.network is false for main" in line
    assert "bubblewrap (bwrap) is not installed" in line
    start_gateway(env={"PATH": f"{programs}"}, tools={"profile": "readonly", **exec_rules})


def test_what_a_killed_bridge_leaves_ends(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Descendants of an MCP server whose bridge could do nothing any more, in sessions of their own too."""
    server = Path(__file__).parents[1] / "agents" / "tools" / "mcp" / "servers" / "raw.py"
    gateway = start_gateway(
        tools={"profile": "coding"},
        mcp={
            "servers": {
                "x": {"command": sys.executable, "args": [str(server)], "env": {"API_TOKEN": "t", "FOLDER": "f"}}
            }
        },
    )
    provider.enqueue(Reply(tool_calls=(ToolCall("x1", "x__orphans", "{}"),), finish="tool_calls"), Reply("done"))
    assert gateway.chat("go").text == "done"
    left = [psutil.Process(pid) for pid in json.loads(provider.requests[-1].body["messages"][-1]["content"])]
    assert len(left) == 2
    [worker] = [
        child for child in psutil.Process(gateway.process.pid).children() if "gunicorn" in " ".join(child.cmdline())
    ]
    [bridge] = [child for child in worker.children() if "app.agents.tools.mcp.bridge" in child.cmdline()]
    bridge.kill()
    wait_until(lambda: not any(_lives(process) for process in left), "its descendants are gone")
    again = "ready"
    wait_until(lambda: again in gateway.log.rpartition("was killed")[2], "it is started again")


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
