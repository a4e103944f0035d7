"""A turn in this process, without a gateway."""

from __future__ import annotations

# Before everything else: a run in this process streams through the same greenlets as in the gateway.
from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import signal  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import replace  # noqa: E402
from typing import Any  # noqa: E402

import click  # noqa: E402

from app.agents.events import Ended, RefusalDelta, TextDelta  # noqa: E402
from app.agents.registry import agent_of_request  # noqa: E402
from app.agents.run import Run  # noqa: E402
from app.agents.turn import Turn  # noqa: E402
from app.cli.asking import Asking, summary  # noqa: E402
from app.config import ConfigError, Settings, load, read_environment  # noqa: E402
from app.errors import GatewayError, RunCancelled  # noqa: E402
from app.ops import logs  # noqa: E402
from app.providers.local import LocalModel  # noqa: E402
from app.services import Services  # noqa: E402
from app.sessions import keys  # noqa: E402
from app.sessions.database import StorageError  # noqa: E402


def answer(asking: Asking, hear: Callable[[str], object]) -> dict[str, Any]:
    """Run the turn to its end; what came of it. ``hear`` is given the text as it comes.

    Raises click's exceptions where nothing could be tried.
    """
    environment = read_environment()
    try:
        settings = load(environment)
        turn = _turn(settings, asking)
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
        if asking.thinking and services.catalogue.model(turn.agent.model.primary).reasoning:
            turn = turn._replace(sampling={"reasoning_effort": asking.thinking})
        run = Run(services.runs, turn)
        signal.signal(signal.SIGINT, lambda *_: run.cancel(RunCancelled("interrupted")))
        run.spawn()
        while True:
            event = run.next_event()
            if isinstance(event, TextDelta | RefusalDelta):
                hear(event.text)
            elif isinstance(event, Ended):
                return _told(run, event)
    finally:
        services.close()
        local_model.close()


def _turn(settings: Settings, asking: Asking) -> Turn:
    """Raises GatewayError for what the arguments ask in vain."""
    key = asking.session_key
    if key:
        keys.check_not_reserved(key)
    agent = agent_of_request(settings, model=None, agent_id=asking.agent_id, session_key=key)
    if asking.timeout:
        agent = replace(agent, timeout_seconds=min(asking.timeout, agent.timeout_seconds))
    return Turn(
        agent=agent,
        session_key=keys.of_header(agent.id, key) if key else keys.stateless(agent.id),
        stateless=not key,
        messages=[{"role": "user", "content": asking.message}],
        # Whoever may read the configuration here is the operator.
        admin=True,
        channel="cli",
    )


def _told(run: Run, ended: Ended) -> dict[str, Any]:
    usage = ended.usage
    return summary(
        run_id=run.id,
        agent_id=run.turn.agent.id,
        session_key=run.turn.session_key,
        model=run.model,
        text=run.answer.shown,
        finish_reason=ended.finish_reason,
        usage={"input": usage.prompt - usage.cached, "output": usage.completion, "cacheRead": usage.cached},
        error=ended.error.envelope()["error"] if ended.error else None,
    )
