import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.config import config

GOOD = {"gateway": {"auth": {"token": "must-not-show"}}}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG_PATH", "GATEWAY_TOKEN", "GATEWAY_PASSWORD", "GATEWAY_PORT"):
        monkeypatch.delenv(f"OPENCLAW_{name}", raising=False)
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path))


def validate(*arguments: str) -> Result:
    return CliRunner().invoke(config, ["validate", *arguments])


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


def test_a_good_file_is_valid(tmp_path: Path) -> None:
    """The file in use is checked, and its path printed."""
    path = write(tmp_path / "openclaw.json", GOOD)
    result = validate()
    assert (result.exit_code, result.stdout) == (0, f"{path}: valid\n")


def test_another_file_may_be_checked(tmp_path: Path) -> None:
    """PATH takes the place of the file in use, and warnings are printed."""
    path = write(tmp_path / "other.json", {**GOOD, "channels": {}})
    result = validate(str(path))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{path}: valid\nwarning: {path} has OpenClaw settings")


def test_every_fault_is_a_line(tmp_path: Path) -> None:
    """Faults go to stderr, one a line, and the exit code is 1."""
    write(tmp_path / "openclaw.json", {"gateway": {**GOOD["gateway"], "port": "x", "bind": "y", "prot": 1}})
    result = validate()
    assert (result.exit_code, result.stdout) == (1, "")
    assert sorted(line.partition(":")[0] for line in result.stderr.splitlines()) == [
        "gateway.bind",
        "gateway.port",
        "gateway.prot",
    ]
    assert "must-not-show" not in result.output


@pytest.mark.parametrize("name", ["missing.json", "folder"])
def test_what_can_not_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    """A missing file or a folder is one clear line."""
    (tmp_path / "folder").mkdir()
    result = validate(str(tmp_path / name))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{tmp_path / name}: ")
    assert len(result.stderr.splitlines()) == 1


def test_no_config_at_all_says_how_to_begin(tmp_path: Path) -> None:
    """On a fresh machine the line names the path and the command."""
    result = validate()
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{tmp_path / 'openclaw.json'}: not found; run `.venv/bin/python -m app onboard`")
