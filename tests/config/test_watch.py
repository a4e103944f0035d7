import logging
import os

import pytest

from app.config import ConfigWatcher, LiveSettings, Settings, load
from tests.config.conftest import Place

Watched = tuple[ConfigWatcher, list[tuple[Settings, tuple[str, ...]]]]


def config(**gateway: object) -> dict[str, object]:
    return {"gateway": {"auth": {"token": "t"}, **gateway}}


@pytest.fixture
def watched(place: Place) -> Watched:
    place.write(config())
    environment = place.environment()
    changes: list[tuple[Settings, tuple[str, ...]]] = []
    return ConfigWatcher(environment, load(environment), lambda *change: changes.append(change)), changes


def test_an_untouched_file_is_not_read_again(watched: Watched) -> None:
    """Nothing happens while nothing changes."""
    watcher, changes = watched
    assert [watcher.check() for _ in range(3)] == [False, False, False]
    assert changes == []


def test_a_good_change_is_applied_once_it_is_stable(place: Place, watched: Watched) -> None:
    """A change is applied at the second look at the same file, and once."""
    watcher, changes = watched
    place.write(config(maxRuns=7))
    assert [watcher.check() for _ in range(3)] == [False, True, False]
    assert [(settings.gateway.max_runs, restart) for settings, restart in changes] == [(7, ())]


def test_a_file_still_growing_is_left_alone(place: Place, watched: Watched) -> None:
    """A file that differs at every look is not read."""
    watcher, changes = watched
    for size in range(4):
        place.file.write_text("{" + " " * size)
        assert not watcher.check()
    assert changes == []


def test_keys_that_need_a_restart_are_named(place: Place, watched: Watched) -> None:
    """Where the gateway listens and stores can't change under it: those keys are named."""
    watcher, changes = watched
    document = config(port=4000, bind="custom", customBindHost="127.0.0.2")
    place.write({**document, "storage": {"url": "sqlite:////x"}, "cluster": {"redisUrl": "redis://x"}})
    watcher.check(), watcher.check()
    assert changes[0][1] == (
        "gateway.port",
        "gateway.bind",
        "gateway.customBindHost",
        "storage.url",
        "cluster.redisUrl",
    )


def test_a_bad_change_is_logged_and_the_good_one_stays(
    place: Place, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Every fault is logged, once, and nothing is applied; the mended file is."""
    watcher, changes = watched
    place.write({"gateway": {"auth": {"token": "t"}, "port": "x", "bind": "y"}})
    assert [watcher.check() for _ in range(4)] == [False] * 4
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [line.partition(":")[0] for line in errors[1:]] == ["gateway.port", "gateway.bind"]
    assert changes == []
    place.write(config(maxRuns=8))
    watcher.check(), watcher.check()
    assert changes[0][0].gateway.max_runs == 8


def test_a_file_replaced_by_rename_is_noticed(place: Place, watched: Watched) -> None:
    """An editor that writes beside the file and renames is seen, even with the same size and time."""
    watcher, changes = watched
    before = place.file.stat()
    draft = place.file.with_suffix(".draft")
    draft.write_text(place.file.read_text())
    os.utime(draft, ns=(before.st_atime_ns, before.st_mtime_ns))
    draft.replace(place.file)
    watcher.check(), watcher.check()
    assert len(changes) == 1


def test_a_file_that_keeps_its_time_and_size_is_noticed(place: Place, watched: Watched) -> None:
    """What is written into the same file is seen, also by a program that puts the file's time back."""
    watcher, changes = watched
    before = place.file.stat()
    place.file.write_text(place.file.read_text().replace('"t"', '"u"'))
    os.utime(place.file, ns=(before.st_atime_ns, before.st_mtime_ns))
    watcher.check(), watcher.check()
    assert [settings.gateway.auth.token for settings, _ in changes] == ["u"]


def test_rights_that_are_mended_are_noticed(place: Place, watched: Watched) -> None:
    """A file that could not be read is read as soon as its rights are right, though nobody writes it."""
    watcher, _ = watched
    before = watcher.check(), watcher.check()
    place.file.chmod(0o640)
    assert (*before, watcher.check(), watcher.check()) == (False, False, False, True)


def test_a_vanished_file_is_logged_once(place: Place, watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    """Without its file the gateway goes on as it is, says so once, and takes the file back."""
    watcher, changes = watched
    place.file.unlink()
    assert [watcher.check() for _ in range(3)] == [False] * 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert changes == []
    place.write(config(maxRuns=9))
    watcher.check(), watcher.check()
    assert changes[0][0].gateway.max_runs == 9


def test_mode_off_ends_the_watch(place: Place, watched: Watched) -> None:
    """gateway.reload.mode "off" is obeyed, also when a change brings it."""
    watcher, changes = watched
    place.write(config(reload={"mode": "off"}))
    naps: list[float] = []
    watcher.run(naps.append)
    assert naps == [0.5, 0.5]
    assert len(changes) == 1


def fail(_: Settings) -> None:
    raise RuntimeError("this part is broken")


def test_live_settings_tell_every_subscriber(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Each part hears of new settings, even when another part fails on them."""
    first, second = place.load({}), place.load({})
    live = LiveSettings(first)
    heard: list[Settings] = []
    live.subscribe(fail)
    live.subscribe(heard.append)
    live.replace(second)
    assert live.current is second
    assert heard == [second]
    assert "could not take the new configuration" in caplog.text


@pytest.fixture
def parted(place: Place) -> Watched:
    (place.state_dir / "base.json5").write_text("{gateway: {maxRuns: 5}}")
    (place.state_dir / "token.txt").write_text("a-first-token")
    place.write(
        {
            "$include": "base.json5",
            "gateway": {"auth": {"token": {"source": "file", "id": "token.txt"}}},
            "agents": {"defaults": {"systemPrompt": "${A}"}},
            "env": {"A": "of the file"},
        }
    )
    environment = place.environment()
    changes: list[tuple[Settings, tuple[str, ...]]] = []
    return ConfigWatcher(environment, load(environment), lambda *change: changes.append(change)), changes


def test_a_change_of_any_file_is_applied(place: Place, parted: Watched) -> None:
    """Included files, files of secrets and .env, which wasn't there before, are watched as the main file is."""
    watcher, changes = parted
    assert [watcher.check() for _ in range(2)] == [False, False]
    for name, text in [
        ("base.json5", "{gateway: {maxRuns: 77}}"),
        (".env", "A=of .env"),
        ("token.txt", "another-token"),
    ]:
        (place.state_dir / name).write_text(text)
        assert [watcher.check() for _ in range(4)] in ([False, True, False, False], [False, False, True, False])
    (place.state_dir / ".env").unlink()
    assert [watcher.check() for _ in range(3)] == [False, True, False]
    said = [(new.gateway.max_runs, new.agents["main"].system_prompt, new.gateway.auth.token) for new, _ in changes]
    assert said == [
        (77, "of the file", "a-first-token"),
        (77, "of .env", "a-first-token"),
        (77, "of .env", "another-token"),
        (77, "of the file", "another-token"),
    ]


@pytest.mark.parametrize("half", ["{gateway: {maxRuns:", "", None])
def test_a_half_written_part_keeps_the_good_configuration(place: Place, parted: Watched, half: str | None) -> None:
    """One that is gone, too; once it is whole it is applied."""
    watcher, changes = parted
    path = place.state_dir / "base.json5"
    path.unlink() if half is None else path.write_text(half)
    assert [watcher.check() for _ in range(4)] == [False] * 4
    path.write_text("{gateway: {maxRuns: 78}}")
    assert [watcher.check() for _ in range(3)] == [False, True, False]
    assert [new.gateway.max_runs for new, _ in changes] == [78]


def test_files_of_a_failed_load_are_watched(place: Place, parted: Watched) -> None:
    """Both what it missed and what the last good one was made of may mend it."""
    watcher, changes = parted
    good = place.file.read_text()
    place.write('{"$include": ["gone.json5"]}')
    assert [watcher.check() for _ in range(3)] == [False] * 3
    (place.state_dir / "gone.json5").write_text("{gateway: {auth: {token: 't'}, maxRuns: 9}}")
    assert [watcher.check() for _ in range(3)] == [False, True, False]
    place.write(good)
    assert [watcher.check() for _ in range(3)] == [False, True, False]
    assert [new.gateway.max_runs for new, _ in changes] == [9, 5]


def test_a_change_between_load_and_watch_is_seen(place: Place) -> None:
    """What counts is the file as it was read, not as it was when the watch began."""
    place.write(config())
    environment = place.environment()
    settings = load(environment)
    place.write(config(maxRuns=7))
    changes: list[int] = []
    watcher = ConfigWatcher(environment, settings, lambda new, _: changes.append(new.gateway.max_runs))
    assert [watcher.check() for _ in range(3)] == [False, True, False]
    assert changes == [7]


def test_without_a_main_file_dotenv_is_watched(place: Place) -> None:
    """A gateway that was started without a file goes on without, and takes what .env says."""
    environment = place.environment(OPENCLAW_GATEWAY_TOKEN="t")
    changes: list[int] = []
    watcher = ConfigWatcher(environment, load(environment), lambda new, _: changes.append(new.gateway.port))
    (place.state_dir / ".env").write_text("OPENCLAW_GATEWAY_PORT=4001")
    assert [watcher.check() for _ in range(3)] == [False, True, False]
    assert changes == [4001]
