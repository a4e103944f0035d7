import errno
import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from app.config import (
    ConfigError,
    ConfigWatcher,
    Environment,
    Settings,
    StaleConfig,
    check,
    hash_of,
    load,
    read_text,
    write,
    writing,
)
from app.config.settings import backup_of, draft_of, own_files
from tests.config.conftest import TOKEN, Place

OLD = "{gateway: {port: 1}} // the old one\n"
NEW = "{gateway: {port: 2}} // the new one\n"


@pytest.fixture
def environment(place: Place) -> Environment:
    place.write(OLD)
    return place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_change_is_written(place: Place, environment: Environment) -> None:
    """The file has the new text, and the one before is beside it; nobody else can read either."""
    settings = write(environment, NEW, hash_of(OLD))
    assert settings.gateway.port == load(environment).gateway.port == 2
    assert (place.file.read_text(), backup_of(place.file).read_text()) == (NEW, OLD)
    assert mode(place.file) == mode(backup_of(place.file)) == 0o600
    assert names(place.state_dir) == ["openclaw.json", "openclaw.json.bak"]


def test_the_hash_is_of_the_bytes() -> None:
    """SHA-256 in hex; an absent file has that of no bytes."""
    assert hash_of("é") == "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"
    assert hash_of(None) == hash_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_stale_change_is_refused(place: Place, environment: Environment) -> None:
    """Who hasn't seen what is there can't overwrite it."""
    for seen in (NEW, None):
        with pytest.raises(StaleConfig, match="read it again"):
            write(environment, NEW, hash_of(seen))
    assert place.file.read_text() == OLD
    assert names(place.state_dir) == ["openclaw.json"]


@pytest.mark.parametrize(
    "text", ["{", "[]", "{gatway: 1}", "{gateway: {port: 'x'}}", "{a: '\ud800'}", "{}" + " " * 2**20]
)
def test_an_invalid_text_is_never_written(place: Place, environment: Environment, text: str) -> None:
    """What the gateway would refuse at its start doesn't get there; no folder shows in the faults."""
    with pytest.raises(ConfigError) as refused:
        write(environment, text, hash_of(OLD))
    assert str(place.state_dir) not in str(refused.value)
    assert place.file.read_text() == OLD


def test_a_first_file_is_written(place: Place) -> None:
    """Where there is none yet, with the folder; nothing is there to be kept."""
    folder = place.state_dir / "new" / "state"
    environment = place.environment(OPENCLAW_STATE_DIR=str(folder), OPENCLAW_GATEWAY_TOKEN=TOKEN)
    assert read_text(environment) is None
    write(environment, NEW, hash_of(None))
    assert read_text(environment) == NEW
    assert (mode(folder), mode(folder / "openclaw.json")) == (0o700, 0o600)
    assert names(folder) == ["openclaw.json"]


@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o400, 0o400), (0o644, 0o600), (0o777, 0o600)])
def test_rights_only_shrink(place: Place, environment: Environment, before: int, after: int) -> None:
    """What was open to others is closed, what was narrower stays."""
    place.file.chmod(before)
    old = os.umask(0)
    try:
        write(environment, NEW, hash_of(OLD))
    finally:
        os.umask(old)
    assert mode(place.file) == mode(backup_of(place.file)) == after


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write another's file")
def test_the_owner_stays(place: Place, environment: Environment) -> None:
    """Root's change of another user's file leaves it that user's."""
    os.chown(place.file, 12345, 54321)
    write(environment, NEW, hash_of(OLD))
    for path in (place.file, backup_of(place.file)):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 54321)


def test_a_link_stays_a_link(place: Place, tmp_path: Path) -> None:
    """Its target is written, and the backup is beside that; agents may read neither."""
    target = tmp_path / "elsewhere" / "real.json"
    target.parent.mkdir()
    target.write_text(OLD)
    place.file.symlink_to(target)
    environment = place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN)
    settings = write(environment, NEW, hash_of(OLD))
    assert os.readlink(place.file) == str(target)
    assert target.read_text() == NEW
    assert names(target.parent) == ["real.json", "real.json.bak"]
    private = own_files(settings.path, settings.storage_url)
    assert {place.file, target.with_name("real.json.bak"), draft_of(target)} < set(private)


def test_of_writers_at_once_one_wins(environment: Environment) -> None:
    """All others are told that the file has changed since."""
    outcomes: list[object] = []
    begin = threading.Barrier(8)

    def change(port: int) -> None:
        begin.wait()
        try:
            outcomes.append(write(environment, f"{{gateway: {{port: {port}}}}}", hash_of(OLD)))
        except StaleConfig as stale:
            outcomes.append(stale)

    threads = [threading.Thread(target=change, args=(port,)) for port in range(10, 18)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Settings)]
    assert load(environment).gateway.port == winner.gateway.port
    assert len(outcomes) == 8


def test_a_writer_does_not_wait_for_ever(
    place: Place, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that keeps the lock is named as the reason."""
    monkeypatch.setattr(writing, "_LOCK_SECONDS", 0.05)
    with place.state_dir.joinpath(".openclaw.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="by another process"):
            write(environment, NEW, hash_of(OLD))
    write(environment, NEW, hash_of(OLD))
    assert place.file.read_text() == NEW


def test_a_failed_write_changes_nothing(
    place: Place, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the file, and no draft of it."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(environment, NEW, hash_of(OLD))
    assert place.file.read_text() == OLD
    assert names(place.state_dir) == ["openclaw.json"]


def test_a_draft_of_a_killed_process_is_replaced(place: Place, environment: Environment, tmp_path: Path) -> None:
    """Even if it is a link: nothing is written through it."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    draft_of(place.file).symlink_to(victim)
    write(environment, NEW, hash_of(OLD))
    assert (place.file.read_text(), victim.read_text()) == (NEW, "mine")


def test_a_running_gateway_applies_what_is_written(environment: Environment) -> None:
    """The watcher sees it as any other change of the file."""
    applied: list[int] = []
    watcher = ConfigWatcher(environment, load(environment), lambda new, _: applied.append(new.gateway.port))
    write(environment, NEW, hash_of(OLD))
    assert [watcher.check(), watcher.check()] == [False, True]
    assert applied == [2]


def test_a_text_is_checked_like_a_file(place: Place) -> None:
    """The same faults, but for the file's name."""
    text = "{gateway: {port: 'x', prot: 1}, logging: 1}"
    environment = place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN)
    with pytest.raises(ConfigError) as refused:
        check(text, environment)
    assert [str(fault) for fault in refused.value.faults] == place.faults(text, OPENCLAW_GATEWAY_TOKEN=TOKEN)
    with pytest.raises(ConfigError, match=r"^openclaw\.json:1:1: "):
        check("{", environment)
