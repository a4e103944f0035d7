"""All checks, and how their findings are told."""

from __future__ import annotations

import sys
from contextlib import suppress

import click

from app.cli.address import Address, gateway_options
from app.cli.doctor.configuration import configuration, endpoint, keys, secret
from app.cli.doctor.database import database, disk
from app.cli.doctor.files import files, state_folder
from app.cli.doctor.finding import FAIL, WARN, Check, Installation
from app.cli.doctor.machine import command_sandbox, python
from app.cli.doctor.models import answers, models
from app.cli.doctor.reach import port, running
from app.cli.screen import plain, print_json
from app.config import ConfigError, Settings, load, read_environment

CHECKS: tuple[Check, ...] = (
    python,
    configuration,
    keys,
    secret,
    endpoint,
    state_folder,
    files,
    disk,
    database,
    models,
    answers,
    command_sandbox,
    port,
    running,
)

_COLOURS = {WARN: "yellow", FAIL: "red"}


@click.command(epilog="Examples:\n\n  python -m app doctor\n\n  python -m app doctor --deep --json")
@click.option("--deep", is_flag=True, help="Ask each agent's primary model for a word, too, which may cost money.")
@gateway_options
def doctor(deep: bool, address: Address, as_json: bool) -> None:
    """Check this installation, and say how to mend what is wrong.

    Exit code 1 when something fails; a warning is no failure.
    """
    environment = read_environment()
    settings: Settings | None = None
    with suppress(ConfigError):  # each fault is a finding of the check; the others look at what there is
        settings = load(environment)
    installation = Installation(environment, settings, address, deep)
    findings = []
    for check in CHECKS:
        for finding in check(installation):
            findings.append(finding)
            if not as_json:
                status = click.style(f"{finding.status:<4}", fg=_COLOURS.get(finding.status, "green"))
                click.echo(f"{status}  {finding.check}: {plain(finding.text)}")
    if as_json:
        print_json([finding._asdict() for finding in findings])
    if any(finding.status == FAIL for finding in findings):
        sys.exit(1)
