"""``python -m app config``: the configuration file, looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from app.config import ConfigError, Environment, Settings, load, read_environment


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
def validate(path: Path | None) -> None:
    """Check PATH, or the file in use, and name every fault."""
    environment = read_environment()
    if path is not None:
        environment = replace(environment, config_path=path)
        try:
            path.stat()
        except OSError as error:
            fail(f"{path}: {error.strerror}")
    settings = load_or_fail(environment)
    click.echo(f"{settings.path}: valid")
    for warning in settings.warnings:
        click.echo(f"warning: {warning}")


@config.command()
def secret() -> None:
    """Print the token or password that callers need, for use in scripts."""
    auth = load_or_fail(read_environment()).gateway.auth
    if auth.secret is None:
        fail(f"gateway.auth.mode {auth.mode} has no secret")
    click.echo(auth.secret)


def load_or_fail(environment: Environment) -> Settings:
    """The checked settings; faults end the command."""
    try:
        return load(environment)
    except ConfigError as error:
        fail_with(error)


def fail_with(error: ConfigError) -> NoReturn:
    """End with exit code 1 and each fault on a line of its own."""
    fail("\n".join(map(str, error.faults)))


def fail(lines: str) -> NoReturn:
    """End with exit code 1 and these lines on stderr."""
    click.echo(lines, err=True)
    raise SystemExit(1)
