"""One question on the command line, and what is told of its answer, wherever it was answered."""

from __future__ import annotations

from typing import Any, NamedTuple

# What models know as reasoning_effort.
EFFORTS = ("minimal", "low", "medium", "high")


class Asking(NamedTuple):
    """thinking: one of EFFORTS. timeout: seconds."""

    message: str
    agent_id: str | None = None
    session_key: str | None = None
    thinking: str | None = None
    timeout: int | None = None


def summary(
    *,
    run_id: str,
    agent_id: str,
    session_key: str,
    model: str | None,
    text: str,
    finish_reason: str | None,
    usage: dict[str, int] | None,
    error: dict[str, Any] | None,
) -> dict[str, Any]:
    """The object that ``--json`` prints.

    model, usage: None where nothing is known of them. usage: ``input`` are tokens that the provider had to read, those
    that it had cached are ``cacheRead``.
    """
    return {
        "runId": run_id,
        "agentId": agent_id,
        "sessionKey": session_key,
        "model": model,
        "status": "error" if error else "ok",
        "text": text,
        "finishReason": finish_reason,
        "usage": usage,
        "error": error,
    }
