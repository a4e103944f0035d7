"""``POST /v1/chat/completions``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, current_app

from app.agents.events import Ended, Event, ReasoningDelta, TextDelta
from app.agents.registry import DEFAULT_MODEL, agent_of_request
from app.agents.run import Run
from app.agents.turn import Turn
from app.auth import ADMIN, Caller
from app.config import Settings
from app.errors import InvalidRequest, RunCancelled
from app.http.body import read_json
from app.http.client import ClientWatch
from app.http.entry import current
from app.http.envelope import JSON
from app.idle import IdleTimer
from app.openai_api.completions import KEEP_ALIVE, Chunks, completion
from app.openai_api.schemas import load_chat_completion, sampling_of
from app.services import Services
from app.sessions import keys

blueprint = Blueprint("chat", __name__)

# Seconds without anything to send until a comment shows that the stream is alive.
SILENCE = 15.0
# Seconds that headers and role chunk wait for the provider, so that an early failure is a plain HTTP error.
HEADERS_WITHIN = 1.0

# To ignore them would be to answer another request than the one that was sent.
_UNSUPPORTED_HEADERS = ("HTTP_X_OPENCLAW_MODEL", "HTTP_IDEMPOTENCY_KEY")

STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@blueprint.post("/v1/chat/completions")
def create() -> Response:
    services: Services = current_app.extensions["gateway"]
    settings = services.live.current
    asked, known = current()
    chat = load_chat_completion(read_json(asked.environ, settings.gateway.chat_completions.max_body_bytes))
    run = Run(services.runs, _turn(settings, chat, asked.environ, known.caller, known.request_id))
    model = chat.get("model", DEFAULT_MODEL).strip()
    reasoning = settings.gateway.chat_completions.reasoning
    known.headers["x-openclaw-session-key"] = keys.for_header(run.turn.session_key)
    known.headers["x-openclaw-run-id"] = run.id
    if chat.get("stream"):
        return _stream(run, asked.environ, model, chat, reasoning)
    watch = ClientWatch(asked.environ, lambda: run.cancel(_client_gone()))
    try:
        ended = run.work()
    finally:
        watch.close()
    if ended.error is not None:
        raise ended.error
    return Response(completion(run, model, ended, reasoning=reasoning), content_type=JSON)


def _turn(settings: Settings, chat: dict[str, Any], environ: dict[str, Any], caller: Caller, request_id: str) -> Turn:
    """The turn that a request asks for. Raises InvalidRequest, ModelNotFound, Forbidden."""
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
    for name in _UNSUPPORTED_HEADERS:
        if environ.get(name):
            header = _header_name(name)
            raise InvalidRequest(f"the header {header} is not supported by this version", param=header)
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
    return Turn(
        agent=agent,
        session_key=key,
        stateless=stateless,
        messages=conversation.messages,
        instructions=conversation.instructions,
        sampling=sampling_of(chat),
        channel=_header(environ, "HTTP_X_OPENCLAW_MESSAGE_CHANNEL"),
        request_id=request_id,
    )


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


def _client_gone() -> RunCancelled:
    return RunCancelled("the client closed its connection")


def _stream(run: Run, environ: dict[str, Any], model: str, chat: dict[str, Any], reasoning: bool) -> Response:
    """Wait until the run has begun, at most a second, then answer. An error before that is raised."""
    run.spawn()
    watch = ClientWatch(environ, lambda: run.cancel(_client_gone()))
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
        raise first[0].error

    include_usage = bool(chat.get("stream_options", {}).get("include_usage"))
    chunks = _chunks(run, Chunks(run, model, include_usage=include_usage), first, reasoning)
    response = Response(chunks, headers=STREAM_HEADERS, content_type="text/event-stream")

    @response.call_on_close
    def _closed() -> None:
        watch.close()
        run.cancel(_client_gone())

    return response


def _chunks(run: Run, chunks: Chunks, first: list[Event], reasoning: bool) -> Iterator[bytes]:
    """What goes over the wire. Tokens that wait are written together: a stream that lags catches up."""
    waiting = first
    rendered = [chunks.role()]
    silence = IdleTimer(SILENCE, run.nudge)
    try:
        while True:
            for event in waiting:
                if isinstance(event, TextDelta):
                    rendered.append(chunks.text(event.text))
                elif isinstance(event, ReasoningDelta):
                    if reasoning:
                        rendered.append(chunks.reasoning(event.text))
                elif isinstance(event, Ended):
                    rendered.append(chunks.end(event))
                    yield b"".join(rendered)
                    return
            if rendered:
                yield b"".join(rendered)
                silence.touch()
            following = run.next_event()
            if following is not None:
                waiting = [following, *run.events_waiting()]
                rendered = []
            else:
                waiting = []
                rendered = [KEEP_ALIVE]
                silence.restart(SILENCE)
    finally:
        silence.stop()
