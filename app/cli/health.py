"""``python -m app health`` and ``status``: how a running gateway is."""

from __future__ import annotations

import sys
from typing import Any

import click

from app.cli.address import Address, gateway_options
from app.cli.screen import age, duration, plain, print_facts, print_json, print_table, size


@click.command(epilog="Example:\n\n  python -m app health && echo well")
@gateway_options
def health(address: Address, as_json: bool) -> None:
    """Ask a gateway whether it is well.

    Exit code 0: it serves, 1: it runs but can't serve well, 3: no gateway there.
    """
    with address.connect() as client:
        well = client.request("health")
        # What ails it is no part of the published health.
        failing = [] if well.get("ok") else client.request("status")["failing"]
    if as_json:
        print_json({**well, "ok": not failing, "failing": failing})
    elif failing:
        click.echo(f"{client.url} is not well: {', '.join(failing)}")
    else:
        click.echo(f"{client.url} is well: {len(well['agents'])} agents, {well['sessions']['count']} sessions")
    if failing:
        sys.exit(1)


@click.command(epilog="Examples:\n\n  python -m app status\n\n  python -m app status --json | jq .runs.active")
@gateway_options
def status(address: Address, as_json: bool) -> None:
    """Show what a gateway does: runs, sessions, models, tokens of today."""
    with address.connect() as client:
        told: dict[str, Any] = {
            **client.request("status"),
            "url": client.url,
            "protocol": client.hello["protocol"],
            "usage": client.request("usage.status")["totals"],
        }
    if as_json:
        print_json(told)
        return
    runs, sessions = told["runs"], told["sessions"]
    memory = told["memory"]["rssBytes"]
    print_facts(
        (
            ("gateway", f"{told['url']}, version {told['runtimeVersion']}, protocol {told['protocol']}"),
            ("up", f"{duration(told['uptimeMs'] / 1000)}, process {told['pid']}"),
            ("memory", memory and size(memory)),
            ("not well", ", ".join(told["failing"])),
            ("runs", f"{runs['active']} of {runs['max']}"),
            ("connections", told["connections"]),
            ("sessions", sessions["count"]),
            ("model", sessions["defaults"]["model"]),
            ("today", _used(told["usage"]["today"])),
            ("last 30 days", _used(told["usage"]["last30Days"])),
        )
    )
    if told["modelsSetAside"]:
        click.echo("\nModels that are asked last for a while")
        print_table(
            ("model", "for", "because"),
            ((model, duration(each["seconds"]), each["reason"]) for model, each in told["modelsSetAside"].items()),
        )
    if told["mcpServers"]:
        click.echo("\nMCP servers")
        print_table(("server", "state"), ((name, _state(state)) for name, state in told["mcpServers"].items()))
    if sessions["recent"]:
        click.echo("\nLatest sessions")
        print_table(("session", "updated"), ((plain(row["key"]), age(row["updatedAt"])) for row in sessions["recent"]))


def _used(totals: dict[str, Any]) -> str:
    cost = f", cost {totals['totalCost']:g}" if totals["totalCost"] else ""
    failed = f", {totals['errors']} failed" if totals["errors"] else ""
    return f"turns {totals['turns']}{failed}; tokens {totals['input']:,} in, {totals['output']:,} out{cost}"


def _state(state: Any) -> str:
    if isinstance(state, dict):
        return ", ".join(f"{name} {value}" for name, value in state.items())
    return str(state)
