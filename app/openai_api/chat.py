"""``POST /v1/chat/completions``."""

from __future__ import annotations

from flask import Blueprint, Response, current_app

from app.agents.events import Ended
from app.agents.run import Run
from app.http.body import read_json
from app.http.entry import current
from app.http.envelope import JSON
from app.openai_api import idempotency
from app.openai_api.completions import completion
from app.openai_api.delivery import Delivery
from app.openai_api.other_fields import others_of
from app.openai_api.schemas import load_chat_completion
from app.openai_api.streaming import stream
from app.openai_api.turns import turn_of
from app.services import Services
from app.sessions import keys
from app.sessions.answers import KeptAnswer

blueprint = Blueprint("chat", __name__)


@blueprint.post("/v1/chat/completions")
def create() -> Response:
    services: Services = current_app.extensions["gateway"]
    settings = services.live.current
    asked, known = current()
    gateway = settings.gateway
    body = read_json(asked.environ, gateway.chat_completions.max_body_bytes, gateway.connections.body_seconds)
    chat = load_chat_completion(body, gateway.chat_completions.max_messages)
    others = others_of(body)
    turn = turn_of(services, settings, chat, others, asked.environ, caller=known.caller, request_id=known.request_id)
    run = Run(services.runs, turn)
    claim = idempotency.claim(
        services.sessions.answers, asked.environ, known.caller, asked.path, body, stateless=turn.stateless
    )
    if isinstance(claim, KeptAnswer):
        return idempotency.replay(claim)
    try:
        known.headers["x-openclaw-session-key"] = keys.for_header(turn.session_key)
        known.headers["x-openclaw-run-id"] = run.id
        render = stream if chat.get("stream") else _whole
        reasoning = settings.gateway.chat_completions.reasoning
        return render(Delivery(run, asked.environ, chat, others.keys(), reasoning, claim))
    except BaseException:
        # One that began frees it at its own end, which may be later: the client went away, its turn is being stored.
        if claim is not None and not run.admitted:
            claim.free()
        raise


def _whole(delivery: Delivery) -> Response:
    run = delivery.run
    rendered: list[bytes] = []

    def render(ended: Ended) -> bytes:
        if not rendered:
            rendered.append(completion(run, delivery.model, ended, reasoning=delivery.reasoning))
        return rendered[0]

    delivery.keep(render, {"Content-Type": JSON})
    watch = delivery.watch()
    try:
        ended = run.work()
    finally:
        watch.close()
    if ended.error is not None:
        raise delivery.told(ended.error)
    response = Response(render(ended), content_type=JSON)
    if headers := delivery.headers():
        response.headers.update(headers)
    return response
