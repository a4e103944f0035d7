import os
import stat
from pathlib import Path

import pytest

from app.config import ConfigError, load, onboard, read_environment
from tests.config.conftest import Place


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_config_serves_main_with_the_local_model(place: Place) -> None:
    """What onboarding writes loads without a warning: endpoint on, agent main, local model, a long token."""
    environment = place.environment()
    assert onboard(environment) == place.file
    settings = load(environment)
    assert settings.warnings == ()
    assert settings.gateway.chat_completions.enabled
    assert settings.default_agent == "main"
    assert settings.agents["main"].model.primary == "local/smollm2-135m"
    assert settings.gateway.auth.mode == "token"
    assert len(settings.gateway.auth.token or "") == 48


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """The file is 0600 and a new state dir 0700, whatever the umask."""
    old = os.umask(0)
    try:
        path = onboard(read_environment({"OPENCLAW_STATE_DIR": str(tmp_path / "a" / "state")}))
    finally:
        os.umask(old)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_tokens_differ(tmp_path: Path) -> None:
    """No two installations share a token."""
    environments = [read_environment({"OPENCLAW_STATE_DIR": str(tmp_path / name)}) for name in "ab"]
    tokens = {load(environment).gateway.auth.token for environment in environments if onboard(environment)}
    assert len(tokens) == 2


def test_an_existing_config_is_left_alone(place: Place) -> None:
    """Even an empty file or a dangling link is never overwritten."""
    place.file.write_text("")
    with pytest.raises(FileExistsError):
        onboard(place.environment())
    assert place.file.read_text() == ""
    place.file.unlink()
    place.file.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        onboard(place.environment())
    assert os.readlink(place.file) == "nowhere"


def test_a_faster_onboarding_wins(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config that appears while ours is written stays, and no draft is left."""
    monkeypatch.setattr(os, "fsync", lambda _: place.file.write_text("theirs"))
    with pytest.raises(FileExistsError):
        onboard(place.environment())
    assert [path.read_text() for path in place.state_dir.iterdir()] == ["theirs"]


def test_a_failed_write_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves no half-written config."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        onboard(place.environment())
    assert list(place.state_dir.iterdir()) == []


def test_a_faulty_environment_is_refused(place: Place) -> None:
    """Nothing is written while a variable is wrong."""
    with pytest.raises(ConfigError, match="OPENCLAW_GATEWAY_PORT"):
        onboard(place.environment(OPENCLAW_GATEWAY_PORT="x"))
    assert not place.file.exists()
