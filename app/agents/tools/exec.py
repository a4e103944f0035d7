"""The exec tool: one command in the agent's workspace, in a sandbox where the machine has one."""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.agents.tools import children, sandbox
from app.agents.tools.children import Outcome
from app.agents.tools.sandbox import NoSandbox, Sandbox, SandboxRefused
from app.agents.tools.tool import Tool, ToolFailed
from app.agents.tools.workspace import aside
from app.config.environment import environment_of_commands

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
MAX_SHOWN = 80

# Words that mean something to a shell alone.
_OPERATOR = re.compile(r"[|&;()]+|\d*[<>].*|&>.*|.*(\$\(|`).*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ExecRules:
    """How commands may run.

    security:        ``full`` hands them to a shell; anything else starts programs of ``safe_bins`` without one.
    safe_bins:       names of programs. Interpreters, and programs that start others (``env``, ``xargs``, ``find``,
                     ``git``), run anything: to list one is the operator's choice.
    timeout_seconds: the most that a command may have; ``None`` for MOST_TIMEOUT.
    hidden:          files and folders that the sandbox hides, such as the state folder. Without a sandbox a program
                     can read whatever the gateway's user can.
    """

    security: str
    safe_bins: tuple[str, ...] = ()
    timeout_seconds: int | None = None
    hidden: tuple[Path, ...] = ()


class _Command(NamedTuple):
    arguments: list[str]
    environment: dict[str, str]
    # Where it starts; None when the sandbox sees to that.
    folder: Path | None


def exec_tool(root: Path, rules: ExecRules) -> Tool:
    """The tool for an agent with its workspace in ``root``, which is made, 0700, when the first command needs it."""
    most = rules.timeout_seconds or MOST_TIMEOUT
    usual = min(USUAL_TIMEOUT, most)

    def work(_run: Run, arguments: dict[str, Any]) -> str:
        box = sandbox.find()
        if isinstance(box, NoSandbox):
            _warn(box)
        timeout = min(arguments.get("timeout") or usual, most)
        command = aside(_prepare, root, rules, box, arguments["command"], arguments.get("workdir") or ".")
        try:
            outcome = children.run(
                command.arguments,
                environment=command.environment,
                folder=command.folder,
                timeout=timeout,
                max_output=MAX_OUTPUT,
                max_read=MAX_READ,
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


def _description(rules: ExecRules) -> str:
    if rules.security == "full":
        return "Run a shell command in the workspace. Programs that it leaves in the background end with it."
    return (
        "Run one program in the workspace, without a shell: no pipes, redirections, variables or patterns. "
        f"Allowed: {_names(rules)}."
    )


@cache
def _warn(missing: NoSandbox) -> None:
    # Cached, so that each reason is told once.
    log.warning(
        "commands of agents run without a sandbox, with all rights of the gateway's user: %s; %s",
        missing.reason,
        missing.remedy,
    )


# What happens in a thread.


def _prepare(root: Path, rules: ExecRules, box: Sandbox | NoSandbox, command: str, workdir: str) -> _Command:
    """Raises ToolFailed for what is not allowed or not there."""
    _check_text(command, workdir)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = root.resolve()
    except OSError as error:
        raise ToolFailed(f"the workspace can't be made: {error.strerror}") from None
    folder = _folder(root, workdir)
    environment = environment_of_commands()
    path = os.pathsep.join(_outside(root, environment["PATH"]))
    if rules.security == "full":
        arguments = [shutil.which("bash", path=path) or "/bin/sh", "-c", command]
    else:
        arguments = _allowed(command, rules, path)
        environment["PATH"] = path
    environment |= {"TERM": "dumb", "PWD": str(folder)}
    if isinstance(box, NoSandbox):
        return _Command(arguments, environment, folder)
    environment["TMPDIR"] = "/tmp"  # noqa: S108 - the sandbox's own
    try:
        return _Command(
            box.command(arguments, workspace=root, folder=folder, hidden=rules.hidden), environment, folder=None
        )
    except SandboxRefused as error:
        raise ToolFailed(f"commands can't run here: {error}; the operator must choose another for this agent") from None


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


def _allowed(command: str, rules: ExecRules, path: str) -> list[str]:
    try:
        words = list(_words(command))
    except ValueError as error:
        raise ToolFailed(f"denied by policy: the command can't be split into words: {error}") from None
    if not words:
        raise ToolFailed("denied by policy: the command is empty")
    name = words[0][0]
    if name not in rules.safe_bins or "/" in name:
        raise ToolFailed(
            f"denied by policy: {name[:MAX_SHOWN]!r} is not in tools.exec.safeBins (allowed: {_names(rules)})"
        )
    for word, bare in words:
        if bare and _OPERATOR.fullmatch(word):
            raise ToolFailed(
                f"denied by policy: {word[:MAX_SHOWN]!r} needs a shell, and there is none (tools.exec.security is "
                "allowlist); give one program with its arguments, and quote what is meant literally"
            )
    program = shutil.which(name, path=path)
    if program is None:
        raise ToolFailed(f"{name!r} is allowed, but not installed")
    return [program, *(word for word, _ in words[1:])]


def _words(command: str) -> Iterator[tuple[str, bool]]:
    """The words as a shell would split them, and whether each stands there bare, without quotes. Raises ValueError."""
    text = io.StringIO(command)
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace_split = True
    words.commenters = ""
    start = 0
    for word in words:
        end = text.tell()
        yield word, command[start:end].strip() == word
        start = end


def _names(rules: ExecRules) -> str:
    return ", ".join(rules.safe_bins) or "none"


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
