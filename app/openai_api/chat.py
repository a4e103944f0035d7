"""``POST /v1/chat/completions``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from flask import Blueprint, Response, current_app

from app.agents.events import Ended, Event, ReasoningDelta, TextDelta, ToolCallDelta
from app.agents.registry import DEFAULT_MODEL, agent_of_request
from app.agents.run import Run
from app.agents.turn import Turn
from app.auth import ADMIN, Caller
from app.config import Settings
from app.config.settings import ModelChoice
from app.errors import GatewayError, InvalidRequest, ModelNotFound, RunCancelled
from app.http.body import read_json
from app.http.client import ClientWatch
from app.http.entry import current
from app.http.envelope import JSON
from app.idle import IdleTimer
from app.openai_api import idempotency, images
from app.openai_api.completions import KEEP_ALIVE, Chunks, completion
from app.openai_api.schemas import load_chat_completion, sampling_of
from app.providers.images import has_images
from app.services import Services
from app.sessions import keys
from app.sessions.answers import Claim, KeptAnswer

blueprint = Blueprint("chat", __name__)

# Seconds without anything to send until a comment shows that the stream is alive.
SILENCE = 15.0
# Seconds that headers and role chunk wait for the provider, so that an early failure is a plain HTTP error.
HEADERS_WITHIN = 1.0

STREAM_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


@blueprint.post("/v1/chat/completions")
def create() -> Response:
    services: Services = current_app.extensions["gateway"]
    settings = services.live.current
    asked, known = current()
    body = read_json(asked.environ, settings.gateway.chat_completions.max_body_bytes)
    chat = load_chat_completion(body)
    turn = _turn(services, settings, chat, asked.environ, known)
    claim = idempotency.claim(services.sessions.answers, asked.environ, known.caller, asked.path, body)
    if isinstance(claim, KeptAnswer):
        return idempotency.replay(claim)
    try:
        run = Run(services.runs, turn)
        known.headers["x-openclaw-session-key"] = keys.for_header(turn.session_key)
        known.headers["x-openclaw-run-id"] = run.id
        render = _stream if chat.get("stream") else _whole
        return render(_Request(run, asked.environ, chat, settings.gateway.chat_completions.reasoning, claim))
    except BaseException:
        if claim is not None:
            claim.free()
        raise


class _Request(NamedTuple):
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


def _whole(request: _Request) -> Response:
    run = request.run
    watch = request.watch()
    try:
        ended = run.work()
    finally:
        watch.close()
    if ended.error is not None:
        raise _told(run, ended.error)
    body = completion(run, request.model, ended, reasoning=request.reasoning)
    request.keep(body, {"Content-Type": JSON})
    return Response(body, content_type=JSON)


def _told(run: Run, error: GatewayError) -> GatewayError:
    """SDKs send a failed request again by themselves: not one that has changed something already."""
    if run.answer.changed:
        error.headers["x-should-retry"] = "false"
    return error


def _turn(services: Services, settings: Settings, chat: dict[str, Any], environ: dict[str, Any], known: Any) -> Turn:
    """The turn that a request asks for. Raises InvalidRequest, ModelNotFound, Forbidden."""
    caller: Caller = known.caller
    wanted_key = _header(environ, "HTTP_X_OPENCLAW_SESSION_KEY")
    if wanted_key:
        if caller.mode == "trusted-proxy":
            caller.require(ADMIN)
        keys.check_not_reserved(wanted_key)
    agent = agent_of_request(
        settings,
        model=chat.get("model"),
        agent_id=_header(environ, "HTTP_X_OPENCLAW_AGENT_ID") or _header(environ, "HTTP_X_OPENCLAW_AGENT"),
        session_key=wanted_key,
    )
    conversation = chat["messages"]
    user = chat.get("user")
    stateless = not (wanted_key or user)
    if not stateless and conversation.messages[-1]["role"] == "assistant":
        where = f"messages[{conversation.last}]"
        raise InvalidRequest(f"{where}: in a stored session the last message must not be the assistant's", param=where)
    if wanted_key:
        key = keys.of_header(agent.id, wanted_key)
    elif user:
        key = keys.of_user(agent.id, user, caller.identity if caller.mode == "trusted-proxy" else None)
    else:
        key = keys.stateless(agent.id)
    prepare = None
    if has_images(conversation.messages):
        prepare = partial(images.resolve, conversation, settings.gateway.chat_completions.images)
    return Turn(
        agent=agent,
        session_key=key,
        stateless=stateless,
        messages=conversation.messages,
        prepare=prepare,
        instructions=conversation.instructions,
        sampling=sampling_of(chat),
        tools=chat.get("tools", ()),
        tool_choice=chat.get("tool_choice"),
        model=_model(services, environ, caller),
        admin=ADMIN in caller.scopes,
        identity=caller.identity,
        channel=_header(environ, "HTTP_X_OPENCLAW_MESSAGE_CHANNEL"),
        request_id=known.request_id,
    )


def _model(services: Services, environ: dict[str, Any], caller: Caller) -> ModelChoice | None:
    """The model that the request asks for instead of the agent's. Raises Forbidden, ModelNotFound."""
    wanted = _header(environ, "HTTP_X_OPENCLAW_MODEL")
    if wanted is None:
        return None
    caller.require(ADMIN)
    if not services.catalogue.knows(wanted):
        raise ModelNotFound(
            f"model {wanted[:100]!r} is not in models.providers; write it as provider/model", param="x-openclaw-model"
        )
    return ModelChoice(wanted)


def _header(environ: dict[str, Any], name: str) -> str | None:
    """A request header as text, None when absent or empty. WSGI hands its bytes over as Latin-1; they are UTF-8."""
    value = environ.get(name)
    if not value:
        return None
    try:
        return value.strip().encode("latin-1").decode("utf-8") or None
    except UnicodeDecodeError:
        header = _header_name(name)
        raise InvalidRequest(f"the header {header} is not UTF-8", param=header) from None


def _header_name(name: str) -> str:
    return name.removeprefix("HTTP_").replace("_", "-").lower()


def _stream(request: _Request) -> Response:
    """Wait until the run has begun, at most a second, then answer. An error before that is raised."""
    run = request.run
    run.spawn()
    watch = request.watch()
    first: list[Event] = []
    deadline = time.monotonic() + HEADERS_WITHIN
    try:
        while not first and (left := deadline - time.monotonic()) > 0:
            if (event := run.next_event(left)) is not None:
                first.append(event)
    except BaseException:
        watch.close()
        raise
    if first and isinstance(first[0], Ended) and first[0].error is not None:
        watch.close()
        raise _told(run, first[0].error)

    stream = _Stream(request)
    response = Response(stream.blocks(first), headers=STREAM_HEADERS)

    @response.call_on_close
    def _closed() -> None:
        watch.close()
        request.client_gone()
        stream.close()

    return response


class _Stream:
    """A run on its way to a caller as server-sent events."""

    def __init__(self, request: _Request) -> None:
        self._request = request
        include_usage = bool(request.chat.get("stream_options", {}).get("include_usage"))
        self._chunks = Chunks(request.run, request.model, include_usage=include_usage)
        # Everything so far, for an answer that is kept.
        self._sent: list[bytes] = []

    def blocks(self, first: list[Event]) -> Iterator[bytes]:
        """What goes over the wire. Tokens that wait are written together: a stream that lags catches up."""
        run = self._request.run
        waiting, block = first, self._chunks.role()
        silence = IdleTimer(SILENCE, run.nudge)
        try:
            while True:
                block += self._rendered(waiting)
                if waiting and isinstance(waiting[-1], Ended):
                    self._keep(waiting[-1], block)
                    yield block
                    return
                if block:
                    if self._request.claim is not None:
                        self._sent.append(block)
                    yield block
                    silence.touch()
                following = run.next_event()
                if following is not None:
                    waiting, block = [following, *run.events_waiting()], b""
                else:
                    waiting, block = [], KEEP_ALIVE
                    silence.restart(SILENCE)
        finally:
            silence.stop()

    def close(self) -> None:
        """The caller has all of it, or left. A run that ended well meanwhile is kept for its key all the same."""
        claim = self._request.claim
        if claim is None:
            return
        rest = list(self._request.run.events_waiting())
        if rest and isinstance(rest[-1], Ended):
            self._keep(rest[-1], self._rendered(rest))
        claim.free()

    def _keep(self, ended: Ended, last: bytes) -> None:
        if ended.error is None:
            self._request.keep(b"".join(self._sent) + last, STREAM_HEADERS)

    def _rendered(self, events: list[Event]) -> bytes:
        rendered = []
        for event in events:
            if isinstance(event, TextDelta):
                rendered.append(self._chunks.text(event.text))
            elif isinstance(event, ReasoningDelta):
                if self._request.reasoning:
                    rendered.append(self._chunks.reasoning(event.text))
            elif isinstance(event, ToolCallDelta):
                rendered.append(self._chunks.tool_call(event))
            elif isinstance(event, Ended):
                rendered.append(self._chunks.end(event))
        return b"".join(rendered)
