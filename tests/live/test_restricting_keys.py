"""Every key that forbids commands, at every place where it may stand: no command runs, whoever asks and however.

The model calls for a command that would leave a file behind; after the run there must be none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli import main
from tests.gateway_ws.client import Refused, connected
from tests.live.gateway import ROOT, Config, Gateway, config_for, merged, wait_until
from tests.scripted import Reply, ScriptedProvider, ToolCall
from tests.scripted.exchange import Received

TOUCH = "touch marker"
PYTHON = "python3 -c \"open('marker', 'w')\""
APPLIED = "configuration applied"


def only(program: str, **more: Any) -> Config:
    """Tools of an agent that may run one program."""
    return {"exec": {"security": "allowlist", "safeBins": [program], **more}}


# Sections ``tools`` that forbid TOUCH, by their place in the list of what there is.
TOOLS: dict[str, Config] = {
    "mode deny": {"exec": {"mode": "deny"}},
    "mode allowlist": {"exec": {"mode": "allowlist"}},
    "mode ask": {"exec": {"mode": "ask"}},
    "mode auto": {"exec": {"mode": "auto"}},
    "mode deny beside security full": {"exec": {"mode": "deny", "security": "full", "ask": "off"}},
    "ask on-miss": {"exec": {"ask": "on-miss", "safeBins": ["cat"]}},
    "ask always": {"exec": {"security": "full", "ask": "always"}},
    "ask always of what is safe": only("touch", ask="always"),
    "host sandbox": {"exec": {"host": "sandbox"}},
    "host node": {"exec": {"host": "node", "security": "full"}},
    "strictInlineEval": {"exec": {"strictInlineEval": True}},
    "safeBinProfiles": only("touch", safeBinProfiles={"touch": {"maxPositional": 1}}),
    "safeBinProfiles in capitals": only("touch", safeBinProfiles={" Touch ": {"maxPositional": 1}}),
    "security deny": {"exec": {"security": "deny"}},
    "security allowlist": only("cat"),
    "deny exec": {"deny": ["exec"]},
    "deny bash": {"deny": ["bash"]},
    "deny in capitals": {"deny": ["Exec"]},
    "deny with space around": {"deny": [" exec "]},
    "deny a pattern": {"deny": ["ex*"]},
    "deny group:runtime": {"deny": ["group:runtime"]},
    "deny all": {"deny": ["*"]},
    "deny all groups": {"deny": ["group:*"]},
    "deny beside allow": {"allow": ["*"], "alsoAllow": ["exec"], "deny": ["exec"]},
    "allow others": {"allow": ["read", "group:web"]},
    "byProvider deny": {"byProvider": {"scripted": {"deny": ["exec"]}}},
    "byProvider deny of a model": {"byProvider": {"Scripted/M": {"deny": ["bash"]}}},
    "byProvider with space around": {"byProvider": {" scripted ": {"deny": ["exec"]}}},
    "byProvider deny of a model without its provider": {"byProvider": {" M ": {"deny": ["exec"]}}},
    "byProvider minimal": {"byProvider": {"scripted": {"profile": "minimal"}}},
    "byProvider allow": {"byProvider": {"scripted": {"allow": ["read"]}}},
    "byProvider of a fallback": {"byProvider": {"second": {"deny": ["exec"]}}},
    "toolsBySender deny": {"toolsBySender": {"*": {"deny": ["exec"]}}},
    "toolsBySender allow": {"toolsBySender": {"*": {"allow": ["read"]}}},
    "toolsBySender of somebody": {"toolsBySender": {"id:ann": {"deny": ["*"]}}},
}
INLINE = "strictInlineEval of an interpreter"
# The same with a command of its own.
COMMANDS: Mapping[str, str] = {INLINE: PYTHON}
TOOLS[INLINE] = only("python3", strictInlineEval=True)

# Other sections of an agent that do.
SECTIONS: dict[str, Config] = {
    "sandbox all": {"sandbox": {"mode": "all"}},
    "sandbox all with the workspace": {"sandbox": {"mode": "all", "workspaceAccess": "rw"}},
    "sandbox non-main": {"sandbox": {"mode": "non-main", "workspaceAccess": "rw"}},
}
# What agents have whose commands run: each is one of those above without what forbids.
FREE: dict[str, tuple[Config, str]] = {
    "nothing": ({}, TOUCH),
    "a safe program": (only("touch"), TOUCH),
    "a safe interpreter": (only("python3"), PYTHON),
    "another provider's": ({"byProvider": {"third": {"deny": ["exec"]}}}, TOUCH),
}


def base(provider_url: str, folder: Path, changes: Config) -> Config:
    """The usual configuration with the profile coding, and every agent at work in ``folder``."""
    provider = {"baseUrl": provider_url, "apiKey": "k", "models": [{"id": "m"}]}
    config = config_for(
        provider_url,
        tools={"profile": "coding"},
        models={"providers": {"second": provider, "third": provider}},
        agents={"defaults": {"model": {"primary": "scripted/m", "fallbacks": ["second/m"]}, "workspace": str(folder)}},
    )
    del config["agents"]["list"]
    return merged(config, changes)


class Scene:
    """A gateway, the folder in which its agents work, and every way to let one of them run a command."""

    def __init__(self, gateway: Gateway, provider: ScriptedProvider, folder: Path) -> None:
        self.gateway = gateway
        self._provider = provider
        self._marker = folder / "marker"

    def ways(self) -> dict[str, Callable[[str], None]]:
        return {"HTTP": self._http, "WebSocket": self._socket, "CLI": self._cli}

    def runs(self, command: str, agent: str = "main") -> dict[str, bool]:
        """Whether the command ran, by the way in which the agent was asked."""
        asked = {way: self._ran(command, ask, agent) for way, ask in self.ways().items()}
        return {**asked, "tools.invoke": self._invoked(command, agent)}

    def chosen(self, command: str, agent: str, model: str) -> dict[str, bool]:
        """The same where the caller chooses the model."""

        def by_header(agent: str) -> None:
            answer = self.gateway.chat(model=f"openclaw/{agent}", headers={"x-openclaw-model": model})
            assert answer.status == 200, answer.body

        def for_session(agent: str) -> None:
            with connected(self.gateway) as client:
                client.call("sessions.patch", {"key": f"agent:{agent}:keys", "model": model})
                self._socket(agent)
                client.call("sessions.patch", {"key": f"agent:{agent}:keys", "model": None})

        ways = {"HTTP": by_header, "WebSocket": for_session}
        ran = {way: self._ran(command, ask, agent) for way, ask in ways.items()}
        with connected(self.gateway) as client:
            client.call("sessions.patch", {"key": f"agent:{agent}:keys", "model": model})
            ran["tools.invoke"] = self._invoked(command, agent, f"agent:{agent}:keys")
            client.call("sessions.patch", {"key": f"agent:{agent}:keys", "model": None})
        return ran

    def local(self, command: str) -> bool:
        """Whether it runs in a turn of a process without a gateway."""
        return self._ran(command, self._here, "main")

    def _ran(self, command: str, ask: Callable[[str], None], agent: str) -> bool:
        call = ToolCall("c1", "exec", json.dumps({"command": command}))

        def choose(received: Received) -> Reply | None:
            answered = received.body["messages"][-1]["role"] == "tool"
            return None if answered else Reply(tool_calls=(call,), finish="tool_calls")

        self._marker.unlink(missing_ok=True)
        self._provider.reset()
        self._provider.on(choose)
        ask(agent)
        # The call was made and answered, or nothing would be shown.
        *_, last = self._provider.requests
        assert last.body["messages"][-1]["role"] == "tool"
        return self._marker.exists()

    def _invoked(self, command: str, agent: str, session: str | None = None) -> bool:
        """Without a model: a client calls for the tool itself."""
        where = {"agentId": agent} if session is None else {"sessionKey": session}
        self._marker.unlink(missing_ok=True)
        with connected(self.gateway) as client, suppress(Refused):
            client.call("tools.invoke", {"name": "exec", "args": {"command": command}, **where})
        return self._marker.exists()

    def _http(self, agent: str) -> None:
        answer = self.gateway.chat(model=f"openclaw/{agent}")
        assert answer.status == 200, answer.body

    def _socket(self, agent: str) -> None:
        with connected(self.gateway) as client:
            params = {"sessionKey": f"agent:{agent}:keys", "message": "go", "idempotencyKey": os.urandom(8).hex()}
            begun = client.call("chat.send", params)
            client.event("chat", state="final", runId=begun["runId"])

    def _cli(self, agent: str) -> None:
        arguments = ["agent", "--message", "go", "--agent", agent, "--url", self.gateway.url]
        result = CliRunner().invoke(main, arguments, env={"OPENCLAW_STATE_DIR": str(self.gateway.state_dir)})
        assert result.exit_code == 0, result.output

    def _here(self, agent: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}
        done = subprocess.run(
            [sys.executable, "-m", "app", "agent", "--message", "go", "--agent", agent, "--local"],
            cwd=ROOT,
            env={**clean, "OPENCLAW_STATE_DIR": str(self.gateway.state_dir)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr


EVERY_WAY = ("HTTP", "WebSocket", "CLI", "tools.invoke")
NEVER = dict.fromkeys(EVERY_WAY, False)
ALWAYS = dict.fromkeys(EVERY_WAY, True)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own gateway in the environment of commands."""
    for name in list(os.environ):
        if name.startswith("OPENCLAW_"):
            monkeypatch.delenv(name)


# Keys of an agent: one gateway for those in a list, one for those in entries.


def of_agents() -> dict[str, Config]:
    """An agent for each row, by what it is about."""
    sections = {name: {"tools": tools} for name, tools in TOOLS.items()} | SECTIONS
    return sections | {f"free: {name}": {"tools": tools} for name, (tools, _) in FREE.items()}


def id_of(name: str) -> str:
    return "".join(sign if sign.isalnum() else "-" for sign in name.lower())


@pytest.fixture(scope="module", params=["list", "entries"])
def _many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider
) -> Iterator[Scene]:
    top = tmp_path_factory.mktemp("agents")
    folder = top / "work"
    entries = {id_of(name): {**agent, "workspace": str(folder)} for name, agent in of_agents().items()}
    listed = [{"id": id, **agent} for id, agent in entries.items()]
    agents: Config = {"entries": entries} if request.param == "entries" else {"list": listed}
    gateway = Gateway(top / "state", base(_shared_provider.base_url, folder, {"agents": agents}))
    try:
        yield Scene(gateway.wait_until_up(), _shared_provider, folder)
    finally:
        gateway.kill()


@pytest.fixture
def many(_many: Scene, provider: ScriptedProvider) -> Scene:
    """A gateway with an agent for each row."""
    return _many


@pytest.mark.parametrize("name", [*TOOLS, *SECTIONS])
def test_a_key_of_an_agent_is_held(many: Scene, name: str) -> None:
    """The agent's command does not run, in none of the ways to ask it."""
    assert many.runs(COMMANDS.get(name, TOUCH), id_of(name)) == NEVER


@pytest.mark.parametrize("name", FREE)
def test_without_such_a_key_an_agents_command_runs(many: Scene, name: str) -> None:
    """The same command does run where nothing forbids it, in every way, so that the others could fail."""
    assert many.runs(FREE[name][1], id_of(f"free: {name}")) == ALWAYS


def test_a_policy_of_a_model_is_held_where_a_caller_chooses_it(many: Scene) -> None:
    """Over HTTP by the header, over the WebSocket for a session: the agent whose own model has commands has none."""
    ways = ("HTTP", "WebSocket", "tools.invoke")
    assert many.chosen(TOUCH, id_of("free: another provider's"), "third/m") == dict.fromkeys(ways, False)
    assert many.chosen(TOUCH, id_of("free: nothing"), "third/m") == dict.fromkeys(ways, True)


def test_no_key_of_an_agent_is_ignored(many: Scene) -> None:
    """The gateway tells of none that it has no use for it."""
    assert "ignored" not in many.gateway.log


# Keys of the gateway, and of all agents: a few gateways, whose files have one after another.


def by_default(section: Config) -> Config:
    return {"agents": {"defaults": section}}


def with_agent(gateway: Config, agent: Config) -> Config:
    """Keys of the gateway, and an agent that says something else."""
    return {"tools": gateway, "agents": {"list": [{"id": "main", "tools": agent}]}}


FULL: Config = {"profile": "full", "allow": ["*"], "alsoAllow": ["exec"], "exec": {"mode": "full", "security": "full"}}
FILES: dict[str, Config] = {
    **{name: {"tools": tools} for name, tools in TOOLS.items()},
    **{name: by_default(section) for name, section in SECTIONS.items()},
    "defaults deny": by_default({"tools": {"deny": ["exec"]}}),
    "defaults mode deny and a free agent": merged(
        by_default({"tools": {"exec": {"mode": "deny"}}}), with_agent({}, FULL)
    ),
    "defaults allow and a free agent": merged(by_default({"tools": {"allow": ["read"]}}), with_agent({}, FULL)),
    "defaults mode deny": by_default({"tools": {"exec": {"mode": "deny"}}}),
    "mode deny and a free agent": with_agent({"exec": {"mode": "deny"}}, FULL),
    "ask always and a free agent": with_agent({"exec": {"ask": "always"}}, merged(FULL, {"exec": {"ask": "off"}})),
    "deny and a free agent": with_agent({"deny": ["exec"]}, FULL),
    "toolsBySender and a free agent": with_agent({"toolsBySender": {"*": {"deny": ["exec"]}}}, FULL),
    "strictInlineEval and a free agent": with_agent({"exec": {"strictInlineEval": True}}, FULL),
    "agent.tools.deny": {"agent": {"tools": {"deny": ["exec"]}}},
    "agent.tools.deny beside tools.deny": {"agent": {"tools": {"deny": ["exec"]}}, "tools": {"deny": ["write"]}},
    "tools.bash": {"tools": {"bash": {"security": "deny"}}},
    "tools.bash beside tools.exec": {"tools": {"bash": {"ask": "always"}, "exec": {"security": "full"}}},
    "agent.bash": {"agent": {"bash": {"mode": "deny"}}},
    "agent.sandbox": {"agent": {"sandbox": {"mode": "all", "workspaceAccess": "rw", "tools": {"deny": ["exec"]}}}},
    "routing.agents": {"routing": {"agents": {"main": {"tools": {"deny": ["exec"]}}}}},
    "routing.agents sandbox": {"routing": {"agents": {"main": {"sandbox": {"mode": "all"}}}}},
    "included": {"$include": "./part.json5"},
    "included tools": {"tools": {"$include": ["./tools.json5", "./more.json5"]}},
    "included agent": {"agents": {"list": [{"$include": "./agent.json5"}]}},
}
PARTS: dict[str, str] = {
    "part.json5": "{tools: {exec: {mode: 'deny'}}}",
    "tools.json5": "{profile: 'coding', deny: ['write']}",
    "more.json5": "{deny: ['exec']}",
    "agent.json5": "{id: 'main', tools: {exec: {ask: 'always'}}}",
}
# Without a gateway too, each held by another part of the program than the others.
LOCALLY = ("mode deny", "byProvider minimal", "toolsBySender deny", "sandbox all", "included", "free: nothing")
ALL_FILES = FILES | {f"free: {name}": {"tools": tools} for name, (tools, _) in FREE.items()}
ORDER = [*ALL_FILES]
GATEWAYS = 5


class Files:
    """A few gateways in turn: while one is asked, the others already read the files of the tests that come next."""

    def __init__(self, gateways: list[Gateway], provider: ScriptedProvider, folder: Path) -> None:
        self._gateways = gateways
        self._provider = provider
        self._folder = folder
        self._written = [""] * len(gateways)
        self._applied = [0] * len(gateways)

    def in_force(self, name: str) -> Scene:
        """The gateway that has this file."""
        index = ORDER.index(name)
        for each in ORDER[index : index + len(self._gateways)]:
            self._write(each)
        turn = index % len(self._gateways)
        self._wait(turn)
        return Scene(self._gateways[turn], self._provider, self._folder)

    def _write(self, name: str) -> None:
        turn = ORDER.index(name) % len(self._gateways)
        if self._written[turn] == name:
            return
        self._wait(turn)
        # The prompt has every file differ from the last, and shows which is in force.
        prompt = by_default({"systemPrompt": f"File {name}."})
        self._applied[turn] = self._gateways[turn].log.count(APPLIED) + 1
        self._written[turn] = name
        config = base(self._provider.base_url, self._folder, ALL_FILES[name])
        self._gateways[turn].write_config(merged(config, prompt))

    def _wait(self, turn: int) -> None:
        gateway = self._gateways[turn]
        wait_until(lambda: gateway.log.count(APPLIED) >= self._applied[turn], f"the file is read:\n{gateway.log}")


@pytest.fixture(scope="module")
def _files(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Files]:
    top = tmp_path_factory.mktemp("files")
    folder = top / "work"
    config = base(_shared_provider.base_url, folder, {})
    gateways = [Gateway(top / f"state-{number}", config) for number in range(GATEWAYS)]
    try:
        for gateway in gateways:
            for name, text in PARTS.items():
                (gateway.state_dir / name).touch(mode=0o600)
                (gateway.state_dir / name).write_text(text)
            gateway.wait_until_up()
        yield Files(gateways, _shared_provider, folder)
    finally:
        for gateway in gateways:
            gateway.kill()


@pytest.fixture
def files(_files: Files, provider: ScriptedProvider) -> Files:
    """Puts the files of the table in force."""
    return _files


@pytest.mark.parametrize("name", FILES)
def test_a_key_of_the_file_is_held(files: Files, provider: ScriptedProvider, name: str) -> None:
    """No command runs, in none of the ways to ask, and the key is not among those that are ignored."""
    scene = files.in_force(name)
    command = COMMANDS.get(name, TOUCH)
    assert scene.runs(command) == NEVER
    assert f"File {name}." in str(provider.requests[-1].body["messages"][0])
    assert "ignored" not in scene.gateway.log
    if name in LOCALLY:
        assert not scene.local(command)


@pytest.mark.parametrize("name", FREE)
def test_without_such_a_key_a_command_runs(files: Files, name: str) -> None:
    """The same command does run where the file forbids nothing, in every way and without a gateway."""
    scene = files.in_force(f"free: {name}")
    assert scene.runs(FREE[name][1]) == ALWAYS
    if f"free: {name}" in LOCALLY:
        assert scene.local(FREE[name][1])
