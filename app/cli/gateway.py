"""``python -m app gateway``: serve; and ``gateway call``: any method of a running gateway."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from app import json_text
from app.cli.address import Address, gateway_options
from app.cli.screen import print_json

ROOT = Path(__file__).resolve().parents[2]


class Serving(click.Group):
    """A group that serves where no command of it is named: all arguments are gunicorn's then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and (args[0] in self.commands or args[0] in ctx.help_option_names):
            return super().parse_args(ctx, args)
        ctx.args = []
        ctx.params["gunicorn_options"] = tuple(args)
        return []


@click.group(
    cls=Serving,
    invoke_without_command=True,
    no_args_is_help=False,
    subcommand_metavar="[GUNICORN OPTIONS] | COMMAND [ARGS]...",
    epilog="Examples:\n\n  python -m app gateway\n\n  python -m app gateway --bind 127.0.0.1:8080\n\n"
    "  python -m app gateway call sessions.list --params '{\"limit\": 5}'",
)
@click.pass_context
def gateway(ctx: click.Context, gunicorn_options: tuple[str, ...] = ()) -> None:
    """Serve, as `gunicorn wsgi:app` does. Options are gunicorn's, such as --bind 127.0.0.1:8080.

    A command talks to a gateway that runs already.
    """
    if ctx.invoked_subcommand is None:
        serve(gunicorn_options)


def serve(gunicorn_options: tuple[str, ...]) -> NoReturn:
    os.chdir(ROOT)
    # In place of this process: signals and exit codes are gunicorn's own.
    os.execv(  # noqa: S606
        sys.executable, [sys.executable, "-m", "gunicorn", *gunicorn_options, "wsgi:app"]
    )


@gateway.command(
    epilog="Examples:\n\n  python -m app gateway call health\n\n"
    "  python -m app gateway call sessions.list --params '{\"limit\": 5}'\n\n"
    "  python -m app gateway call chat.send --params - < message.json"
)
@click.argument("method")
@click.option("--params", "given", metavar="JSON", help="The method's parameters, an object; - reads standard input.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60, show_default=True, metavar="SECONDS")
@click.option("--expect-final", is_flag=True, help="Wait for the second answer, of methods such as agent.")
@gateway_options
def call(
    *, method: str, given: str | None, timeout: float, expect_final: bool, address: Address, as_json: bool
) -> None:
    """Call METHOD of a running gateway, and print what it answers as JSON, with or without --json.

    Exit code 1: the gateway answered with an error, 2: it doesn't take these parameters, 3: no gateway there.
    """
    params = _params(sys.stdin.read() if given == "-" else given)
    with address.connect() as client:
        request = client.begin(method, params)
        payload = client.answer(request, timeout)
        if expect_final:
            payload = client.answer(request, timeout)
    print_json(payload)


def _params(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        params = json_text.loads(text)
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error.msg}", param_hint="--params") from None
    if not isinstance(params, dict):
        raise click.BadParameter("not an object", param_hint="--params")
    return params
