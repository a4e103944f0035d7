"""What can be seen of sessions: ``sessions.list``, ``.preview``, ``.describe``, ``.resolve``, ``.get``."""

from __future__ import annotations

import time
from typing import Any

from app.auth import READ
from app.errors import InvalidRequest
from app.gateway_ws import messages, session_rows
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Choice, Flag, Ignored, Items, Text, not_here, params, whole
from app.gateway_ws.session_keys import agent_of, resolve
from app.gateway_ws.times import ms
from app.providers.stream import text_of
from app.sessions.listing import MAX_PAGE, SessionInfo, SessionPage
from app.sessions.transcript import Entry

# More than any database holds; SQLite's own numbers end at 2**63.
MOST = 2**53
LISTED = 100
# Sessions of one preview, and messages of each.
MAX_PREVIEWED, MAX_PREVIEW = 100, 50
PREVIEW, PREVIEW_CHARS = 12, 240
# Bytes that are read of each: who previews wants beginnings.
PREVIEW_BYTES = 256 * 1024
# Messages of sessions.get.
GOT, MAX_GOT = 200, 1000

_LIST = params(
    limit=whole(1, MOST),
    offset=whole(0, MOST),
    activeMinutes=whole(1, MOST),
    agentId=Text(),
    search=Text(minimum=0),
    label=Text(),
    includeDerivedTitles=Flag(),
    includeLastMessage=Flag(),
    configuredAgentsOnly=Flag(),
    archived=Choice(True, False, "all"),
    requireLastInteraction=not_here(False),
    boardFace=not_here("chat"),
    spawnedBy=not_here(),
    creatorId=not_here(),
    ownerId=not_here(),
    involvingMe=not_here(False),
    involvingProfileId=not_here(),
    sortBy=Ignored(),
    includeGlobal=Ignored(),
    includeUnknown=Ignored(),
    includePeople=Ignored(),
    ownerFirst=Ignored(),
)
_PREVIEW = params(keys=Items(Text(), MAX_PREVIEWED, required=True), limit=whole(1, MOST), maxChars=whole(20, MOST))
_DESCRIBE = params(key=Text(required=True), includeDerivedTitles=Flag(), includeLastMessage=Flag())
_RESOLVE = params(
    key=Text(),
    sessionId=Text(),
    label=Text(),
    agentId=Text(),
    allowMissing=Flag(),
    shortId=not_here(),
    spawnedBy=not_here(),
    slugHint=Ignored(),
    includeGlobal=Ignored(),
    includeUnknown=Ignored(),
)
_GET = params(key=Text(required=True), agentId=Text(), limit=whole(1, MOST), offset=whole(0, MOST))


def _list(call: Call) -> dict[str, Any]:
    given, services = call.params, call.plane.services
    settings = services.live.current
    agent = agent_of(settings, given["agentId"]) if "agentId" in given else None
    configured = list(settings.agents) if given.get("configuredAgentsOnly") else None
    now, limit, offset = time.time(), min(given.get("limit", LISTED), MAX_PAGE), given.get("offset", 0)
    if given.get("archived") is True:
        # Nothing is archived here.
        found = SessionPage([], 0)
    else:
        found = services.sessions.page(
            agent_ids=[agent.id] if agent else configured,
            owner=call.reach.owner,
            search=given.get("search"),
            label=given.get("label"),
            since=now - given["activeMinutes"] * 60 if "activeMinutes" in given else None,
            limit=limit,
            offset=offset,
            texts=_wants_texts(call),
        )
    active = session_rows.active_keys(services)
    following = offset + len(found.sessions)
    more = bool(found.sessions) and following < found.total
    return {
        "ts": ms(now),
        "path": session_rows.sessions_path(settings),
        "count": len(found.sessions),
        "totalCount": found.total,
        "limitApplied": limit,
        "offset": offset,
        "hasMore": more,
        "nextOffset": following if more else None,
        "defaults": session_rows.defaults(services, agent),
        "sessions": [session_rows.row(call, info, active) for info in found.sessions],
    }


def _preview(call: Call) -> dict[str, Any]:
    given = call.params
    limit, max_chars = min(given.get("limit", PREVIEW), MAX_PREVIEW), given.get("maxChars", PREVIEW_CHARS)
    previews = [_previewed(call, key, limit, min(max_chars, messages.MAX_CHARS)) for key in given["keys"]]
    return {"ts": ms(time.time()), "previews": previews}


def _previewed(call: Call, key: str, limit: int, max_chars: int) -> dict[str, Any]:
    services = call.plane.services
    try:
        _, full_key = resolve(services.live.current, call.reach, key, param="keys")
    except InvalidRequest:
        # One key that can't be a session's doesn't keep the others from being seen.
        return {"key": key, "status": "missing", "items": []}
    found = services.sessions.transcript(full_key, limit, most_bytes=PREVIEW_BYTES)
    items = [item for entry in found.entries if (item := _item(entry, max_chars))] if found else []
    status = "missing" if found is None else "ok" if items else "empty"
    return {"key": key, "status": status, "items": items}


def _item(entry: Entry, max_chars: int) -> dict[str, str] | None:
    text = text_of(entry.message).strip()
    if not text:
        called = ", ".join(call["function"]["name"] for call in entry.message.get("tool_calls") or ())
        text = f"call {called}" if called else ""
    text = text if len(text) <= max_chars else text[: max_chars - 1] + "…"
    return {"role": entry.message["role"], "text": text} if text else None


def _describe(call: Call) -> dict[str, Any]:
    services = call.plane.services
    _, key = resolve(services.live.current, call.reach, call.params["key"], param="key")
    info = services.sessions.info(key, texts=_wants_texts(call))
    return {"session": session_rows.row(call, info) if info else None}


def _resolve(call: Call) -> dict[str, Any]:
    given = call.params
    named = [name for name in ("key", "sessionId", "label") if name in given]
    if len(named) != 1:
        raise InvalidRequest("key: name one session, by key, sessionId or label", param="key")
    (name,) = named
    found = _matching(call, name)
    if len(found) == 1:
        (info,) = found
        return {"ok": True, **_candidate(info)}
    if given.get("allowMissing"):
        return {"ok": False, **({"candidates": [_candidate(info) for info in found]} if found else {})}
    if found:
        keys = ", ".join(info.key for info in found)
        raise InvalidRequest(f"{name}: several sessions match: {keys}; give the agentId too, or the key", param=name)
    raise InvalidRequest(f"{name}: no session found: {given[name][:100]}", param=name)


def _matching(call: Call, name: str) -> list[SessionInfo]:
    given, services = call.params, call.plane.services
    settings = services.live.current
    if name == "key":
        _, key = resolve(settings, call.reach, given["key"], given.get("agentId"), param="key")
        info = services.sessions.info(key)
        return [info] if info else []
    agent_id = agent_of(settings, given["agentId"]).id if "agentId" in given else None
    if name == "sessionId":
        found = list(services.sessions.find(session_id=given["sessionId"], agent_id=agent_id))
        for info in found:
            call.reach.check(info.key)
        return found
    return list(services.sessions.find(label=given["label"], agent_id=agent_id, owner=call.reach.owner))


def _candidate(info: SessionInfo) -> dict[str, str]:
    return {"key": info.key, "agentId": info.agent_id, **({"displayName": info.label} if info.label else {})}


def _get(call: Call) -> dict[str, Any]:
    given, services = call.params, call.plane.services
    _, key = resolve(services.live.current, call.reach, given["key"], given.get("agentId"), param="key")
    offset = given.get("offset", 0)
    found = services.sessions.transcript(key, min(given.get("limit", GOT), MAX_GOT), offset)
    if found is None:
        return {"key": key, "messages": [], "hasMore": False, "totalMessages": 0}
    page = messages.page(found.entries)
    more = found.more or page.stored < len(found.entries)
    return {
        "key": key,
        "sessionId": found.session_id,
        "messages": page.messages,
        "hasMore": more,
        **({"nextOffset": offset + page.stored} if more else {}),
        "totalMessages": found.total,
    }


def _wants_texts(call: Call) -> bool:
    return bool(call.params.get("includeDerivedTitles") or call.params.get("includeLastMessage"))


METHODS = (
    Method("sessions.list", READ, _LIST, _list),
    Method("sessions.preview", READ, _PREVIEW, _preview),
    Method("sessions.describe", READ, _DESCRIBE, _describe),
    Method("sessions.resolve", READ, _RESOLVE, _resolve),
    Method("sessions.get", READ, _GET, _get),
)
