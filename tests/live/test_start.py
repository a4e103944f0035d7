"""What keeps a gateway from starting is one clear line and an exit code; nothing is touched, nothing is left behind."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.live.gateway import Config, Gateway, config_for, merged
from tests.scripted import ScriptedProvider

# Seconds in which a start that can't succeed has ended.
SOON = 10


def refused(gateway: Gateway) -> list[str]:
    """Wait for a start's end and check that it was in order. Gives the reasons, one a line."""
    assert gateway.process.wait(SOON) == 1, gateway.log
    assert "Traceback" not in gateway.log
    with pytest.raises(ProcessLookupError):
        os.killpg(gateway.process.pid, 0)
    return [line.removeprefix("gateway: ") for line in gateway.log.splitlines() if line.startswith("gateway: ")]


def only_line(gateway: Gateway) -> str:
    (line,) = refused(gateway)
    return line


TEN_FAULTS: Config = {
    "gateway": {
        "port": 70_000,
        "bind": "moon",
        "auth": {"mode": "magic"},
        "http": {"endpoints": {"chatCompletions": {"enabled": "yes", "maxBodyBytes": 0}}},
        "maxRuns": -1,
    },
    "agents": {"list": [{"id": "Main!"}, {"id": "a", "model": "nobody/x"}]},
    "session": {"queueLimit": "many"},
    "logging": {"levle": "info"},
}
THEIR_PATHS = {
    "gateway.port",
    "gateway.bind",
    "gateway.auth.mode",
    "gateway.http.endpoints.chatCompletions.enabled",
    "gateway.http.endpoints.chatCompletions.maxBodyBytes",
    "gateway.maxRuns",
    "agents.list[0].id",
    "agents.list[1].model",
    "session.queueLimit",
    "logging.levle",
}


def test_ten_faults_are_ten_lines(start_gateway: StartGateway) -> None:
    """Every fault of the configuration is told at once, each with its path."""
    lines = refused(start_gateway(config=TEN_FAULTS, up=False))
    assert len(lines) == 10
    assert {line.partition(": ")[0] for line in lines} == THEIR_PATHS


def test_a_file_that_is_no_json5_is_told_where(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A slip of the pen is named by line and column."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "openclaw.json").write_text('{\n  gateway: {\n    "port" 5\n  }\n}')
    assert ":3:" in only_line(Gateway(state, None))


SECRETS: dict[str, tuple[dict[str, Any] | None, dict[str, str], str]] = {
    "no file": (None, {}, "onboard"),
    "no secret": ({}, {}, "gateway.auth.token"),
    "two secrets and no mode": (
        {"password": "pw-0123456789"},
        {"OPENCLAW_GATEWAY_TOKEN": "tok-0123456789"},
        "gateway.auth.mode",
    ),
    "a variable that is not set": ({"token": "${NO_SUCH_VARIABLE}"}, {}, "NO_SUCH_VARIABLE"),
}


@pytest.mark.parametrize(("auth", "env", "named"), SECRETS.values(), ids=SECRETS.keys())
def test_without_one_clear_secret_nothing_starts(
    tmp_path: Path, auth: dict[str, Any] | None, env: dict[str, str], named: str
) -> None:
    """There is no default secret: the one line says what is missing, and shows none that is there."""
    gateway = Gateway(tmp_path / "state", None if auth is None else {"gateway": {"auth": auth}}, env=env)
    assert named in only_line(gateway)
    assert "0123456789" not in gateway.log


@pytest.mark.parametrize(
    ("options", "env"),
    [(("--workers", "2"), {}), ((), {"WEB_CONCURRENCY": "2"})],
    ids=["--workers 2", "WEB_CONCURRENCY=2"],
)
def test_several_workers_need_redis(start_gateway: StartGateway, options: tuple[str, ...], env: dict[str, str]) -> None:
    """Workers that can't share lanes and limits don't start, however their number was given."""
    assert "cluster.redisUrl" in only_line(start_gateway(*options, env=env, up=False))


def test_without_auth_only_this_machine_is_served(start_gateway: StartGateway) -> None:
    """gunicorn's own --bind doesn't get around the rule for mode none."""
    gateway = start_gateway("--bind", "0.0.0.0:0", gateway={"auth": {"mode": "none"}}, up=False)
    assert "gateway.auth.mode none" in only_line(gateway)


def test_a_taken_port_is_named(start_gateway: StartGateway) -> None:
    """Another program's port is not waited for; the line says which it is and what to set."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = only_line(start_gateway("--bind", address, up=False))
    assert address in line
    assert "gateway.port" in line


# The state folder.


@pytest.mark.parametrize("where", ["under a file", "where nobody can write"])
def test_a_state_folder_that_can_not_be_written_is_named(
    start_gateway: StartGateway, tmp_path: Path, where: str
) -> None:
    """A folder that can't be made, whoever asks, is told by its name."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state" if where == "under a file" else Path("/proc/openclaw")
    config = tmp_path / "state" / "openclaw.json"
    env = {"OPENCLAW_STATE_DIR": str(folder), "OPENCLAW_CONFIG_PATH": str(config)}
    assert str(folder) in only_line(start_gateway(env=env, up=False))


@contextmanager
def _files_limited_to(size: int) -> Iterator[None]:
    """Processes started meanwhile can write no file beyond ``size`` bytes: a disk that takes no more of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_at_the_start(start_gateway: StartGateway) -> None:
    """A disk without room for a first turn stops the start rather than that turn."""
    with _files_limited_to(128 * 1024):
        gateway = start_gateway(up=False)
    line = only_line(gateway)
    assert str(gateway.state_dir) in line
    assert "can't write" in line


DAMAGE = {
    "no database at all": lambda database: database.write_bytes(b"this was a database once\n" * 400),
    "overwritten pages": lambda database: overwrite(database, 4096, b"\xff" * 8192),
}


def overwrite(file: Path, offset: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(data)


@pytest.fixture(scope="module")
def sound_database(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> bytes:
    """The bytes of a database with a session in it."""
    gateway = Gateway(tmp_path_factory.mktemp("sound") / "state", config_for(_shared_provider.base_url))
    try:
        assert gateway.wait_until_up().chat("x" * 20_000, user="a").status == 200
    finally:
        gateway.kill()
    file = gateway.state_dir / "gateway.sqlite3"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA journal_mode=DELETE")
    return file.read_bytes()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_database_is_left_as_it_is(
    start_gateway: StartGateway, tmp_path: Path, sound_database: bytes, damage: Any
) -> None:
    """The line names the file and the way to recover it; not a byte is changed and no file is added."""
    database = tmp_path / "state" / "gateway.sqlite3"
    database.parent.mkdir()
    database.write_bytes(sound_database)
    damage(database)
    before = database.read_bytes()
    gateway = start_gateway(up=False)
    line = only_line(gateway)
    assert str(database) in line
    assert ".recover" in line
    assert database.read_bytes() == before
    assert {file.name for file in gateway.state_dir.iterdir()} == {"gateway.sqlite3", "gateway.log", "openclaw.json"}


def test_a_later_versions_database_is_left_as_it_is(
    start_gateway: StartGateway, tmp_path: Path, sound_database: bytes
) -> None:
    """An older gateway doesn't guess at a shape that it doesn't know."""
    database = tmp_path / "state" / "gateway.sqlite3"
    database.parent.mkdir()
    database.write_bytes(sound_database)
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("UPDATE openclaw_schema SET version = 999")
        opened.commit()
    line = only_line(start_gateway(up=False))
    assert str(database) in line
    assert "update the gateway" in line


def test_a_start_after_kill_9_goes_on_where_it_was(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Nothing of a killed gateway is in the way of the next one, which still has its sessions."""
    first = start_gateway()
    assert first.chat("remember me", user="a").status == 200
    first.kill()
    second = start_gateway()
    assert second.chat("and now?", user="a").status == 200
    assert [message["content"] for message in provider.requests[-1].body["messages"][1:]] == [
        "remember me",
        "Hello world",
        "and now?",
    ]
    second.kill()


def test_secrets_of_the_file_are_never_printed(start_gateway: StartGateway) -> None:
    """A start that is refused for other reasons shows no secret of the file it quotes from."""
    config = merged(TEN_FAULTS, {"gateway": {"auth": {"token": "tok-0123456789abcdef", "password": 5}}})
    config["models"] = {"providers": {"p": {"baseUrl": "ftp://u:pw-0123456789@h", "apiKey": ["sk-0123456789"]}}}
    gateway = start_gateway(config=config, up=False)
    assert len(refused(gateway)) > 10
    assert "0123456789" not in gateway.log
