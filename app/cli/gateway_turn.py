"""A turn in a running gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from app.cli.asking import Asking, summary
from app.cli.client import Client
from app.cli.failures import NoGateway, RequestFailed
from app.ids import new_uuid


def answer(client: Client, asking: Asking, hear: Callable[[str], object]) -> dict[str, Any]:
    """Run the turn to its end; what came of it. ``hear`` is given the text as it comes.

    Without a session key the turn has a session of its own, deleted at its end. Raises RequestFailed where the gateway
    refuses to begin, NoGateway.
    """
    run_id = new_uuid()
    client.heed = lambda event: event.name == "agent" and event.payload.get("runId") == run_id
    params = {
        "message": asking.message,
        "sessionKey": asking.session_key or f"cli:{run_id}",
        "idempotencyKey": run_id,
        **({"agentId": asking.agent_id} if asking.agent_id else {}),
        **({"thinking": asking.thinking} if asking.thinking else {}),
        **({"timeout": asking.timeout} if asking.timeout else {}),
    }
    request = client.begin("agent", params)
    accepted = client.answer(request)
    try:
        return _followed(client, request, accepted, hear)
    finally:
        if not asking.session_key:
            _forget(client, accepted["sessionKey"])


def _followed(client: Client, request: str, accepted: dict[str, Any], hear: Callable[[str], object]) -> dict[str, Any]:
    key, run_id = accepted["sessionKey"], accepted["runId"]
    told = ""

    def tell(text: str) -> None:
        nonlocal told
        if len(text) > len(told):
            hear(text[len(told) :])
            told = text

    try:
        _listen(client, request, tell)
    except KeyboardInterrupt:
        client.request("chat.abort", {"sessionKey": key, "runId": run_id})
        _listen(client, request, tell)
    facts: dict[str, Any] = {"run_id": run_id, "agent_id": accepted["agentId"], "session_key": key}
    try:
        ended = client.answer(request)
    except RequestFailed as failed:
        error = {
            "message": failed.message,
            "type": failed.details.get("type"),
            "param": None,
            "code": failed.details.get("code"),
        }
        return summary(**facts, model=None, text=told, finish_reason=None, usage=None, error=error)
    tell("".join(part["text"] for part in ended["result"]["payloads"]))
    meta = ended["result"]["meta"]
    by = meta["agentMeta"]
    return summary(
        **facts,
        model=f"{by['provider']}/{by['model']}",
        text=told,
        finish_reason=meta.get("stopReason"),
        usage={name: by["usage"][name] for name in ("input", "output", "cacheRead")},
        error=None,
    )


def _listen(client: Client, request: str, tell: Callable[[str], object]) -> None:
    for event in client.events(until=request):
        if event.payload["stream"] == "assistant":
            tell(event.payload["data"]["text"])


def _forget(client: Client, key: str) -> None:
    try:
        client.request("sessions.delete", {"key": key, "deleteTranscript": True})
    except (RequestFailed, NoGateway) as error:
        # The answer is what was asked for; that it stays on record has to be known all the same.
        click.echo(f"Warning: the session {key} is still there: {error.message}", err=True)
