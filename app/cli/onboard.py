"""``python -m app onboard``: the first configuration, and how to reach the gateway with it."""

from __future__ import annotations

import os
import shlex
import sys

import click

from app.cli.config import fail, fail_with, load_or_fail
from app.cli.gateway import ROOT
from app.config import ConfigError, Environment, Settings, load, read_environment
from app.config import onboard as write_first_config
from app.providers.local import library


@click.command()
@click.option("--show-token", is_flag=True, help="Print the token in force.")
@click.option("--lacking", is_flag=True, help="Print the Debian packages that the models in use lack; write nothing.")
def onboard(show_token: bool, lacking: bool) -> None:
    """Write a first configuration, never over one that exists, and show how to call the gateway."""
    environment = read_environment()
    if lacking:
        if _will_use_local_model(environment) and not library.is_there():
            click.echo(library.PACKAGE)
        return
    note = ""
    try:
        write_first_config(environment)
    except FileExistsError:
        note = " (exists, left as it is)"
    except ConfigError as error:
        fail_with(error)
    except OSError as error:
        fail(f"{error.filename or environment.config_path}: can't be written: {error.strerror}")
    settings = load_or_fail(environment)
    auth = settings.gateway.auth
    click.echo(f"config:  {settings.path}{note}")
    click.echo(f"address: {settings.gateway.url}")
    label = "password:" if auth.mode == "password" else "token:"
    if show_token:
        click.echo(f"{label:<8} {auth.secret or 'none'}")
    elif auth.secret is not None:
        variable = "OPENCLAW_GATEWAY_PASSWORD" if auth.mode == "password" else "OPENCLAW_GATEWAY_TOKEN"
        place = f"in {variable}, which wins over the file" if environment.get(variable) else f"in {settings.path}"
        click.echo(f"{label:<8} {place}")
    if settings.uses_local_model and not library.is_there():
        click.echo(f"missing: {library.LIBRARY}, which the model on board needs: {library.REMEDY}")
    if settings.gateway.chat_completions.enabled and auth.secret is not None:
        click.echo(f"try:\n{_curl(settings)}")


def _will_use_local_model(environment: Environment) -> bool:
    try:
        return load(environment).uses_local_model
    except ConfigError:
        # A first configuration names that model. What is wrong with one that exists is told by who has to use it.
        return not os.path.lexists(environment.config_path)


def _curl(settings: Settings) -> str:
    """A line that works when pasted, from any folder, without showing the secret on the screen."""
    path = shlex.quote(str(settings.path))
    secret = (
        f"cd {shlex.quote(str(ROOT))} && OPENCLAW_CONFIG_PATH={path} {shlex.quote(sys.executable)} -m app config secret"
    )
    return (
        f'curl -sS {settings.gateway.url}/v1/chat/completions -H "Authorization: Bearer $({secret})"'
        " -H 'Content-Type: application/json' -d '"
        '{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}\''
    )
