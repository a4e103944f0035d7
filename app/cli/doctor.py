"""``python -m app doctor``: what may be wrong with this installation, and how to mend it."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

import click
import orjson

from app.agents.tools import sandbox
from app.agents.tools.policy import unknown_names
from app.agents.tools.sandbox import NoSandbox
from app.config import ConfigError, Environment, load, read_environment

OK, WARN, FAIL = "ok", "warn", "FAIL"


class Finding(NamedTuple):
    """One line of the report. status: ``ok``, ``warn`` or ``FAIL``."""

    check: str
    status: str
    text: str


def configuration(environment: Environment) -> Iterator[Finding]:
    """It loads; each fault is a finding."""
    try:
        settings = load(environment)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("configuration", FAIL, str(fault))
        return
    for who, name in unknown_names(settings):
        yield Finding("tools", WARN, f"{who}: there is no tool {name!r}; the name has no effect")
    if settings.warnings:
        remedy = "`.venv/bin/python -m app config validate` shows them"
        yield Finding("configuration", WARN, f"{settings.path} is valid, warnings: {len(settings.warnings)}; {remedy}")
    else:
        yield Finding("configuration", OK, f"{settings.path} is valid")


def state_folder(environment: Environment) -> Iterator[Finding]:
    """It exists, is writable, and nobody else can look into it."""
    folder = environment.state_dir
    quoted = shlex.quote(str(folder))
    try:
        status = folder.stat()
    except FileNotFoundError:
        remedy = "run `.venv/bin/python -m app onboard`, which makes it"
        yield Finding("state folder", FAIL, f"{folder} does not exist: {remedy}")
        return
    except OSError as error:
        yield Finding("state folder", FAIL, f"{folder} can't be reached: {error.strerror}")
        return
    if not stat.S_ISDIR(status.st_mode):
        yield Finding("state folder", FAIL, f"{folder} is not a folder: set OPENCLAW_STATE_DIR to one")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("state folder", FAIL, f"{folder} can't be written by this user: chown it, or run as its owner")
    elif status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding("state folder", FAIL, f"{folder} is open to other users: chmod 700 {quoted}")
    else:
        yield Finding("state folder", OK, f"{folder} is private")


def command_sandbox(_environment: Environment) -> Iterator[Finding]:
    """bubblewrap works, so that commands of agents don't have all rights of the gateway's user."""
    box = sandbox.find()
    if isinstance(box, NoSandbox):
        yield Finding("sandbox", WARN, f"{box.reason}, so commands run with the gateway's rights: {box.remedy}")
    else:
        yield Finding("sandbox", OK, f"commands run in bubblewrap ({box.program})")


CHECKS: tuple[Callable[[Environment], Iterator[Finding]], ...] = (configuration, state_folder, command_sandbox)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array instead of text.")
def doctor(as_json: bool) -> None:
    """Check this installation. Exit code 1 when something fails; a warning is no failure."""
    environment = read_environment()
    findings = [finding for check in CHECKS for finding in check(environment)]
    if as_json:
        click.echo(orjson.dumps([finding._asdict() for finding in findings], option=orjson.OPT_INDENT_2))
    else:
        for finding in findings:
            click.echo(f"{finding.status:<4}  {finding.check}: {finding.text}")
    if any(finding.status == FAIL for finding in findings):
        sys.exit(1)
