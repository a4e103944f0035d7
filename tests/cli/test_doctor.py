import json
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.agents.tools import sandbox
from app.agents.tools.sandbox import NoSandbox, Sandbox
from app.cli import main
from app.cli.doctor import database, machine
from app.providers.local import library
from app.sessions.database import open_database
from tests.conftest import StartGateway
from tests.live.gateway import TOKEN, Gateway, config_for
from tests.scripted import ScriptedProvider, Status

SECRET = "must-not-show-0123456789"


@pytest.fixture
def port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
        return number


@pytest.fixture
def state(clean: None, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A healthy installation whose gateway doesn't run."""
    state = tmp_path / "the state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(state))
    write(state, port)
    monkeypatch.setattr(sandbox, "find", lambda: Sandbox("/usr/bin/bwrap"))
    monkeypatch.setattr(library, "is_there", lambda: True)
    return state


def write(state: Path, port: int, **changes: object) -> None:
    """changes: top-level keys; those of ``gateway`` are added to the usual ones."""
    gateway = {"port": port, "auth": {"token": SECRET}, **changes.pop("gateway", {})}  # type: ignore[dict-item]
    path = state / "openclaw.json"
    path.write_text(json.dumps({"gateway": gateway, **changes}))
    path.chmod(0o600)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["doctor", *arguments])
    assert SECRET not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def found(check: str, *arguments: str) -> list[tuple[str, str]]:
    """(status, text) of what one check found."""
    findings = json.loads(run("--json", *arguments).stdout)
    return [(finding["status"], finding["text"]) for finding in findings if finding["check"] == check]


def test_all_is_well(state: Path, port: int) -> None:
    """Each check is a line, and the exit code is 0."""
    result = run()
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if not line.startswith(("ok    python", "ok    disk"))]
    assert lines == [
        f"ok    configuration: {state}/openclaw.json is valid",
        "ok    secret: gateway.auth.token is long enough",
        "ok    endpoint: /v1/chat/completions is off; `.venv/bin/python -m app config set "
        "gateway.http.endpoints.chatCompletions.enabled true` opens it",
        f"ok    state folder: {state} is private",
        "ok    files: openclaw.json: private",
        f"ok    database: {state}/gateway.sqlite3 is made by the first start",
        "ok    models: the model on board is installed",
        "ok    sandbox: commands run in bubblewrap (/usr/bin/bwrap)",
        f"ok    port: 127.0.0.1:{port} is free",
        f"warn  gateway: no gateway at ws://127.0.0.1:{port}: connection refused; start one with `make run`, "
        "or name another with --url",
    ]


def test_json_is_the_same_for_a_script(state: Path) -> None:
    """An array of check, status and text, with the same exit code."""
    state.chmod(0o755)
    result = run("--json")
    assert result.exit_code == 1
    findings = json.loads(result.stdout)
    assert all(finding.keys() == {"check", "status", "text"} and finding["text"] for finding in findings)
    assert ("state folder", "FAIL") in [(finding["check"], finding["status"]) for finding in findings]


# The configuration and its secret.


def test_each_fault_of_the_configuration_is_a_line(state: Path, port: int) -> None:
    """Faults fail, what a gateway does with such a file is said, and all other checks are made all the same."""
    write(state, port, gateway={"port": "x", "bind": "y"})
    assert run().exit_code == 1
    *faults, (status, said) = found("configuration")
    assert (status, "a gateway that runs keeps what it loaded last" in said) == ("warn", True)
    assert sorted(text.partition(":")[0] for _, text in faults) == ["gateway.bind", "gateway.port"]
    assert {status for status, _ in faults} == {"FAIL"}
    assert found("state folder")[0][0] == "ok"


@pytest.mark.parametrize("enabled", [True, False])
def test_whether_the_chat_endpoint_is_on(state: Path, port: int, enabled: bool) -> None:
    """Who comes with a file that doesn't open it reads how to, since a caller only gets a 404."""
    write(state, port, gateway={"http": {"endpoints": {"chatCompletions": {"enabled": enabled}}}})
    [(status, text)] = found("endpoint")
    assert status == "ok"
    assert ("enabled true" in text) == (not enabled)
    assert text.startswith(f"/v1/chat/completions is {'on' if enabled else 'off'}")


def test_warnings_of_the_configuration(state: Path, port: int) -> None:
    """A valid file with warnings is a warning that says where to read them."""
    write(state, port, channels={})
    [(status, text)] = found("configuration")
    assert status == "warn"
    assert "warnings: 1; " in text
    assert "config validate" in text


def test_few_keys_that_are_not_obeyed(state: Path, port: int) -> None:
    """Each is a line, a warning where less is done than the key asks for; what says nothing is none."""
    write(state, port, gateway={"bind": "auto", "mode": "local"}, channels={}, session={"idleMinutes": 5})
    assert found("keys") == [
        ("warn", 'gateway.bind: stricter: taken as "loopback"'),
        ("ok", "channels: ignored: nothing here that it could narrow"),
        ("ok", "session.idleMinutes: read as session.reset.idleMinutes"),
    ]


def test_many_keys_that_are_not_obeyed(state: Path, port: int) -> None:
    """They are counted, with the command that tells each."""
    sections: dict[str, object] = {key: {} for key in ("channels", "hooks", "messages", "ui")}
    write(state, port, session={"idleMinutes": 5}, **sections)
    how = "; `.venv/bin/python -m app config validate --explain` tells each"
    assert found("keys") == [("ok", f"read as: 1, ignored: 4{how}")]
    write(state, port, gateway={"bind": "auto"}, **sections)
    assert found("keys") == [("warn", f"stricter: 1, ignored: 4{how}")]


def test_tools_that_are_none(state: Path, port: int) -> None:
    """A policy may name what isn't there; it has no effect."""
    write(state, port, tools={"deny": ["exce"]})
    assert any("'exce'" in text for _, text in found("tools"))


@pytest.mark.parametrize(
    ("auth", "status", "said"),
    [
        ({"token": "YOUR_TOKEN"}, "FAIL", "what examples have"),
        ({"token": "short"}, "warn", "has 5 characters"),
        ({"mode": "password", "password": "long-enough-0123456789"}, "ok", "gateway.auth.password"),
        ({"mode": "none"}, "warn", "whoever reaches the port"),
    ],
    ids=["the manual's", "a short one", "a password", "none"],
)
def test_the_secret(state: Path, port: int, auth: dict[str, str], status: str, said: str) -> None:
    """It is nobody's guess, and not the manual's; the secret itself isn't shown."""
    write(state, port, gateway={"auth": auth})
    [(found_status, text)] = found("secret")
    assert (found_status, said in text) == (status, True)
    assert auth.get("password", auth.get("token", "?")) not in text


# Files, database, disk.


def test_an_open_state_folder(state: Path) -> None:
    """Others who may look into it fail the check; the remedy can be pasted."""
    state.chmod(0o750)
    assert run().exit_code == 1
    assert found("state folder") == [("FAIL", f"{state} is open to other users: chmod 700 '{state}'")]


@pytest.mark.parametrize(("place", "said"), [("missing", "does not exist"), ("file", "is not a folder")])
def test_no_state_folder(state: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str) -> None:
    """One that is missing, or a file, fails and says so."""
    (state / "file").touch()
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(state / place))
    monkeypatch.setenv("OPENCLAW_CONFIG_PATH", str(state / "openclaw.json"))
    [(status, text)] = found("state folder")
    assert status == "FAIL"
    assert text.startswith(f"{state / place} {said}: ")


@pytest.mark.parametrize(("folder", "status"), [(0o700, "warn"), (0o755, "FAIL")], ids=["shut", "open"])
def test_files_that_others_can_read(state: Path, folder: int, status: str) -> None:
    """In a folder that is shut that is a warning; log files count, too."""
    open_database(f"sqlite:///{state}/gateway.sqlite3").dispose()
    for name in ("openclaw.json", "gateway.sqlite3", "gateway.log"):
        (state / name).touch()
        (state / name).chmod(0o644)
    state.chmod(folder)
    assert found("files") == [
        (status, f"{state / name} is open to other users: chmod 600 '{state / name}'")
        for name in ("openclaw.json", "gateway.sqlite3", "gateway.log")
    ]


def make_database(state: Path) -> Path:
    path = state / "gateway.sqlite3"
    open_database(f"sqlite:///{path}").dispose()
    return path


def test_a_sound_database(state: Path) -> None:
    """Its size and version are told, and looking leaves nothing behind."""
    path = make_database(state)
    before = sorted(os.listdir(state))
    [(status, text)] = found("database")
    assert (status, text.startswith(f"{path} is sound, "), "version" in text) == ("ok", True, True)
    assert sorted(os.listdir(state)) == before


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 20_000)


def _age(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE openclaw_schema SET version = 99")


def _replace(path: Path) -> None:
    path.write_bytes(b"not a database " * 1000)


@pytest.mark.parametrize(
    ("harm", "said"),
    [(_damage, "is damaged"), (_replace, "is damaged"), (_age, "later version")],
    ids=["overwritten", "something else", "newer"],
)
def test_a_database_that_can_not_be_used(state: Path, harm: Callable[[Path], None], said: str) -> None:
    """What is wrong with it fails, and what to do is told."""
    path = make_database(state)
    harm(path)
    [(status, text)] = found("database")
    assert (status, said in text) == ("FAIL", True), text


def test_a_full_disk(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little room is a warning, none fails."""
    monkeypatch.setattr(database, "LITTLE", 1 << 60)
    assert found("disk")[0][0] == "warn"
    monkeypatch.setattr(database, "TOO_LITTLE", 1 << 60)
    [(status, text)] = found("disk")
    assert (status, "make room" in text) == ("FAIL", True)


# Models.


@pytest.mark.parametrize(
    ("model", "providers", "status", "said"),
    [
        ("mine/m", {"mine": {"baseUrl": "http://127.0.0.1:1/v1"}}, "ok", "no key"),
        ("mine/m", {"mine": {"baseUrl": "https://example.com/v1"}}, "warn", "models.providers.mine.apiKey"),
        ("mine/m", {"mine": {"baseUrl": "https://example.com/v1", "apiKey": SECRET}}, "ok", "has a key"),
    ],
    ids=["a server of one's own", "elsewhere, no key", "elsewhere"],
)
def test_the_keys_of_providers(
    state: Path, port: int, model: str, providers: dict[str, object], status: str, said: str
) -> None:
    """Each provider that an agent names, and what it lacks."""
    write(state, port, agents={"list": [{"id": "main", "model": model}]}, models={"providers": providers})
    results = found("models")
    assert [(each[0], said in each[1]) for each in results] == [(status, True)], results


def test_a_missing_library_of_the_model_on_board(
    state: Path, port: int, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That fails with what to do, and only where an agent uses that model."""
    monkeypatch.setattr(library, "is_there", lambda: False)
    [(status, text)] = found("models")
    assert (status, "libgomp.so.1" in text, "apt-get install libgomp1" in text) == ("FAIL", True, True)
    told = config_for(provider.base_url)
    write(state, port, agents=told["agents"], models=told["models"])
    assert [status for status, _ in found("models")] == ["ok"]


def test_deep_asks_the_models(state: Path, port: int, provider: ScriptedProvider) -> None:
    """One call for each primary model; without --deep there is none."""
    told = config_for(provider.base_url)
    write(state, port, agents=told["agents"], models=told["models"])
    assert found("answers") == []
    [(status, text)] = found("answers", "--deep")
    assert (status, text.startswith("scripted/m answered in ")) == ("ok", True)
    assert len(provider.requests) == 1
    provider.enqueue(Status(401, "wrong key"))
    [(status, text)] = found("answers", "--deep")
    assert (status, text.startswith("scripted/m: ")) == ("FAIL", True)


# The machine.


def test_a_missing_sandbox_is_a_warning(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reason and remedy are told."""
    monkeypatch.setattr(sandbox, "find", lambda: NoSandbox("no bubblewrap", "install it"))
    assert found("sandbox") == [("warn", "no bubblewrap, so commands run with the gateway's rights: install it")]


def test_an_old_python(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails with what to do."""
    monkeypatch.setattr(machine, "OLDEST", (99, 0))
    assert found("python")[0][0] == "FAIL"


# The port and the gateway there.


def test_a_port_that_another_program_has(state: Path, provider: ScriptedProvider) -> None:
    """That fails: the gateway could not start."""
    write(state, int(provider.base_url.split(":")[2].partition("/")[0]))
    [(status, text)] = found("port")
    assert (status, "another program" in text) == ("FAIL", True)


def test_a_running_gateway(
    start_gateway: StartGateway, clean: None, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Port, database and configuration are its own, and nothing fails."""
    gateway = start_gateway("--bind", f"127.0.0.1:{port}", gateway={"port": port})
    os.chmod(gateway.state_dir / "gateway.log", 0o600)
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(gateway.state_dir))
    monkeypatch.setattr(sandbox, "find", lambda: Sandbox("/usr/bin/bwrap"))
    result = run()
    assert result.exit_code == 0, result.output
    assert found("port") == [("ok", f"127.0.0.1:{port} is a gateway's")]
    [(status, text)] = found("gateway")
    assert (status, text.startswith(f"ws://127.0.0.1:{port} answers, version ")) == ("ok", True)


def test_a_gateway_of_another_configuration(state: Path, gateway: Gateway) -> None:
    """Whoever changes a file that nobody reads is told."""
    write(state, gateway.port, gateway={"auth": {"token": TOKEN}})
    status, text = found("gateway")[0]
    assert (status, "another configuration" in text, str(gateway.config_path) in text) == ("warn", True, True)


def test_a_gateway_with_another_secret(state: Path, gateway: Gateway) -> None:
    """That fails: nothing of this machine is let in."""
    write(state, gateway.port)
    [(status, text)] = found("gateway")
    assert (status, "refuses this secret" in text) == ("FAIL", True)


def test_a_gateway_elsewhere(state: Path, gateway: Gateway) -> None:
    """--url asks another one; the configuration of this machine is not its own."""
    [(status, _)] = found("gateway", "--url", gateway.url, "--token", TOKEN)
    assert status == "ok"
