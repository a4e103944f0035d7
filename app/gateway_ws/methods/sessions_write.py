"""What is done to sessions: ``sessions.create``, ``.patch``, ``.reset``, ``.delete``, ``.compact``."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import gevent

from app.agents.compaction_run import CompactionRun
from app.auth import ADMIN, WRITE
from app.config.settings import Agent
from app.errors import InvalidRequest, Overloaded, RunCancelled
from app.gateway_ws.method import Call, Method
from app.gateway_ws.model_choice import model_named
from app.gateway_ws.params import Ignored, Text, not_here, params, whole
from app.gateway_ws.session_keys import resolve
from app.gateway_ws.session_rows import row, sessions_path
from app.ids import new_uuid
from app.services import Services
from app.sessions import keys
from app.sessions.edits import check_id

# Seconds that the runs of a session have to end before it is reset, deleted or compacted, and between two looks.
TO_END, LOOK_EVERY = 10.0, 0.02


class Clearable(Text):
    """Text, or null to remove what is there, which is the empty string here."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        return "" if value is None else super().deserialize(value, attr, data, **kwargs)


_CREATE = params(
    key=Text(),
    agentId=Text(),
    idempotencyKey=Text(),
    label=Text(),
    displayName=Text(),
    model=Text(),
    message=not_here(""),
    task=not_here(""),
    attachments=not_here([]),
    category=not_here(),
    contextWindow=not_here(),
    thinkingLevel=not_here(),
    fastMode=not_here(False, "auto"),
    permissionMode=not_here(),
    toolOverrides=not_here({}),
    incognito=not_here(False),
    visibility=not_here("shared"),
    catalogId=not_here(),
    parentSessionKey=not_here(),
    spawnDepth=not_here(),
    fork=not_here(False),
    forkFrom=not_here(),
    succeedsParent=not_here(False),
    projectId=not_here(),
    projectGitUrl=not_here(),
    worktree=not_here(False),
    worktreeBaseRef=not_here(),
    worktreeName=not_here(),
    execNode=not_here(),
    cwd=not_here(),
    emitCommandHooks=Ignored(),
)
_PATCH = params(
    key=Text(required=True),
    agentId=Text(),
    expectedSessionId=Text(),
    label=Clearable(),
    model=Clearable(),
    **{
        name: not_here()
        for name in (
            "expectedLifecycleRevision",
            "expectedPermissionMode",
            "expectedToolOverrides",
            "expectedMarkedUnreadAt",
            "category",
            "attention",
            "ttlMinutes",
            "contextWindow",
            "thinkingLevel",
            "toolOverrides",
            "verboseLevel",
            "traceLevel",
            "reasoningLevel",
            "elevatedLevel",
            "execHost",
            "execSecurity",
            "execAsk",
            "execNode",
            "permissionMode",
            "completionOwnerSessionKey",
            "inheritedToolPolicyVersion",
            "inheritedToolAllow",
            "inheritedToolDeny",
            "groupActivation",
        )
    },
    icon=not_here(""),
    color=not_here(""),
    statusNote=not_here(""),
    boardFace=not_here("chat"),
    archived=not_here(False),
    pinned=not_here(False),
    unread=not_here(False),
    fastMode=not_here(False, "auto"),
    responseUsage=not_here("off"),
    sendPolicy=not_here("allow"),
)
_RESET = params(key=Text(required=True), agentId=Text(), reason=Ignored())
_DELETE = params(
    key=Text(required=True),
    agentId=Text(),
    expectedSessionId=Text(),
    deleteTranscript=not_here(True),
    archivedOnly=not_here(False),
    expectedLifecycleRevision=not_here(),
    expectedSessionUpdatedAt=not_here(),
    emitLifecycleHooks=Ignored(),
)
_COMPACT = params(key=Text(required=True), agentId=Text(), maxLines=whole(1, 2**53))


def _create(call: Call) -> dict[str, Any]:
    given, services = call.params, call.plane.services
    settings = services.live.current
    if "key" in given:
        agent, key = resolve(settings, call.reach, given["key"], given.get("agentId"), param="key", writable=True)
    else:
        name = f"dashboard:{_new_name(given.get('idempotencyKey'))}"
        agent, key = resolve(settings, call.reach, name, given.get("agentId"))
    model = _model(call, agent)
    info, _ = services.sessions.create(key, agent.id, given.get("label") or given.get("displayName"), model)
    return {"ok": True, "key": key, "sessionId": info.session_id, "entry": row(call, info), "runStarted": False}


def _new_name(idempotency_key: str | None) -> str:
    """The same for the same request, so that sent again it finds the session that it made."""
    if idempotency_key is None:
        return new_uuid()
    return hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]


def _patch(call: Call) -> dict[str, Any]:
    given, services = call.params, call.plane.services
    agent, key = _named(call, writable=True)
    values: dict[str, str | None] = {}
    if "label" in given:
        values["label"] = given["label"] or None
    if "model" in given:
        values["model"] = _model(call, agent)
    info = services.sessions.patch(key, agent.id, values, session_id=given.get("expectedSessionId"))
    entry = row(call, info)
    resolved = {"modelProvider": entry.get("modelProvider"), "model": entry.get("model")}
    return {"ok": True, "path": sessions_path(services.live.current), "key": key, "entry": entry, "resolved": resolved}


def _reset(call: Call) -> dict[str, Any]:
    services = call.plane.services
    agent, key = _named(call)
    _end_runs(services, key, "the session was reset")
    services.sessions.reset(key, agent.id)
    info = services.sessions.info(key)
    return {"ok": True, "key": key, "entry": row(call, info) if info else {}}


def _delete(call: Call) -> dict[str, Any]:
    services = call.plane.services
    agent, key = _named(call)
    if key in (keys.main(agent.id), keys.main(agent.id, call.reach.identity)):
        raise InvalidRequest(f"key: the main session {key!r} can't be deleted; sessions.reset empties it", param="key")
    expected = call.params.get("expectedSessionId")
    if expected is not None:
        # Asked again when it is deleted; runs of another session must not be ended in vain.
        check_id(services.sessions.info(key), expected)
    _end_runs(services, key, "the session was deleted")
    deleted = services.sessions.delete(key, session_id=expected)
    return {"ok": True, "key": key, "deleted": deleted, "archived": []}


def _compact(call: Call) -> dict[str, Any]:
    services = call.plane.services
    agent, key = _named(call)
    if services.sessions.info(key) is None:
        return {"ok": True, "key": key, "compacted": False, "reason": "no session"}
    _end_runs(services, key, "the session is compacted")
    if (kept := call.params.get("maxLines")) is not None:
        compacted = services.sessions.keep_latest(key, kept)
    else:
        run = CompactionRun(services.runs, agent, key)
        if (error := run.work().error) is not None:
            raise error.again()
        compacted = run.compacted
    return {"ok": True, "key": key, "compacted": compacted, **({} if compacted else {"reason": "nothing to compact"})}


def _named(call: Call, *, writable: bool = False) -> tuple[Agent, str]:
    settings, given = call.plane.services.live.current, call.params
    return resolve(settings, call.reach, given["key"], given.get("agentId"), param="key", writable=writable)


def _model(call: Call, agent: Agent) -> str | None:
    """The ``provider/model`` that the session is to ask, None for the agent's. Raises Forbidden, InvalidRequest."""
    wanted = call.params.get("model")
    return model_named(call, agent, wanted).primary if wanted else None


def _end_runs(services: Services, key: str, why: str) -> None:
    """End the session's runs; when this returns they are stored and none is at work. Raises Overloaded."""
    deadline = time.monotonic() + TO_END
    # Those that come meanwhile are ended, too: nobody may answer from a history that is about to go.
    while active := services.runs.of_session(key):
        for run in active:
            run.cancel(RunCancelled(why))
        if time.monotonic() > deadline:
            raise Overloaded(f"a run of the session did not end within {TO_END:g} s", retry_after=5)
        gevent.sleep(LOOK_EVERY)


METHODS = (
    Method("sessions.create", WRITE, _CREATE, _create),
    Method("sessions.patch", WRITE, _PATCH, _patch),
    Method("sessions.reset", ADMIN, _RESET, _reset, waits=True),
    Method("sessions.delete", ADMIN, _DELETE, _delete, waits=True),
    Method("sessions.compact", ADMIN, _COMPACT, _compact, waits=True),
)
