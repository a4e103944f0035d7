"""What a request's headers and fields ask of an agent, as a turn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from app.agents.registry import agent_of_request, may_not_be_chosen
from app.agents.turn import Turn
from app.auth import ADMIN, Caller
from app.config import Settings
from app.config.settings import Agent, ModelChoice
from app.errors import InvalidRequest, ModelNotFound
from app.openai_api import images
from app.openai_api.other_fields import passable
from app.openai_api.schemas import sampling_of
from app.openai_api.tools import choice_of
from app.providers.images import has_images
from app.services import Services
from app.sessions import keys
from app.sessions.ownership import Reach


def turn_of(
    services: Services,
    settings: Settings,
    chat: dict[str, Any],
    others: Mapping[str, Any],
    environ: dict[str, Any],
    *,
    caller: Caller,
    request_id: str,
) -> Turn:
    """The turn that a chat completion asks for. others: as ``others_of``.

    Raises InvalidRequest, ModelNotFound, Forbidden.
    """
    reach = Reach.of(caller, caller.scopes)
    wanted_key = _header(environ, "HTTP_X_OPENCLAW_SESSION_KEY")
    if wanted_key:
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
        reach.check(key)
    elif user:
        key = keys.of_user(agent.id, user, reach.identity)
    else:
        key = keys.stateless(agent.id, reach.identity)
    prepare = None
    if has_images(conversation.messages):
        prepare = partial(images.resolve, conversation, settings.gateway.chat_completions)
    model = _model(services, environ, caller, agent)
    sampling = sampling_of(chat)
    if others:
        first = (model or agent.model).primary
        sampling.update(passable(others, lambda: services.catalogue.taken(first)))
    choice, allowed = choice_of(chat)
    return Turn(
        agent=agent,
        session_key=key,
        stateless=stateless,
        messages=conversation.messages,
        prepare=prepare,
        instructions=conversation.instructions,
        sampling=sampling,
        tools=chat.get("tools", ()),
        tool_choice=choice,
        allowed=allowed,
        metadata=chat.get("metadata"),
        model=model,
        admin=ADMIN in caller.scopes,
        identity=caller.person,
        channel=_header(environ, "HTTP_X_OPENCLAW_MESSAGE_CHANNEL"),
        request_id=request_id,
    )


def _model(services: Services, environ: dict[str, Any], caller: Caller, agent: Agent) -> ModelChoice | None:
    """The model that the request asks for instead of the agent's. Raises Forbidden, ModelNotFound, InvalidRequest."""
    wanted = _header(environ, "HTTP_X_OPENCLAW_MODEL")
    if wanted is None:
        return None
    caller.require(ADMIN)
    wanted = services.catalogue.named(wanted)
    if not services.catalogue.knows(wanted):
        raise ModelNotFound(
            f"model {wanted[:100]!r} is not in models.providers; write it as provider/model", param="x-openclaw-model"
        )
    if not agent.may_be_answered_by(wanted):
        raise InvalidRequest(f"model {wanted[:100]!r} {may_not_be_chosen(agent)}", param="x-openclaw-model")
    return ModelChoice(wanted)


def _header(environ: dict[str, Any], name: str) -> str | None:
    """A request header as text, None when absent or empty. WSGI hands its bytes over as Latin-1; they are UTF-8.

    Only what HTTP calls white space is cut off: the last byte of an "à" is a space in Latin-1.
    """
    value = environ.get(name)
    if not value:
        return None
    try:
        return value.strip(" \t").encode("latin-1").decode("utf-8").strip() or None
    except UnicodeDecodeError:
        header = _header_name(name)
        raise InvalidRequest(f"the header {header} is not UTF-8", param=header) from None


def _header_name(name: str) -> str:
    return name.removeprefix("HTTP_").replace("_", "-").lower()
