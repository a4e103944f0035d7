"""A run on its way to the caller who asked for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any, NamedTuple

from app.agents.events import Ended
from app.agents.registry import DEFAULT_MODEL
from app.agents.run import Run
from app.errors import GatewayError, RunCancelled
from app.http.client import ClientWatch
from app.openai_api import idempotency
from app.openai_api.other_fields import header_of, ignored_by
from app.sessions import keys
from app.sessions.answers import AnswerRecord, Claim


class Delivery(NamedTuple):
    """A run and how its caller wants it told.

    others: names of the fields that the request's schema does not know. claim: of its Idempotency-Key.
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

    def keep(self, rendered: Callable[[Ended], bytes], content_headers: Mapping[str, str]) -> None:
        """Let a good end be stored as the answer to the request's key, if it has one. Before the run begins.

        rendered: the body as the caller gets it. content_headers: those of every answer of its kind.
        """
        run, claim = self.run, self.claim
        if claim is None:
            return

        def keepsake(ended: Ended) -> AnswerRecord | None:
            headers = {
                **content_headers,
                **self.headers(),
                "x-openclaw-session-key": keys.for_header(run.turn.session_key),
                "x-openclaw-run-id": run.id,
            }
            return idempotency.record_of(claim, headers, rendered(ended))

        run.keepsake = keepsake
        # By then it is stored or never will be, and its caller has not seen the end yet.
        run.listen(lambda event: claim.free() if isinstance(event, Ended) else None)

    def told(self, error: GatewayError) -> GatewayError:
        """SDKs send a failed request again by themselves: not one that has changed something already."""
        told = error.again()
        if self.run.answer.changed:
            told.headers["x-should-retry"] = "false"
        return told
