import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.agents.tools import sandbox
from app.agents.tools.sandbox import NoSandbox, Sandbox
from app.cli.doctor import doctor


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A healthy installation."""
    for name in ("CONFIG_PATH", "GATEWAY_TOKEN", "GATEWAY_PASSWORD", "GATEWAY_PORT"):
        monkeypatch.delenv(f"OPENCLAW_{name}", raising=False)
    state = tmp_path / "the state"
    state.mkdir(mode=0o700)
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(state))
    write(state, {"gateway": {"auth": {"token": "must-not-show"}}})
    monkeypatch.setattr(sandbox, "find", lambda: Sandbox("/usr/bin/bwrap"))
    return state


def write(state: Path, document: object) -> None:
    path = state / "openclaw.json"
    path.write_text(json.dumps(document))
    path.chmod(0o600)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(doctor, arguments)
    assert "must-not-show" not in result.output
    return result


def test_all_is_well(state: Path) -> None:
    """Each check is a line, and the exit code is 0."""
    result = run()
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"ok    configuration: {state}/openclaw.json is valid",
        f"ok    state folder: {state} is private",
        "ok    sandbox: commands run in bubblewrap (/usr/bin/bwrap)",
    ]


def test_each_fault_of_the_configuration_is_a_line(state: Path) -> None:
    """Faults fail, and the other checks are made all the same."""
    write(state, {"gateway": {"auth": {"token": "must-not-show"}, "port": "x", "bind": "y"}})
    result = run()
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert sorted(line.split()[2] for line in lines[:2]) == ["gateway.bind:", "gateway.port:"]
    assert [line[:4] for line in lines] == ["FAIL", "FAIL", "ok  ", "ok  "]


def test_warnings_of_the_configuration(state: Path) -> None:
    """A valid file with warnings is a warning that says where to read them."""
    write(state, {"gateway": {"auth": {"token": "must-not-show"}}, "channels": {}})
    result = run()
    assert result.exit_code == 0
    assert result.stdout.startswith(f"warn  configuration: {state}/openclaw.json is valid, warnings: 1; ")
    assert "config validate" in result.stdout


def test_an_open_state_folder(state: Path) -> None:
    """Others who may look into it fail the check; the remedy can be pasted."""
    state.chmod(0o750)
    result = run()
    assert result.exit_code == 1
    assert f"FAIL  state folder: {state} is open to other users: chmod 700 '{state}'\n" in result.stdout


@pytest.mark.parametrize(("place", "said"), [("missing", "does not exist"), ("file", "is not a folder")])
def test_no_state_folder(state: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str) -> None:
    """One that is missing, or a file, fails and says so."""
    (state / "file").touch()
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(state / place))
    monkeypatch.setenv("OPENCLAW_CONFIG_PATH", str(state / "openclaw.json"))
    result = run()
    assert result.exit_code == 1
    assert f"FAIL  state folder: {state / place} {said}: " in result.stdout


def test_a_missing_sandbox_is_a_warning(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reason and remedy are told, and the exit code stays 0."""
    monkeypatch.setattr(sandbox, "find", lambda: NoSandbox("no bubblewrap", "install it"))
    result = run()
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == (
        "warn  sandbox: no bubblewrap, so commands run with the gateway's rights: install it"
    )


def test_json(state: Path) -> None:
    """--json is the same for a script."""
    state.chmod(0o755)
    result = run("--json")
    assert result.exit_code == 1
    findings = json.loads(result.stdout)
    assert [(finding["check"], finding["status"]) for finding in findings] == [
        ("configuration", "warn"),
        ("state folder", "FAIL"),
        ("sandbox", "ok"),
    ]
    assert all(finding["text"] for finding in findings)


def test_it_is_a_command_of_the_app() -> None:
    """``python -m app doctor`` is there."""
    from app.cli import main

    assert main.commands["doctor"] is doctor
