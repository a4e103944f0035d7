"""A run on its way to the caller who asked for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.agents.registry import DEFAULT_MODEL
from app.agents.run import Run
from app.errors import GatewayError, RunCancelled
from app.http.client import ClientWatch
from app.openai_api import idempotency
from app.sessions import keys
from app.sessions.answers import Claim


class Delivery(NamedTuple):
    """A run and how its caller wants it told. claim: of its Idempotency-Key, freed by whoever fails."""

    run: Run
    environ: dict[str, Any]
    chat: dict[str, Any]
    reasoning: bool
    claim: Claim | None

    @property
    def model(self) -> str:
        """As the caller wrote it."""
        return str(self.chat.get("model", DEFAULT_MODEL)).strip()

    def watch(self) -> ClientWatch:
        return ClientWatch(self.environ, self.client_gone)

    def client_gone(self) -> None:
        self.run.cancel(RunCancelled("the client closed its connection"))

    def keep(self, body: bytes, headers: dict[str, str]) -> None:
        if self.claim is not None:
            headers = {
                **headers,
                "x-openclaw-session-key": keys.for_header(self.run.turn.session_key),
                "x-openclaw-run-id": self.run.id,
            }
            idempotency.keep(self.claim, headers, body)

    def told(self, error: GatewayError) -> GatewayError:
        """SDKs send a failed request again by themselves: not one that has changed something already."""
        if self.run.answer.changed:
            error.headers["x-should-retry"] = "false"
        return error
