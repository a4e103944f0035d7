"""``python -m app agents`` and ``models``: what a running gateway has to offer."""

from __future__ import annotations

import time

import click

from app.cli.address import Address, gateway_options
from app.cli.screen import duration, print_json, print_table


@click.group()
def agents() -> None:
    """Look at a gateway's agents."""


@agents.command("list", epilog="Example:\n\n  python -m app agents list")
@gateway_options
def list_agents(address: Address, as_json: bool) -> None:
    """List the agents; * marks the default."""
    with address.connect() as client:
        told = client.request("agents.list")
    if as_json:
        print_json(told)
        return
    print_table(
        ("", "agent", "name", "model", "fallbacks", "workspace"),
        (
            (
                "*" if agent["id"] == told["defaultId"] else "",
                agent["id"],
                agent.get("name"),
                agent.get("model", {}).get("primary"),
                ", ".join(agent.get("model", {}).get("fallbacks", ())),
                agent.get("workspace"),
            )
            for agent in told["agents"]
        ),
    )


@click.group()
def models() -> None:
    """Look at a gateway's models."""


@models.command("list", epilog="Example:\n\n  python -m app models list")
@gateway_options
def list_models(address: Address, as_json: bool) -> None:
    """List the models, and which can't be used at the moment."""
    with address.connect() as client:
        told = client.request("models.list")
    if as_json:
        print_json(told)
        return
    print_table(
        ("model", "context", "takes", "thinks", "state"),
        (
            (
                _reference(model["provider"], model["id"]),
                f"{model['contextWindow']:,}" if "contextWindow" in model else None,
                ", ".join(model.get("input", ())),
                "yes" if model.get("reasoning") else "",
                _state(model.get("available", True), model.get("unavailableReason"), model.get("unavailableUntil")),
            )
            for model in told["models"]
        ),
        numbers=("context",),
    )


def _reference(provider: str, id: str) -> str:
    return id if id.startswith(f"{provider}/") else f"{provider}/{id}"


def _state(available: bool, reason: str | None, until_ms: int | None) -> str:
    if available:
        return "ready"
    wait = f" for {duration(max(until_ms / 1000 - time.time(), 0))}" if until_ms else ""
    return f"{reason or 'unavailable'}{wait}"
