"""Storage that fails under a running gateway: who is told what, what goes on, and that it heals by itself."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused
from tests.live.gateway import ROOT, Answer, Gateway, wait_until
from tests.scripted import Reply, ScriptedProvider


@pytest.fixture
def storing(start_gateway: StartGateway, provider: ScriptedProvider) -> Iterator[Gateway]:
    """A gateway with one turn on record. Whatever happens to its storage, its log has no traceback."""
    gateway = start_gateway()
    assert gateway.chat("first", user="u").status == 200
    yield gateway
    assert "Traceback" not in gateway.log


def path_of(gateway: Gateway) -> Path:
    return gateway.state_dir / "gateway.sqlite3"


def ready(gateway: Gateway) -> Any:
    return gateway.call("/readyz", method="GET").json


def fails(gateway: Gateway) -> bool:
    return "storage" in ready(gateway)["failing"]


def turns_of(gateway: Gateway) -> int:
    with closing(sqlite3.connect(path_of(gateway))) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(database.execute("SELECT count(*) FROM turns").fetchone()[0])


def check_unavailable(answer: Answer, reason: str) -> None:
    assert (answer.status, answer.error["type"]) == (503, "storage_unavailable")
    assert reason in answer.error["message"]
    assert "sqlite" not in answer.error["message"]
    assert int(answer.headers["Retry-After"]) > 0


@pytest.fixture
def lock(storing: Gateway) -> Iterator[sqlite3.Connection]:
    """What another process does: it holds the lock for writing until it is rolled back."""
    other = sqlite3.connect(path_of(storing), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
def test_a_lock_that_is_held_for_long(
    storing: Gateway, provider: ScriptedProvider, lock: sqlite3.Connection, stream: bool
) -> None:
    """The turn that meets it is told after one bounded wait; later ones before a model is asked. Then all is well."""
    met = storing.chat("met", user="u", stream=stream)
    if stream:
        assert json.loads(met.events[-2])["error"]["type"] == "storage_unavailable"
        assert met.events[-1] == "[DONE]"
    else:
        check_unavailable(met, "another program holds the database")
    assert fails(storing)
    assert ready(storing)["storage"] == "another program holds the database"
    asked = len(provider.requests)
    check_unavailable(storing.chat("later", user="u", stream=stream), "another program holds the database")
    assert len(provider.requests) == asked
    lock.execute("ROLLBACK")
    wait_until(lambda: not fails(storing), "the storage works again")
    assert storing.chat("again", user="u", stream=stream).status == 200
    assert turns_of(storing) == 2


def test_what_goes_on_while_nothing_can_be_written(
    storing: Gateway, provider: ScriptedProvider, lock: sqlite3.Connection
) -> None:
    """Calls without a session, with a key too, and all that only reads."""
    client = Client(storing).connect()
    assert storing.chat("met", user="u").status == 503
    assert storing.chat("hi").status == 200
    assert storing.chat("hi", headers={"Idempotency-Key": "k"}).status == 200
    assert storing.chat("hi", headers={"Idempotency-Key": "k"}, stream=True).status == 200
    assert [row["key"] for row in client.call("sessions.list")["sessions"]] == ["agent:main:openai-user:u"]
    with pytest.raises(Refused) as refused:
        client.call("chat.send", {"sessionKey": "main", "message": "hi", "idempotencyKey": "r"})
    assert (refused.value.code, refused.value.error["retryAfterMs"]) == ("UNAVAILABLE", 5000)
    client.close()
    environment = {**os.environ, "OPENCLAW_STATE_DIR": str(storing.state_dir)}
    asked = [sys.executable, "-m", "app", "doctor", "--url", storing.url]
    report = subprocess.run(asked, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "storage: another program holds the database" in report.stdout
    assert report.returncode == 1


def test_many_turns_do_not_pile_up(storing: Gateway, provider: ScriptedProvider, lock: sqlite3.Connection) -> None:
    """Whoever comes while storage fails is told at once, and nothing of them stays."""
    assert storing.chat("met", user="u").status == 503
    asked = len(provider.requests)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda number: storing.chat("hi", user=f"u{number % 7}"), range(300)))
    assert {answer.status for answer in answers} == {503}
    assert len(provider.requests) == asked
    client = Client(storing).connect()
    assert client.call("status")["runs"]["active"] == 0
    client.close()


def test_a_turn_that_is_told_of_a_lock_in_time_is_stored(
    storing: Gateway, provider: ScriptedProvider, lock: sqlite3.Connection
) -> None:
    """A short lock, such as a backup's, costs nobody a turn: it waits for it, and is stored once."""
    hold = threading.Event()
    provider.enqueue(Reply("held", hold=hold))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(storing.chat, "hi", user="u")
        provider.wait_for_request(2)
        hold.set()
        assert provider.requests[1].finished.wait(5)
        lock.execute("ROLLBACK")
        assert answer.result().status == 200
    assert turns_of(storing) == 2


def fill(gateway: Gateway) -> Callable[[], None]:
    """Let files have so many bytes at most that the database can't grow; the returned function lifts it."""
    family = psutil.Process(gateway.process.pid).children()
    before = family[0].rlimit(psutil.RLIMIT_FSIZE)

    def limit(size: tuple[int, int]) -> None:
        for each in family:
            each.rlimit(psutil.RLIMIT_FSIZE, size)

    limit((32 * 1024, before[1]))
    return lambda: limit(before)


def move(gateway: Gateway) -> Callable[[], None]:
    away = path_of(gateway).with_name("away")
    path_of(gateway).rename(away)
    return lambda: away.rename(path_of(gateway)) and None


@pytest.mark.parametrize(("breaks", "reason"), [(fill, "the disk"), (move, "the database file is gone")])
def test_a_disk_that_fails(
    storing: Gateway, provider: ScriptedProvider, breaks: Callable[[Gateway], Callable[[], None]], reason: str
) -> None:
    """Turns in sessions are told so, others are answered, no empty database takes the place of one that is gone."""
    mend = breaks(storing)
    wait_until(lambda: storing.chat("hi", user="u").status == 503, "a turn that can't be stored")
    wait_until(lambda: fails(storing), "it shows")
    check_unavailable(storing.chat("hi", user="u"), reason)
    assert storing.chat("hi", headers={"Idempotency-Key": "k"}).status == 200
    assert breaks is not move or not path_of(storing).exists()
    mend()
    wait_until(lambda: not fails(storing), "the storage works again")
    assert storing.chat("hi", user="u").status == 200
    assert turns_of(storing) >= 2


def test_a_database_that_is_replaced(storing: Gateway, provider: ScriptedProvider) -> None:
    """A copy that is put in its place is used as it is: nothing of the former one's log gets into it."""
    path, copy = path_of(storing), storing.state_dir / "copy.sqlite3"
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(copy)) as target:
        database.backup(target)
    assert storing.chat("only in the former one", user="former").status == 200
    shutil.move(copy, path)
    wait_until(lambda: storing.chat("in the new one", user="new").status == 200, "the new one is used")
    assert not fails(storing)
    storing.stop()
    with closing(sqlite3.connect(path)) as database:
        keys = [key for (key,) in database.execute("SELECT key FROM sessions ORDER BY key")]
    assert keys == ["agent:main:openai-user:new", "agent:main:openai-user:u"]
    assert turns_of(storing) == 2


def test_a_file_that_is_damaged(storing: Gateway, provider: ScriptedProvider) -> None:
    """Turns are told so for as long as it lasts; a sound copy that is put in its place is used without a restart."""
    path, copy = path_of(storing), storing.state_dir / "copy.sqlite3"
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(copy)) as target:
        database.backup(target)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.write(b"\x55" * path.stat().st_size)
    wait_until(lambda: storing.chat("hi", user="u").status == 503, "it is noticed")
    check_unavailable(storing.chat("hi", user="u"), "the database is damaged")
    assert storing.chat("hi").status == 200
    shutil.move(copy, path)
    wait_until(lambda: storing.chat("hi", user="u").status == 200, "the copy is used")
    assert turns_of(storing) >= 2


def test_a_log_that_is_deleted(storing: Gateway, provider: ScriptedProvider) -> None:
    """What stands in the database's log alone is not lost with it: not the turn before, not the one after."""
    path_of(storing).with_name("gateway.sqlite3-wal").unlink()
    assert storing.chat("after", user="u").status == 200
    storing.kill()
    assert turns_of(storing) == 2
