"""``python -m app agent``: one turn, in this process."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Any

import click
import orjson

from app.agents.events import Ended, TextDelta
from app.agents.registry import agent_of_request
from app.agents.run import Run
from app.agents.turn import Turn
from app.config import ConfigError, Settings, load, read_environment
from app.errors import GatewayError, RunCancelled
from app.ops import logs
from app.providers.local import LocalModel
from app.services import Services
from app.sessions import keys
from app.sessions.database import StorageError


@click.command(
    epilog="Examples:\n\n  python -m app agent --message 'What is a lane?'\n\n"
    "  python -m app agent --session-key notes --message 'And a session?' --json"
)
@click.option("--message", "-m", required=True, help="What to say to the agent; - reads standard input.")
@click.option("--agent", "agent_id", help="Which agent; without it the default agent, or the session key's.")
@click.option("--session-key", help="Continue this session; without it nothing is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def agent(message: str, agent_id: str | None, session_key: str | None, as_json: bool) -> None:
    """Let an agent answer one message, without a running gateway.

    The text streams to standard output. Exit code 0: answered, 1: the run failed, 2: bad arguments.
    """
    text = sys.stdin.read() if message == "-" else message
    if not text.strip():
        raise click.UsageError("--message is empty")
    environment = read_environment()
    try:
        settings = load(environment)
        turn = _turn(settings, text, agent_id, session_key)
        logs.configure(settings)
        logging.getLogger().setLevel(logging.WARNING)
        local_model = LocalModel()
        services = Services(environment, settings, local_model)
    except ConfigError as error:
        raise click.ClickException("\n".join(str(fault) for fault in error.faults)) from None
    except StorageError as error:
        raise click.ClickException(str(error)) from None
    except GatewayError as error:
        raise click.UsageError(error.message) from None
    try:
        run = Run(services.runs, turn)
        signal.signal(signal.SIGINT, lambda *_: run.cancel(RunCancelled("interrupted")))
        run.spawn()
        ended = _print_text(run, silent=as_json)
    finally:
        services.close()
        local_model.close()
    if as_json:
        click.echo(orjson.dumps(_summary(run, ended), option=orjson.OPT_INDENT_2))
    if ended.error is not None:
        if not as_json:
            click.echo(f"Error: {ended.error.message}", err=True)
        sys.exit(1)


def _turn(settings: Settings, text: str, agent_id: str | None, session_key: str | None) -> Turn:
    """Raises GatewayError for what the arguments ask in vain."""
    if session_key:
        keys.check_not_reserved(session_key)
    chosen = agent_of_request(settings, model=None, agent_id=agent_id, session_key=session_key)
    return Turn(
        agent=chosen,
        session_key=keys.of_header(chosen.id, session_key) if session_key else keys.stateless(chosen.id),
        stateless=session_key is None,
        messages=[{"role": "user", "content": text}],
        # Whoever may read the configuration here is the operator.
        admin=True,
        channel="cli",
    )


def _print_text(run: Run, *, silent: bool) -> Ended:
    while True:
        event = run.next_event()
        if isinstance(event, TextDelta) and not silent:
            click.echo(event.text, nl=False)
            sys.stdout.flush()
        elif isinstance(event, Ended):
            if run.answer.parts and not silent:
                click.echo()
            return event


def _summary(run: Run, ended: Ended) -> dict[str, Any]:
    return {
        "runId": run.id,
        "agentId": run.turn.agent.id,
        "sessionKey": run.turn.session_key,
        "model": run.model,
        "status": "error" if ended.error else "ok",
        "text": run.answer.text,
        "finishReason": ended.finish_reason,
        "usage": {"input": ended.usage.prompt, "output": ended.usage.completion, "cacheRead": ended.usage.cached},
        "error": ended.error.envelope()["error"] if ended.error else None,
    }
