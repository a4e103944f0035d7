"""``python -m app logs``: what a running gateway logged lately."""

from __future__ import annotations

import time
from typing import Any

import click
import orjson

from app.cli.address import Address, gateway_options
from app.cli.failures import NoGateway
from app.cli.screen import plain, print_json

# Seconds between two looks.
LOOK_EVERY = 1.0
# Lines of one look, when all that is new is wanted.
MOST = 5000


@click.command(epilog="Examples:\n\n  python -m app logs --limit 50\n\n  python -m app logs --follow")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, over restarts of the gateway, until Ctrl-C.")
@click.option("--limit", type=click.IntRange(1, MOST), default=200, show_default=True, help="Begin with so many lines.")
@gateway_options
def logs(follow: bool, limit: int, address: Address, as_json: bool) -> None:
    """Print the gateway's log. Secrets are redacted already.

    With --json one object with the lines; with --follow, too, one object a line.
    """
    if not follow:
        with address.connect() as client:
            told = client.request("logs.tail", {"limit": limit})
        print_json(told) if as_json else _print(told, as_json=False)
        return
    try:
        cursor = _follow(address, {"limit": limit}, as_json)
        while True:
            click.echo("the gateway is gone, waiting for it", err=True)
            cursor = _resume(address, cursor, as_json)
    except KeyboardInterrupt:
        return


def _follow(address: Address, params: dict[str, Any], as_json: bool) -> int | None:
    """Until the gateway goes away; how far the log was read. Raises NoGateway where it isn't there at all."""
    with address.connect() as client:
        cursor: int | None = params.get("cursor")
        while True:
            try:
                told = client.request("logs.tail", params)
            except NoGateway:
                return cursor
            cursor = told["cursor"]
            _print(told, as_json=as_json)
            params = {"cursor": cursor, "limit": MOST}
            time.sleep(LOOK_EVERY)


def _resume(address: Address, cursor: int | None, as_json: bool) -> int | None:
    while True:
        try:
            return _follow(address, {"limit": MOST, **({} if cursor is None else {"cursor": cursor})}, as_json)
        except NoGateway:
            time.sleep(LOOK_EVERY)


def _print(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        if told["lines"]:
            click.echo(orjson.dumps(told))
        return
    if skipped := told.get("skippedBytes"):
        click.echo(f"({skipped:,} bytes were dropped before they could be read)", err=True)
    for line in told["lines"]:
        click.echo(plain(line))
