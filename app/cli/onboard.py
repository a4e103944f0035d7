"""``python -m app onboard``: the first configuration, and how to reach the gateway with it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from app.cli.config import fail, fail_with
from app.config import ConfigError, Settings, load, read_environment
from app.config import onboard as write_first_config

ROOT = Path(__file__).resolve().parents[2]


@click.command()
@click.option("--show-token", is_flag=True, help="Print the token in force.")
def onboard(show_token: bool) -> None:
    """Write a first configuration, never over one that exists, and show how to call the gateway."""
    environment = read_environment()
    note = ""
    try:
        write_first_config(environment)
    except FileExistsError:
        note = " (exists, left as it is)"
    except ConfigError as error:
        fail_with(error)
    except OSError as error:
        fail(f"{error.filename or environment.config_path}: can't be written: {error.strerror}")
    try:
        settings = load(environment)
    except ConfigError as error:
        fail_with(error)
    auth = settings.gateway.auth
    secret = auth.token if auth.mode == "token" else auth.password
    click.echo(f"config:  {settings.path}{note}")
    click.echo(f"address: {_url(settings)}")
    if show_token:
        click.echo(f"token:   {secret or 'none'}")
    elif environment.token:
        click.echo("token:   in OPENCLAW_GATEWAY_TOKEN, which wins over the file")
    else:
        click.echo(f"token:   in {settings.path}")
    if settings.gateway.chat_completions.enabled and auth.mode in ("token", "password"):
        click.echo(f"try:\n{_curl(settings)}")
    click.echo("serve:   python -m app gateway")


def _url(settings: Settings) -> str:
    host = settings.gateway.bind_host
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{settings.gateway.port}"  # noqa: S104


def _curl(settings: Settings) -> str:
    """A line that works when pasted, from any folder, without showing the secret on the screen."""
    path = shlex.quote(str(settings.path))
    secret = (
        f"cd {shlex.quote(str(ROOT))} && OPENCLAW_CONFIG_PATH={path} {shlex.quote(sys.executable)} -m app config secret"
    )
    return (
        f'curl -sS {_url(settings)}/v1/chat/completions -H "Authorization: Bearer $({secret})"'
        " -H 'Content-Type: application/json' -d '"
        '{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}\''
    )
