"""A run on its way to the caller who asked for it."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, NamedTuple

from app.agents.registry import DEFAULT_MODEL
from app.agents.run import Run
from app.errors import GatewayError, RunCancelled
from app.http.client import ClientWatch
from app.openai_api import idempotency
from app.openai_api.other_fields import header_of, ignored_by
from app.sessions import keys
from app.sessions.answers import Claim


class Delivery(NamedTuple):
    """A run and how its caller wants it told.

    others: names of the fields that the request's schema does not know. claim: of its Idempotency-Key, freed by whoever
    fails.
    """

    run: Run
    environ: dict[str, Any]
    chat: dict[str, Any]
    others: Set[str]
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

    def headers(self) -> dict[str, str]:
        """What an answer says of the run besides, as soon as it is known which model answers."""
        return header_of(self.run, ignored_by(self.run, self.others))

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
        told = error.again()
        if self.run.answer.changed:
            told.headers["x-should-retry"] = "false"
        return told
