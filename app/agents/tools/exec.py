"""The exec tool: one command in the agent's workspace, in a sandbox where the machine has one."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app import children
from app.agents.tools import sandbox
from app.agents.tools.allowlist import MAX_SHOWN, named, permitted
from app.agents.tools.confinement import Confinement
from app.agents.tools.sandbox import NoSandbox, Sandbox, SandboxRefused
from app.agents.tools.tool import Tool, ToolFailed
from app.children import Bounds, Outcome
from app.concurrency.threads import aside
from app.config.environment import environment_of_children, environment_of_commands

if TYPE_CHECKING:
    from app.agents.run import Run

log = logging.getLogger("gateway.tools")

# Seconds.
USUAL_TIMEOUT = 120
MOST_TIMEOUT = 600
# Bytes that the model reads, and bytes after which a program that prints on and on is ended.
MAX_OUTPUT = 32 * 1024
MAX_READ = 16 * 1024 * 1024
# Characters.
MAX_COMMAND = 32_000

NO_SANDBOX = "commands of agents run without a sandbox, with all rights of the gateway's user: %s; %s"
NO_NETWORK = "commands of agents have no network: %s, so that one could call the gateway as an admin"
EXPOSED = (
    "the configuration or the database is in %s, which commands of agents need: while one runs it can read what is "
    "saved there anew; give the gateway's files a folder of their own"
)


@dataclass(frozen=True, slots=True)
class ExecRules:
    """How commands may run.

    security:        ``full`` hands them to a shell; anything else starts programs of ``safe_bins`` without one.
    safe_bins:       names of programs. Interpreters, and programs that start others (``env``, ``xargs``, ``find``,
                     ``git``), run anything: to list one is the operator's choice.
    timeout_seconds: the most that a command may have; ``None`` for MOST_TIMEOUT.
    confinement:     what commands must not reach. Without a sandbox they can read whatever the gateway's user can.
    network:         whether they have one; where not, nothing runs without a sandbox.
    bounds:          of a command with all that it starts.
    """

    security: str
    safe_bins: tuple[str, ...] = ()
    timeout_seconds: int | None = None
    confinement: Confinement = Confinement()
    network: bool = True
    bounds: Bounds = Bounds()


class _Command(NamedTuple):
    arguments: list[str]
    environment: dict[str, str]
    # Where it starts; None when the sandbox sees to that.
    folder: Path | None
    # Folders in which only the gateway's files themselves are hidden.
    exposed: tuple[Path, ...] = ()


def exec_tool(root: Path, rules: ExecRules) -> Tool:
    """The tool for an agent with its workspace in ``root``, which is made, 0700, when the first command needs it.

    Where whoever reaches the gateway from this machine can be anybody (``Confinement.loophole``), commands have no
    network in the sandbox, and without one only runs of callers with ``operator.admin`` have commands.
    """
    most = rules.timeout_seconds or MOST_TIMEOUT
    usual = min(USUAL_TIMEOUT, most)

    def work(run: Run, arguments: dict[str, Any]) -> str:
        box = sandbox.find()
        loophole = aside(rules.confinement.loophole)
        if isinstance(box, NoSandbox):
            if not rules.network:
                raise ToolFailed(
                    "denied by policy: tools.exec.network is false, and without a sandbox nothing can take it away"
                )
            _warn(NO_SANDBOX, box.reason, box.remedy)
            if loophole and not run.turn.admin:
                raise ToolFailed(
                    f"denied by policy: {loophole}, so without a sandbox a command could make itself an admin; "
                    "commands are for callers with operator.admin"
                )
        elif loophole and rules.network:
            _warn(NO_NETWORK, loophole)
        timeout = min(arguments.get("timeout") or usual, most)
        given = arguments["command"], arguments.get("workdir") or "."
        command = aside(_prepare, root, rules, box, *given, network=rules.network and not loophole)
        for folder in command.exposed:
            _warn(EXPOSED, str(folder))
        try:
            outcome = children.run(
                command.arguments,
                environment=command.environment,
                folder=command.folder,
                timeout=timeout,
                max_output=MAX_OUTPUT,
                max_read=MAX_READ,
                bounds=_bounds(rules.bounds, box),
            )
        except OSError as error:
            raise ToolFailed(f"the command can't be started: {error.strerror}") from None
        return _told(outcome, timeout)

    return Tool(
        name="exec",
        description=_description(rules),
        parameters={
            "type": "object",
            "properties": {
                "command": {"type": "string", "minLength": 1, "maxLength": MAX_COMMAND},
                "timeout": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": most,
                    "description": f"Seconds, {usual} by default.",
                },
                "workdir": {"type": "string", "description": "A folder in the workspace, which is the default."},
            },
            "required": ["command"],
            "additionalProperties": False,
        },
        work=work,
        concurrent=False,
        changes=True,
    )


def _bounds(bounds: Bounds, box: Sandbox | NoSandbox) -> Bounds | None:
    """None where bubblewrap alone does it: what is inside can't outlive it."""
    if isinstance(box, NoSandbox):
        return bounds
    if bounds == Bounds():
        return None
    # Its own two, outside and inside, are no processes of the command's.
    return bounds._replace(processes=bounds.processes and bounds.processes + 2)


def _description(rules: ExecRules) -> str:
    offline = "" if rules.network else " There is no network."
    if rules.security == "full":
        return f"Run a shell command in the workspace. Programs that it leaves in the background end with it.{offline}"
    return (
        "Run one program in the workspace, without a shell: no pipes, redirections, variables or patterns. "
        f"Allowed: {named(rules.safe_bins)}.{offline}"
    )


@cache
def _warn(message: str, *arguments: str) -> None:
    # Cached, so that each is told once.
    log.warning(message, *arguments)


# What happens in a thread.


def _prepare(
    root: Path, rules: ExecRules, box: Sandbox | NoSandbox, command: str, workdir: str, *, network: bool
) -> _Command:
    """Raises ToolFailed for what is not allowed or not there."""
    _check_text(command, workdir)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = root.resolve()
    except OSError as error:
        raise ToolFailed(f"the workspace can't be made: {error.strerror}") from None
    folder = _folder(root, workdir)
    environment = environment_of_commands()
    # Some Pythons need it to start, and one is the head of the command's family.
    if library_path := environment_of_children().get("LD_LIBRARY_PATH"):
        environment["LD_LIBRARY_PATH"] = library_path
    path = os.pathsep.join(_outside(root, environment["PATH"]))
    if rules.security == "full":
        arguments = [shutil.which("bash", path=path) or "/bin/sh", "-c", command]
    else:
        arguments = permitted(command, rules.safe_bins, path)
        environment["PATH"] = path
    environment |= {"TERM": "dumb", "PWD": str(folder)}
    if isinstance(box, NoSandbox):
        return _Command(arguments, environment, folder)
    environment["TMPDIR"] = "/tmp"  # noqa: S108 - the sandbox's own
    cover = rules.confinement.cover(root, environment)
    try:
        boxed = box.command(arguments, workspace=root, folder=folder, hidden=cover.hidden, network=network)
    except SandboxRefused as error:
        raise ToolFailed(f"commands can't run here: {error}; the operator must choose another for this agent") from None
    return _Command(boxed, environment, folder=None, exposed=cover.exposed)


def _check_text(*texts: str) -> None:
    for text in texts:
        try:
            encoded = os.fsencode(text)
        except UnicodeEncodeError:
            raise ToolFailed("command and workdir must be valid Unicode") from None
        if b"\0" in encoded:
            raise ToolFailed("command and workdir must not hold a NUL character")


def _folder(root: Path, workdir: str) -> Path:
    """The folder in which a command starts, with its symbolic links followed."""
    shown = repr(workdir[:MAX_SHOWN])
    try:
        folder = (root / workdir).resolve()
        if not folder.is_relative_to(root):
            raise ToolFailed(f"workdir {shown} is outside of the workspace")
        if not folder.is_dir():
            raise ToolFailed(f"workdir {shown} is not a folder in the workspace")
    except (OSError, RuntimeError):  # the latter for links that lead in a circle
        raise ToolFailed(f"workdir {shown} can't be reached") from None
    return folder


def _outside(root: Path, path: str) -> Iterator[str]:
    """The folders of PATH in which an agent can't put programs of its own."""
    for folder in path.split(os.pathsep):
        if os.path.isabs(folder) and not Path(folder).resolve().is_relative_to(root):
            yield folder


def _told(outcome: Outcome, timeout: int) -> str:
    """What the model reads."""
    if outcome.timed_out:
        note = f"[ended after {timeout} s]"
    elif outcome.code is None:
        note = f"[ended after printing {MAX_READ >> 20} MB]"
    elif outcome.code < 0:
        note = f"[ended by signal {-outcome.code}]"
    elif outcome.code:
        note = f"[exit code {outcome.code}]"
    else:
        return outcome.text() or "[no output]"
    text = outcome.text()
    return text + note if not text or text.endswith("\n") else f"{text}\n{note}"
