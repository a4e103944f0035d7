"""Each file as users have it, in a running gateway: what of it is in force, what is refused, and what is never shown.

Of the files only workspaces, addresses and ports are changed, the endpoint is turned on, and what a test says.
"""

from __future__ import annotations

import copy
import json
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.agents.tools.mcp.scene import SCRIPTS
from tests.conftest import StartGateway
from tests.live.expect import expect_error
from tests.live.gateway import Answer, Config, Gateway, chat_body, merged, wait_until
from tests.live.test_start import refused
from tests.scripted import Reply, ScriptedProvider, Status, ToolCall
from tests.users_files import user_file

TOKEN = "example-token-0123456789abcdef0123456789"
CODING: Config = {"tools": {"profile": "coding"}}
FILES = {"read", "write", "edit", "ls", "find", "grep"}
OTHERS = {"sessions_list", "sessions_history", "sessions_send"}
# What the profile coding offers an admin outside of sessions.
ALL = FILES | OTHERS | {"exec", "web_fetch", "agents_list"}
# None of a machine's own keys, which would open providers that a test needs closed.
NO_KEYS = dict.fromkeys(("GEMINI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY"), "")

StartFile = Callable[..., Gateway]


def adapted(name: str, provider_url: str, folder: Path, changes: Config) -> Config:
    """The file for this machine: providers at the scripted one, workspaces in ``folder``, the endpoint on."""
    document = copy.deepcopy(user_file(name))
    for provider in document.get("models", {}).get("providers", {}).values():
        path = "/v1" if provider["baseUrl"].endswith("/v1") else ""
        provider["baseUrl"] = provider_url.removesuffix("/v1") + path
    _move_workspaces(document, folder)
    enabled: Config = {"gateway": {"http": {"endpoints": {"chatCompletions": {"enabled": True}}}}}
    return merged(merged(document, enabled), changes)


def _move_workspaces(value: Any, folder: Path) -> None:
    if isinstance(value, dict):
        if "workspace" in value:
            value["workspace"] = str(folder)
        for inner in value.values():
            _move_workspaces(inner, folder)
    elif isinstance(value, list):
        for inner in value:
            _move_workspaces(inner, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where agents work whose file names a workspace."""
    return tmp_path / "work"


@pytest.fixture
def start_file(start_gateway: StartGateway, provider: ScriptedProvider, folder: Path) -> StartFile:
    """Starts a gateway with a user's file: ``start_file("07", CODING)``."""

    def start(name: str, changes: Config | None = None, **options: Any) -> Gateway:
        return start_gateway(config=adapted(name, provider.base_url, folder, changes or {}), **options)

    return start


def ask(gateway: Gateway, agent: str = "", headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    """A chat that must be answered."""
    model = f"openclaw/{agent}" if agent else "openclaw"
    answer = gateway.call(body=chat_body(model=model, **fields), headers=headers, token=TOKEN)
    assert answer.status == 200, (answer.body, gateway.log)
    return answer


def offered(gateway: Gateway, provider: ScriptedProvider, agent: str = "", **more: Any) -> set[str]:
    """The tools that the model is told of."""
    ask(gateway, agent, **more)
    return {tool["function"]["name"] for tool in provider.requests[-1].body.get("tools", ())}


def ran(gateway: Gateway, provider: ScriptedProvider, command: str, agent: str = "") -> str:
    """What the model reads of a command that it calls for."""
    call = ToolCall("c1", "exec", json.dumps({"command": command}))
    provider.enqueue(Reply(tool_calls=(call,), finish="tool_calls"), Reply("done"))
    assert ask(gateway, agent).text == "done"
    last = provider.requests[-1].body["messages"][-1]
    assert (last["role"], last["tool_call_id"]) == ("tool", "c1")
    text: str = last["content"]
    return text


def warning(gateway: Gateway) -> str:
    """The line on what of the file is not as in OpenClaw."""
    return next((line for line in gateway.log.splitlines() if "has OpenClaw settings" in line), "")


def paths(lines: list[str]) -> set[str]:
    return {line.partition(": ")[0] for line in lines}


# Files that start.


def test_01_a_file_of_the_onboarding(start_file: StartFile, provider: ScriptedProvider) -> None:
    """It starts as it is, tells what it has no use for, and its agent has the coding tools."""
    gateway = start_file("01")
    assert "ignored" in warning(gateway)
    assert "gateway.tailscale.resetOnExit" in warning(gateway)
    assert "gateway.nodes.denyCommands" in warning(gateway)
    assert offered(gateway, provider) == ALL
    assert offered(gateway, provider, user="ada") == ALL | {"session_status"}


def test_01_four_runs_at_a_time(start_file: StartFile, provider: ScriptedProvider) -> None:
    """agents.defaults.maxConcurrent holds: a fifth run waits until one of four has ended."""
    gateway = start_file("01")
    hold = threading.Event()
    provider.default = Reply("held", hold=hold)
    with ThreadPoolExecutor(6) as pool:
        try:
            answers = [pool.submit(ask, gateway) for _ in range(6)]
            provider.wait_for_request(4, timeout=20)
            wait_until(lambda: active(gateway) == 6, "six runs are at work or wait")
            assert len(provider.requests) == 4
        finally:
            hold.set()
        assert [answer.result().text for answer in answers] == ["held"] * 6
    assert len(provider.requests) == 6


def active(gateway: Gateway) -> float:
    """Runs at work or waiting."""
    text = gateway.call("/metrics", method="GET", token=TOKEN).body.decode()
    found = re.search(r"^openclaw_runs_active (\S+)$", text, re.MULTILINE)
    assert found, text
    return float(found[1])


def test_02_only_its_safe_programs_run(start_file: StartFile, provider: ScriptedProvider, folder: Path) -> None:
    """With the profile coding `ls` runs and `id` doesn't; the key of a search that there isn't is never shown."""
    gateway = start_file("02", CODING)
    folder.mkdir(exist_ok=True)
    (folder / "seen.txt").touch()
    assert "seen.txt" in ran(gateway, provider, "ls")
    denied = ran(gateway, provider, "id")
    assert "denied by policy" in denied
    assert "uid=" not in denied
    assert "example-search-key" not in gateway.log


def test_02_has_no_commands_without_a_profile(start_file: StartFile, provider: ScriptedProvider) -> None:
    """A file that names no profile has the least one, whatever programs it calls safe."""
    assert "exec" not in offered(start_file("02"), provider)


@pytest.fixture
def start_open(tmp_path: Path, provider: ScriptedProvider, folder: Path) -> Iterator[Callable[[str], Gateway]]:
    """Starts a gateway that listens where the file says, at a port that was free a moment ago."""
    started: list[Gateway] = []

    def start(name: str) -> Gateway:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = adapted(name, provider.base_url, folder, {"gateway": {"port": port}})
        started.append(Gateway(tmp_path / "state", config, at_its_address=True))
        return started[-1].wait_until_up()

    yield start
    for gateway in started:
        gateway.stop()


@pytest.mark.parametrize("name", ["03", "04"])
def test_a_gateway_for_the_network_needs_its_token(start_open: Callable[[str], Gateway], name: str) -> None:
    """With bind lan, or its address in its place, it listens everywhere, and without the token nobody is let in."""
    gateway = start_open(name)
    listening = {each.laddr.ip for each in psutil.net_connections("tcp") if is_listening(each, gateway.port)}
    assert listening == {"0.0.0.0"}
    for token in (None, "another-token-0123456789"):
        expect_error(gateway.call(body=chat_body(), token=token), 401, "unauthorized", code="invalid_api_key")
    assert ask(gateway).text == "Hello world"


def is_listening(connection: Any, port: int) -> bool:
    return connection.status == psutil.CONN_LISTEN and connection.laddr.port == port


def test_05_what_tunes_openclaw_is_in_nobodys_way(start_file: StartFile, provider: ScriptedProvider) -> None:
    """Memory, pruning and heartbeats are told as ignored; the agent answers with the least tools."""
    gateway = start_file("05")
    for key in ("memorySearch", "contextPruning", "heartbeat"):
        assert f"agents.defaults.{key}" in warning(gateway)
    assert offered(gateway, provider, user="ada") == {"session_status"}


def test_06_its_patterns_hold_though_it_switches_redaction_off(
    start_file: StartFile, provider: ScriptedProvider
) -> None:
    """A provider's words are logged without what a pattern matches, and secrets stay unseen."""
    gateway = start_file("06")
    provider.enqueue(Status(400, f"no customer CUST-123456 for {TOKEN}"))
    assert gateway.call(body=chat_body(), token=TOKEN).status == 400
    wait_until(lambda: "no customer *** for" in gateway.log, "the provider's words are logged")
    assert "CUST-123456" not in gateway.log
    assert TOKEN not in gateway.log


def test_07_old_names_deny_as_they_did(start_file: StartFile, provider: ScriptedProvider) -> None:
    """A file of before agents had a section: with the profile coding there is all but exec, and its token holds."""
    gateway = start_file("07", CODING)
    assert offered(gateway, provider) == ALL - {"exec"}
    assert "agent.tools.deny read as tools.deny" in warning(gateway)
    assert gateway.call(body=chat_body(), token=None).status == 401


def test_08_variables_of_the_file_are_for_the_file(start_file: StartFile, provider: ScriptedProvider) -> None:
    """They fill in what refers to them; no command has them in its environment, and no log shows them."""
    gateway = start_file("08", CODING, env={"HOUSE_API_KEY": "", "GATE_TOKEN": ""})
    seen = ran(gateway, provider, "env")
    assert provider.requests[0].headers["Authorization"] == "Bearer example-key-2"
    assert "PATH=" in seen
    for secret in ("HOUSE_API_KEY", "GATE_TOKEN", "example-key-2", TOKEN):
        assert secret not in seen
    assert "example-key-2" not in gateway.log
    assert TOKEN not in gateway.log


def test_09_one_key_is_enough(start_file: StartFile) -> None:
    """With the key of the fallback alone it starts, and says which model can't be asked."""
    gateway = start_file("09", env=NO_KEYS | {"ANTHROPIC_API_KEY": "sk-ant-0123456789"})
    assert "can't be asked: agents.defaults.model.primary" in warning(gateway)
    assert "GEMINI_API_KEY" in warning(gateway)
    assert "0123456789" not in gateway.log


def test_11_the_address_of_ollamas_own_format(start_file: StartFile, provider: ScriptedProvider) -> None:
    """The first chat reaches the OpenAI-compatible door beside it."""
    gateway = start_file("11")
    assert ask(gateway).text == "Hello world"
    assert [(each.path, each.body["model"]) for each in provider.requests] == [("/v1/chat/completions", "qwen3:8b")]


def test_12_mode_deny_is_obeyed(start_file: StartFile, provider: ScriptedProvider, folder: Path) -> None:
    """exec is not offered, does not run when called all the same, and nobody is told that the key is ignored."""
    gateway = start_file("12")
    assert offered(gateway, provider) == ALL - {"exec"}
    folder.mkdir(exist_ok=True)
    assert ran(gateway, provider, "touch marker").startswith("error: ")
    assert not (folder / "marker").exists()
    assert "tools.exec.mode" not in warning(gateway)


def test_13_who_would_be_asked_is_denied(start_file: StartFile, provider: ScriptedProvider, folder: Path) -> None:
    """Safe programs run, code on a command line never does, and an agent for which all is asked has no commands."""
    gateway = start_file("13")
    folder.mkdir(exist_ok=True)
    (folder / "note.txt").write_text("noted")
    assert "noted" in ran(gateway, provider, "cat note.txt", "main")
    assert "denied by policy" in ran(gateway, provider, "python3 -c \"open('marker', 'w')\"", "main")
    assert not (folder / "marker").exists()
    assert offered(gateway, provider, "main") == ALL
    assert offered(gateway, provider, "careful") == ALL - {"exec"}


def test_14_policies_of_models(start_file: StartFile, provider: ScriptedProvider) -> None:
    """Each model has the tools that its policy leaves, also where a caller chooses it."""
    gateway = start_file("14")
    assert offered(gateway, provider) == ALL - {"exec", "write"}
    house = {"x-openclaw-model": "house/small-1"}
    assert offered(gateway, provider, headers=house) == set()
    assert provider.requests[-1].body["model"] == "small-1"
    assert offered(gateway, provider, headers=house, user="ada") == {"session_status"}
    assert offered(gateway, provider, user="ada") == ALL - {"exec", "write"} | {"session_status"}


def test_15_what_is_off_is_not_offered(start_file: StartFile, provider: ScriptedProvider) -> None:
    """No fetching where it is off, and no sight of other sessions where an agent may see its own alone."""
    assert offered(start_file("15"), provider) == ALL - OTHERS - {"web_fetch"}


def test_16_without_a_sandbox_nothing_that_needs_one(start_file: StartFile, provider: ScriptedProvider) -> None:
    """An agent that should work in one may read and no more; one that needs none keeps all."""
    gateway = start_file("16")
    assert offered(gateway, provider, "main") == {"read", "ls", "find", "grep", "agents_list"}
    assert offered(gateway, provider, "free") == ALL
    assert 'agents.defaults.sandbox.mode is "non-main"' in warning(gateway)


def test_19_an_agents_list_of_tools(start_file: StartFile, provider: ScriptedProvider) -> None:
    """An agent has what its own list allows, with the model that its alias means; the other has its profile.

    The file's MCP server is one that works, or there would be no tool of it to deny.
    """
    server = {"command": sys.executable, "args": [str(SCRIPTS / "useful.py")]}
    gateway = start_file("19", {"mcp": {"servers": {"notes": server}}})
    of_main = offered(gateway, provider, "main")
    assert of_main >= ALL
    assert [name for name in of_main if name.startswith("notes__")]
    assert offered(gateway, provider, "critic") == {"read", "web_fetch"}
    assert provider.requests[-1].body["model"] == "small-1"


# Files that are refused.


def test_09_without_a_key_each_model_has_its_line(start_file: StartFile) -> None:
    """A start that could ask no model is refused, and each line names the variable that would help."""
    lines = refused(start_file("09", env=NO_KEYS, up=False))
    assert [(line.partition(": ")[0], variable in line) for line, variable in zip(lines, VARIABLES, strict=True)] == [
        ("agents.defaults.model.primary", True),
        ("agents.defaults.model.fallbacks[0]", True),
    ]


VARIABLES = ("GEMINI_API_KEY", "ANTHROPIC_API_KEY")

REFUSED = {
    "10": {"agents.defaults.model.primary", "agents.list[0].model"},
    "17": {"gateway.tls.enabled"},
    "18": {"gateway.roles", "gateway.auth.identityScopes"},
    "20": {
        *("version", "name", "gateway.cors", "providers", "agents.researcher", "permissions", "models.default"),
    },
}
# What a line of file 20 says where the key belongs.
MEANT = {
    "providers": "models.providers",
    "agents.researcher": "agents.entries",
    "models.default": "agents.defaults.model",
    "gateway.cors": "gateway.http.cors",
}


@pytest.mark.parametrize(("name", "expected"), REFUSED.items(), ids=REFUSED.keys())
def test_what_cant_be_held_is_refused(start_file: StartFile, name: str, expected: set[str]) -> None:
    """The lines name each key and nothing else, and show no secret."""
    gateway = start_file(name, up=False)
    assert paths(refused(gateway)) == expected
    assert "example-" not in gateway.log


def test_20_keys_that_never_were_are_told_where_they_belong(start_file: StartFile) -> None:
    """Of keys that people write in the wrong place each line says the right one."""
    lines = {line.partition(": ")[0]: line for line in refused(start_file("20", up=False))}
    assert {path: meant in lines[path] for path, meant in MEANT.items()} == dict.fromkeys(MEANT, True)
