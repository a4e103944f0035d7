"""One session at a gateway, kept up over restarts of the gateway."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from app.cli.address import Address
from app.cli.client import Client, Event
from app.cli.failures import NoGateway
from app.cli.transcript import text_of
from app.ids import new_uuid

# Seconds in which a gateway that went away must be back, and between two tries.
BACK_WITHIN, TRY_EVERY = 120.0, 0.5
# Messages that the session is shown with, and that arrow keys bring back.
REMEMBERED = 100
# Characters of each.
MAX_CHARS = 100_000

History = dict[str, Any]


class Display(Protocol):
    """Where an answer is shown, while it comes.

    text:    all that was said so far. tool: a call, by name and arguments. tool_failed: what it says.
    note:    something that happens beside the answer. failed: why there is no more of it.
    """

    def text(self, whole: str) -> None: ...
    def tool(self, name: str, arguments: Any) -> None: ...
    def tool_failed(self, result: str) -> None: ...
    def note(self, text: str) -> None: ...
    def failed(self, reason: str) -> None: ...


class Conversation:
    """key: the session's whole key, once the gateway has said it. Raises click's exceptions, see ``failures``.

    note: is told when the gateway goes away and when it is back.
    """

    def __init__(self, address: Address, note: Callable[[str], object]) -> None:
        self._address = address
        self._note = note
        self._client: Client = address.connect()
        self.key = ""

    @property
    def url(self) -> str:
        return self._client.url

    def enter(self, key: str, agent_id: str | None = None) -> History:
        """Go to a session; ``chat.history`` of it. Raises RequestFailed, and stays where it was."""
        history: History = self._request("chat.history", _named(key, agent_id))
        self.key = history["sessionKey"]
        return history

    def history(self) -> History:
        return self.enter(self.key)

    def reset(self) -> None:
        self._request("sessions.reset", {"key": self.key})

    def say(self, text: str, display: Display) -> None:
        """Until the answer is complete or failed. Ctrl-C ends the run; a second one stops waiting for that."""
        run_id = new_uuid()
        params = {"sessionKey": self.key, "message": text, "idempotencyKey": run_id}
        # Sent again, it is the same message: the key names the run.
        self._heed(run_id)
        try:
            begun = self._request("chat.send", params)
        except KeyboardInterrupt:
            # It may have been sent already: then the gateway finds the run when it reads this.
            self._abort(run_id)
            display.failed("stopped")
            return
        if begun["status"] == "ok":
            self._catch_up(run_id, display)
            return
        heard = False
        stopping = False
        while True:
            try:
                for event in self._client.events():
                    # What is left of a run that Ctrl-C gave up is not this one's.
                    if event.payload["runId"] == run_id:
                        heard = True
                        if _shown(event, display):
                            return
            except KeyboardInterrupt:
                if stopping:
                    display.note(f"the run {run_id} is left to itself")
                    return
                stopping = True
                if not self._abort(run_id) and self._catch_up(run_id, display):
                    return
            except NoGateway:
                self._reconnect()
                self._heed(run_id)
                if self._catch_up(run_id, display):
                    return
                if not self._is_at_work(run_id):
                    if heard:
                        display.failed("the gateway went away before the answer was complete; say it again")
                        return
                    self._request("chat.send", params)

    def close(self) -> None:
        self._client.close()

    def _abort(self, run_id: str) -> bool:
        """Whether the run ended by it."""
        return bool(self._request("chat.abort", {"sessionKey": self.key, "runId": run_id})["aborted"])

    def _heed(self, run_id: str) -> None:
        self._client.heed = lambda event: event.payload.get("runId") == run_id

    def _request(self, method: str, params: dict[str, Any]) -> Any:
        """The answer; asked again where the gateway went away meanwhile, which all that is asked here can be."""
        while True:
            try:
                return self._client.request(method, params)
            except NoGateway:
                heed = self._client.heed
                self._reconnect()
                self._client.heed = heed

    def _reconnect(self) -> None:
        """Raises NoGateway after BACK_WITHIN."""
        self._client.close()
        self._note(f"{self._client.url} is gone, waiting for it")
        deadline = time.monotonic() + BACK_WITHIN
        while True:
            try:
                self._client = self._address.connect()
            except NoGateway:
                if time.monotonic() > deadline:
                    raise
                time.sleep(TRY_EVERY)
            else:
                self._note("connected again")
                return

    def _catch_up(self, run_id: str, display: Display) -> bool:
        """Show how a run ended whose events were missed; False when it has not, or is not known."""
        outcome = self._outcome(run_id)
        if outcome["status"] == "timeout":
            return False
        if outcome["status"] == "error":
            display.failed(outcome.get("error", "it failed"))
            return True
        answer: list[str] = []
        for message in self.history()["messages"]:
            if message["role"] == "user":
                answer = []
            elif message["role"] == "assistant":
                answer.append(text_of(message))
        display.text("\n\n".join(part for part in answer if part))
        return True

    def _is_at_work(self, run_id: str) -> bool:
        return "startedAt" in self._outcome(run_id)

    def _outcome(self, run_id: str) -> dict[str, Any]:
        outcome: dict[str, Any] = self._request("agent.wait", {"runId": run_id, "timeoutMs": 0})
        return outcome


def _named(key: str, agent_id: str | None) -> dict[str, Any]:
    asked = {"sessionKey": key, "limit": REMEMBERED, "maxChars": MAX_CHARS}
    return {**asked, "agentId": agent_id} if agent_id else asked


def _shown(event: Event, display: Display) -> bool:
    """Show what an event tells; True when it is the answer's last."""
    told = event.payload
    if event.name == "agent":
        if told["stream"] == "tool":
            data = told["data"]
            if data["phase"] == "start":
                display.tool(data["name"], data.get("args"))
            elif data["phase"] == "result" and data.get("isError"):
                display.tool_failed(str(data.get("result", "")))
        return False
    if event.name != "chat":
        return False
    if "message" in told:
        display.text(text_of(told["message"]))
    if told["state"] == "aborted":
        display.failed("stopped")
    elif told["state"] == "error":
        display.failed(told.get("errorMessage", "the run failed"))
    return told["state"] in ("final", "aborted", "error")
