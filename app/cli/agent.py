"""``python -m app agent``: one message, one answer."""

from __future__ import annotations

import sys

import click

from app.cli.address import Address, gateway_options
from app.cli.asking import EFFORTS, Asking
from app.cli.failures import NoGateway
from app.cli.screen import plain, print_json, write


@click.command(
    epilog="Examples:\n\n  python -m app agent --message 'What is a lane?'\n\n"
    "  python -m app agent --session-key notes --message 'And a session?' --json\n\n"
    "  git diff | python -m app agent --agent reviewer --message - --timeout 120"
)
@click.option("--message", "-m", required=True, help="What to say to the agent; - reads standard input.")
@click.option("--agent", "agent_id", help="Which agent; without it the default agent, or the session key's.")
@click.option("--session-key", help="Continue this session; without it nothing is kept.")
@click.option("--thinking", type=click.Choice(EFFORTS), help="How much a reasoning model thinks first.")
@click.option("--timeout", type=click.IntRange(1, 86_400), metavar="SECONDS", help="End the run after this time.")
@click.option("--local", is_flag=True, help="Answer in this process, without a gateway.")
@gateway_options
def agent(
    *,
    message: str,
    agent_id: str | None,
    session_key: str | None,
    thinking: str | None,
    timeout: int | None,
    local: bool,
    address: Address,
    as_json: bool,
) -> None:
    """Let an agent answer one message.

    The text streams to standard output; Ctrl-C ends the run. Exit code 0: answered, 1: the run failed, 2: bad
    arguments, 3: no gateway there.
    """
    text = sys.stdin.read() if message == "-" else message
    if not text.strip():
        raise click.UsageError("--message is empty")
    if local and (address.url or address.token):
        raise click.UsageError("--local needs no gateway: leave out --url and --token")
    asking = Asking(text, agent_id, session_key, thinking, timeout)
    hear = (lambda _: None) if as_json else write
    # Neither way needs what the other one loads.
    if local:
        from app.cli.local_turn import answer as answer_here

        told = answer_here(asking, hear)
    else:
        from app.cli.gateway_turn import answer

        try:
            client = address.connect()
        except NoGateway as error:
            raise NoGateway(error.what, *error.remedies, "answer in this process with --local") from None
        with client:
            told = answer(client, asking, hear)
    failure = told["error"]
    if as_json:
        print_json(told)
    elif told["text"]:
        click.echo()
    if failure is not None:
        if not as_json:
            click.echo(f"Error: {plain(failure['message'])}", err=True)
        sys.exit(1)
