"""``tools.catalog``, ``tools.effective``, ``tools.invoke``: which tools there are, for whom, and one at work."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import gevent
import orjson

from app.agents.invocation import Invocation
from app.agents.registry import may_be_chosen
from app.agents.tools.mcp.wire import cut
from app.agents.tools.policy import GROUPS, Policy, Refusal
from app.agents.tools.tool import Tool
from app.agents.tools.toolbox import Toolbox
from app.agents.turn import Turn
from app.auth import ADMIN, READ, WRITE
from app.config.settings import Agent, ModelChoice, Tools
from app.errors import GatewayError, InvalidRequest, Overloaded, StorageUnavailable
from app.gateway_ws.method import Call, Method
from app.gateway_ws.params import Flag, Ignored, Object, Text, params
from app.gateway_ws.session_keys import agent_of, resolve
from app.sessions import keys
from app.sessions.answers import Claim, KeptAnswer, KeyInUse, KeyReused

log = logging.getLogger("gateway.ws")

# Tools that one notice names, and characters of one that an MCP server has a say in.
MOST_NAMED = 50
MAX_NOTICE = 1000

# Those of the gateway's profiles that the published schema knows.
_PROFILES = {id: Policy(Tools(profile=id), Tools()) for id in ("minimal", "coding", "full")}
_LABELS = {"group:fs": "Files", "group:runtime": "Commands", "group:web": "Web", "group:sessions": "Sessions"}


def _catalog(call: Call) -> dict[str, Any]:
    """Every tool that there is, allowed or not."""
    services = call.plane.services
    settings, toolbox = services.live.current, services.toolbox
    agent = agent_of(settings, call.params.get("agentId", settings.default_agent))
    own: dict[str, list[Tool]] = {}
    of_servers: dict[str, list[Tool]] = {}
    for tool in toolbox.everything(agent):
        if (server := toolbox.server_of(tool)) is not None:
            of_servers.setdefault(server, []).append(tool)
        else:
            own.setdefault(_group_of(tool), []).append(tool)
    groups = [_group(name.removeprefix("group:"), _LABELS[name], tools) for name, tools in own.items()]
    if call.params.get("includePlugins", True):
        groups += [_group(f"mcp:{name}", name, tools, name) for name, tools in of_servers.items()]
    return {
        "agentId": agent.id,
        "profiles": [{"id": id, "label": id.capitalize()} for id in _PROFILES],
        "groups": groups,
    }


def _group_of(tool: Tool) -> str:
    return next(name for name in _LABELS if tool.name in GROUPS[name])


def _group(id: str, label: str, tools: Iterable[Tool], server: str | None = None) -> dict[str, Any]:
    """server: the MCP server whose tools they are, which the published schema takes for a plugin."""
    origin = {"source": "plugin", "pluginId": server} if server else {"source": "core"}
    return {
        "id": id,
        "label": label,
        **origin,
        "tools": [
            {
                "id": tool.name,
                "label": tool.name,
                "description": tool.description,
                **origin,
                "risk": _risk(tool),
                "defaultProfiles": [id for id, policy in _PROFILES.items() if policy.allows(tool.name, tool.full_name)],
            }
            for tool in tools
        ],
    }


def _effective(call: Call) -> dict[str, Any]:
    """What a run of this caller would be offered in the session, and why other tools are not."""
    services, asked = call.plane.services, call.params
    agent, key = resolve(services.live.current, call.reach, asked["sessionKey"], asked.get("agentId"))
    toolbox, turn = services.toolbox, _turn(call, agent, key)
    own, of_servers = [], []
    for tool in toolbox.offer(turn).tools.values():
        shown = {
            "id": tool.name,
            "label": tool.name,
            "description": tool.description,
            "rawDescription": tool.description,
            "risk": _risk(tool),
        }
        if (server := toolbox.server_of(tool)) is not None:
            name = tool.full_name.removeprefix(f"{server}__")
            of_servers.append({**shown, "source": "mcp", "mcpServer": server, "mcpToolName": name})
        else:
            own.append({**shown, "source": "core"})
    groups = [("core", "Tools of the gateway", own), ("mcp", "Tools of MCP servers", of_servers)]
    return {
        "agentId": agent.id,
        "profile": toolbox.profile(agent),
        "groups": [{"id": id, "label": label, "source": id, "tools": tools} for id, label, tools in groups if tools],
        "notices": _notices(toolbox, turn),
    }


def _notices(toolbox: Toolbox, turn: Turn) -> list[dict[str, Any]]:
    by_reason: dict[Refusal, list[str]] = {}
    for name, refusal in toolbox.withheld(turn).items():
        by_reason.setdefault(refusal, []).append(name)
    notices: list[dict[str, Any]] = [
        {"id": refusal.rule, "severity": "info", "message": f"{_named(names)}: {refusal.reason}"}
        for refusal, names in by_reason.items()
    ]
    if unready := toolbox.unready(turn.agent):
        # In a word: status says why.
        states = (f"{name} ({state.partition(':')[0]})" for name, state in unready.items())
        message = f"MCP servers that are not ready: {', '.join(states)}"
        notices.append({"id": "mcp", "severity": "warning", "message": message, "servers": list(unready)})
    for name, refused in toolbox.refused(turn.agent).items():
        message = cut(f"tools of MCP server {name} that can't be offered: {'; '.join(refused)}", MAX_NOTICE)
        notices.append({"id": f"mcp:{name}", "severity": "warning", "message": message, "servers": [name]})
    return notices


def _named(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _risk(tool: Tool) -> str:
    if tool.name == "exec":
        return "high"
    return "medium" if tool.changes else "low"


def _invoke(call: Call) -> dict[str, Any]:
    """Run one tool. What is done with an ``idempotencyKey`` is done once: sent again, it gets the same result."""
    services, asked = call.plane.services, call.params
    key = asked.get("sessionKey", keys.MAIN)
    agent, key = resolve(services.live.current, call.reach, key, asked.get("agentId"))
    name, arguments = asked["name"], asked.get("args", {})
    claim = _claim(call, [name, arguments, key])
    if isinstance(claim, KeptAnswer):
        kept: dict[str, Any] = orjson.loads(claim.body)
        return kept
    invocation = Invocation(services.runs, _turn(call, agent, key), name, arguments)
    # In a greenlet that outlives the connection, so that nothing is left half done and the key has its result.
    result = gevent.spawn(_result, services.toolbox, invocation, name, claim).get()
    if isinstance(result, GatewayError):
        raise result
    return result


def _claim(call: Call, request: list[Any]) -> Claim | KeptAnswer | None:
    """Raises InvalidRequest, Overloaded."""
    key = call.params.get("idempotencyKey")
    if key is None:
        return None
    caller = call.connection.caller
    try:
        return call.plane.services.sessions.answers.claim(
            _digest([caller.mode, caller.identity, "tools.invoke", key]), _digest(request)
        )
    except KeyReused:
        raise InvalidRequest(
            "idempotencyKey: was used for another call; take a new one", param="idempotencyKey"
        ) from None
    except KeyInUse:
        raise Overloaded("the call with this idempotencyKey is at work", retry_after=1) from None


def _result(toolbox: Toolbox, invocation: Invocation, name: str, claim: Claim | None) -> dict[str, Any] | GatewayError:
    """``ToolsInvokeResult`` of the published schema, or why nothing was done."""
    try:
        outcome = invocation.invoke()
        result: dict[str, Any] = {"ok": outcome.fault is None, "toolName": name}
        if invocation.tool is not None:
            result["source"] = "mcp" if toolbox.server_of(invocation.tool) else "core"
        if outcome.fault is None:
            result["output"] = outcome.text
        else:
            result["error"] = {"code": outcome.fault, "message": outcome.text}
        if claim is not None and invocation.begun:
            try:
                claim.keep(KeptAnswer({}, orjson.dumps(result)))
            except StorageUnavailable as fault:
                # It is done: who is told otherwise would ask for it again.
                log.warning("the result of %s is not kept for its idempotencyKey: %s", name, fault.message)
        return result
    except GatewayError as error:
        return error
    finally:
        if claim is not None:
            claim.free()


def _turn(call: Call, agent: Agent, key: str) -> Turn:
    """As a run of this caller in the session would have, with the model that was chosen for it."""
    services = call.plane.services
    session = services.sessions.info(key)
    chosen = session.model if session is not None else None
    return Turn(
        model=ModelChoice(chosen) if chosen and may_be_chosen(chosen, agent, services.catalogue) else None,
        agent=agent,
        session_key=key,
        stateless=False,
        messages=(),
        admin=ADMIN in call.connection.scopes,
        identity=call.connection.caller.person,
        channel=call.connection.client["id"],
    )


def _digest(value: Any) -> str:
    return sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


METHODS = (
    Method("tools.catalog", READ, params(agentId=Text(), includePlugins=Flag()), _catalog),
    # May wait for MCP servers that are starting.
    Method("tools.effective", READ, params(sessionKey=Text(required=True), agentId=Text()), _effective, waits=True),
    Method(
        "tools.invoke",
        WRITE,
        params(
            name=Text(required=True),
            args=Object(),
            sessionKey=Text(),
            agentId=Text(),
            idempotencyKey=Text(),
            confirm=Ignored(),
            conversationReadOrigin=Ignored(),
        ),
        _invoke,
        waits=True,
    ),
)
