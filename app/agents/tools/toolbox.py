"""The tools that one run is offered: those that exist, as far as the agent's policy allows them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from app.agents.tools.confinement import Confinement
from app.agents.tools.exec import ExecRules, exec_tool
from app.agents.tools.files import file_tools
from app.agents.tools.mcp.servers import McpServers
from app.agents.tools.policy import Policy, Refusal
from app.agents.tools.policy_names import name_warnings
from app.agents.tools.search import search_tools
from app.agents.tools.sessions import own_session_tools, session_tools
from app.agents.tools.tool import Tool
from app.agents.tools.web import web_tools
from app.agents.tools.workspace import Workspace
from app.agents.turn import Turn
from app.children import Bounds
from app.concurrency.slices import taking_turns
from app.config.settings import Agent, Settings

log = logging.getLogger("gateway.tools")

# Seconds that MCP servers have to start before runs go on without them.
MCP_PATIENCE = 10.0

# What is offered is remembered by agent; where it depends on models and callers, so often.
MOST_OFFERS = 1000

OUTSIDE_SESSIONS = Refusal("session", "for runs in a session")
FOR_ADMINS = Refusal("admin", "for callers with operator.admin")


class Offer(NamedTuple):
    """tools: by name. wire: the same as the model is told, in OpenAI's shape. label: the policy, for the log."""

    tools: Mapping[str, Tool]
    wire: tuple[Mapping[str, Any], ...]
    label: str


class Toolbox:
    """All tools of one configuration. A reload makes a new one from the old, whose unchanged MCP servers go on."""

    def __init__(self, settings: Settings, previous: Toolbox | None = None) -> None:
        self._settings = settings
        # The previous one may be at work meanwhile.
        agents = taking_turns(settings.agents.values())
        self._policies = {agent.id: Policy(settings.tools, agent.tools) for agent in agents}
        for warning in taking_turns(name_warnings(settings)):
            log.warning("%s", warning)
        for id, policy in self._policies.items():
            if policy.exec.safe_bins and policy.exec.security == "full" and policy.allows("exec"):
                log.warning('agent %s: safeBins has no effect without tools.exec.security: "allowlist"', id)
        running: McpServers | None = previous._mcp if previous else None
        self._mcp: McpServers = McpServers(settings.mcp_servers, settings.state_dir, running)
        self._built_in: dict[str, list[Tool]] = {}
        self._offers: dict[tuple[Any, ...], tuple[tuple[Tool, ...], Offer]] = {}
        # time.monotonic() until which runs wait for MCP servers that are starting.
        self._patience_ends = 0.0

    def start(self) -> None:
        """Begin the MCP servers, if an agent may use them. Returns at once."""
        if not self._patience_ends and any(policy.may_allow_mcp for policy in self._policies.values()):
            self._patience_ends = time.monotonic() + MCP_PATIENCE
            self._mcp.start()

    def offer(self, turn: Turn) -> Offer:
        """What a run of this turn may use. Waits, for a while, for MCP servers that are starting."""
        agent, policy = self._for(turn)
        external: tuple[Tool, ...] = ()
        if self._settings.mcp_servers and policy.may_allow_mcp:
            self.start()
            self._mcp.wait_ready(max(self._patience_ends - time.monotonic(), 0))
            external = tuple(self._mcp.tools())
        key = (agent.id, turn.stateless, turn.admin, *((turn.model, turn.identity) if policy.is_special else ()))
        known = self._offers.get(key)
        if known is None or known[0] != external:
            tools = {
                tool.name: tool
                for tool in (*self._tools(agent, turn, policy), *external)
                if policy.allows(tool.name, tool.full_name)
            }
            offer = Offer(tools, tuple(map(_on_the_wire, tools.values())), _label(policy, tools))
            if len(self._offers) >= MOST_OFFERS:
                self._offers.clear()
            known = self._offers[key] = external, offer
        return known[1]

    def profile(self, agent: Agent) -> str:
        """The name of the profile that the agent's tools begin with."""
        return self._in_force(agent)[1].profile

    def everything(self, agent: Agent) -> list[Tool]:
        """Every tool that there is for the agent's runs, allowed or not; of MCP servers those known by now."""
        agent, policy = self._in_force(agent)
        return [*self._own(agent, policy), *own_session_tools(), *session_tools(), *self._mcp.tools()]

    def withheld(self, turn: Turn) -> dict[str, Refusal]:
        """The tools that there are but not for a run of this turn, by name, and why."""
        _, policy = self._for(turn)
        beyond: dict[str, Refusal] = {}
        if turn.stateless:
            beyond |= dict.fromkeys((tool.name for tool in own_session_tools()), OUTSIDE_SESSIONS)
        if not turn.admin:
            beyond |= dict.fromkeys((tool.name for tool in session_tools()), FOR_ADMINS)
        return {
            tool.name: refusal
            for tool in self.everything(turn.agent)
            if (refusal := policy.refusal(tool.name, tool.full_name) or beyond.get(tool.name))
        }

    def unready(self, agent: Agent) -> dict[str, str]:
        """The states of those MCP servers of which the agent may use tools, and which are not ready."""
        if not self._in_force(agent)[1].may_allow_mcp:
            return {}
        return {name: state for name, state in self.states().items() if state != "ready"}

    def refused(self, agent: Agent | None = None) -> dict[str, tuple[str, ...]]:
        """By MCP server, its tools that can't be offered, and why. agent: of servers of which it may use tools."""
        return self._mcp.refused() if agent is None or self._in_force(agent)[1].may_allow_mcp else {}

    def server_of(self, tool: Tool) -> str | None:
        """The MCP server that the tool is of."""
        # A server's name may hold two underscores itself.
        servers = (name for name in self._settings.mcp_servers if tool.full_name.startswith(f"{name}__"))
        return max(servers, key=len, default=None)

    def states(self) -> dict[str, str]:
        """MCP servers by name: ``ready``, ``starting``, ``failed: `` and the reason."""
        return self._mcp.states()

    def close(self) -> None:
        self._mcp.close()

    def _in_force(self, agent: Agent) -> tuple[Agent, Policy]:
        """A reload may have changed or removed the agent since the request came."""
        agent = self._settings.agents.get(agent.id, agent)
        return agent, self._policies.get(agent.id) or Policy(self._settings.tools, agent.tools)

    def _for(self, turn: Turn) -> tuple[Agent, Policy]:
        """The same for the models that may answer a turn, and its caller."""
        agent, policy = self._in_force(turn.agent)
        if policy.is_special:
            policy = Policy(self._settings.tools, agent.tools, turn.model or agent.model, turn.identity)
        return agent, policy

    def _tools(self, agent: Agent, turn: Turn, policy: Policy) -> Iterator[Tool]:
        yield from self._own(agent, policy)
        if not turn.stateless:
            yield from own_session_tools()
        if turn.admin:
            yield from session_tools()

    def _own(self, agent: Agent, policy: Policy) -> list[Tool]:
        if agent.id not in self._built_in:
            self._built_in[agent.id] = self._build(agent, policy)
        return self._built_in[agent.id]

    def _build(self, agent: Agent, policy: Policy) -> list[Tool]:
        workspace = Workspace(agent.workspace, agent.private)
        rules = policy.exec
        command = ExecRules(
            security=rules.security or "allowlist",
            safe_bins=rules.safe_bins or (),
            timeout_seconds=rules.timeout_seconds,
            confinement=Confinement.of(self._settings),
            network=rules.network,
            bounds=Bounds(rules.max_memory_bytes, rules.max_processes),
        )
        return [
            *file_tools(workspace),
            *search_tools(workspace),
            exec_tool(agent.workspace, command),
            *web_tools(),
        ]


def _label(policy: Policy, tools: Mapping[str, Tool]) -> str:
    """Such as ``coding:read,ls,exec(full)``; a run without tools has the profile alone."""
    names = (f"{name}({policy.exec.security})" if name == "exec" else name for name in tools)
    return f"{policy.profile}:{','.join(names)}".rstrip(":")


def _on_the_wire(tool: Tool) -> Mapping[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
