"""``python -m app sessions``: the conversations that a running gateway keeps."""

from __future__ import annotations

import sys
from typing import Any

import click

from app.cli.address import Address, gateway_options
from app.cli.screen import age, plain, print_facts, print_json, print_table
from app.cli.transcript import model_of, print_messages

_yes = click.option("--yes", is_flag=True, help="Don't ask first.")


@click.group()
def sessions() -> None:
    """Look at sessions, and reset, delete or stop them.

    KEY is a session's whole key, such as agent:main:notes, or only its end for one of the default agent's.
    """


@sessions.command(
    "list",
    epilog="Examples:\n\n  python -m app sessions list --search notes\n\n"
    "  python -m app sessions list --agent writer --active 60",
)
@click.option("--agent", "agent_id", help="Of this agent only.")
@click.option("--search", metavar="TEXT", help="Whose key or label has this text.")
@click.option("--active", type=click.IntRange(min=1), metavar="MINUTES", help="Used within so many minutes.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="So many at most.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out the latest so many.")
@gateway_options
def list_sessions(
    *,
    agent_id: str | None,
    search: str | None,
    active: int | None,
    limit: int,
    offset: int,
    address: Address,
    as_json: bool,
) -> None:
    """List sessions, the latest first."""
    asked = {"agentId": agent_id, "search": search, "activeMinutes": active, "limit": limit, "offset": offset}
    params = {name: value for name, value in asked.items() if value is not None}
    with address.connect() as client:
        told = client.request("sessions.list", {**params, "includeDerivedTitles": True})
    if as_json:
        print_json(told)
        return
    print_table(
        ("session", "title", "state", "model", "tokens", "updated"),
        (
            (
                row["key"],
                row.get("displayName"),
                row.get("status"),
                model_of(row),
                f"{row.get('totalTokens', 0):,}",
                age(row.get("updatedAt")),
            )
            for row in told["sessions"]
        ),
        numbers=("tokens",),
    )
    shown, total = len(told["sessions"]), told.get("totalCount", 0)
    if shown < total:
        click.echo(f"{shown} of {total}; --limit and --offset show others")


@sessions.command(epilog="Example:\n\n  python -m app sessions show notes --limit 10")
@click.argument("key")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="So many messages.")
@gateway_options
def show(key: str, limit: int, address: Address, as_json: bool) -> None:
    """Show what was said in the session KEY."""
    with address.connect() as client:
        told = client.request("chat.history", {"sessionKey": key, "limit": limit})
    if as_json:
        print_json(told)
        return
    if "sessionId" not in told:
        raise click.ClickException(f"there is no session {told['sessionKey']}")
    row = told.get("sessionInfo", {})
    # What stands for the answer of a failed turn has the place of its question.
    shown = len({message["__openclaw"]["seq"] for message in told["messages"]})
    print_facts(
        (
            ("session", told["sessionKey"]),
            ("label", row.get("label")),
            ("model", model_of(row)),
            ("state", row.get("status")),
            ("error", row.get("lastRunError")),
            ("tokens", f"{row.get('inputTokens', 0):,} in, {row.get('outputTokens', 0):,} out"),
            ("messages", f"{shown} of {told['totalMessages']}"),
        )
    )
    print_messages(told["messages"])
    if (at_work := told.get("inFlightRun")) is not None:
        print_messages([at_work["message"]])
        click.secho(f"… run {at_work['runId']} answers since {age(at_work['startedAt'])}", dim=True)


@sessions.command(epilog="Example:\n\n  python -m app sessions reset notes --yes")
@click.argument("key")
@_yes
@gateway_options
def reset(key: str, yes: bool, address: Address, as_json: bool) -> None:
    """Begin the session KEY anew: what was said is no longer known. A run in it is ended."""
    _ask(f"Begin {key} anew", yes)
    _tell(address, as_json, "sessions.reset", {"key": key}, "{key} begins anew")


@sessions.command(epilog="Example:\n\n  python -m app sessions delete notes --yes")
@click.argument("key")
@_yes
@gateway_options
def delete(key: str, yes: bool, address: Address, as_json: bool) -> None:
    """Delete the session KEY with all that was said. A run in it is ended.

    Exit code 1 when there is no such session.
    """
    _ask(f"Delete {key} with all that was said", yes)
    told = _tell(address, as_json, "sessions.delete", {"key": key}, None)
    if not told["deleted"]:
        raise click.ClickException(f"there is no session {told['key']}")
    if not as_json:
        click.echo(f"{plain(told['key'])} is deleted")


@sessions.command(epilog="Example:\n\n  python -m app sessions abort notes")
@click.argument("key")
@gateway_options
def abort(key: str, address: Address, as_json: bool) -> None:
    """End the runs of the session KEY."""
    told = _tell(address, as_json, "sessions.abort", {"key": key}, None)
    if not as_json:
        ended = told.get("runIds") or ([told["abortedRunId"]] if told.get("abortedRunId") else [])
        click.echo(f"ended: {', '.join(map(plain, ended))}" if ended else "nothing runs in it")


def _ask(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: confirm with --yes")
    click.confirm(f"{plain(what)}?", abort=True)


def _tell(address: Address, as_json: bool, method: str, params: dict[str, Any], said: str | None) -> dict[str, Any]:
    with address.connect() as client:
        told: dict[str, Any] = client.request(method, params)
    if as_json:
        print_json(told)
    elif said:
        click.echo(said.format(key=plain(told["key"])))
    return told
