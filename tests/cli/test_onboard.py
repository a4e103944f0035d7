import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.onboard import onboard
from app.config import load, read_environment
from app.providers.local import library


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG_PATH", "GATEWAY_TOKEN", "GATEWAY_PASSWORD", "GATEWAY_PORT"):
        monkeypatch.delenv(f"OPENCLAW_{name}", raising=False)
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path / "state"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(onboard, arguments)


def token() -> str:
    return load(read_environment()).gateway.auth.token or ""


def test_it_says_where_things_are(tmp_path: Path) -> None:
    """The file, where the token is and what comes next are printed, the token itself isn't."""
    result = run()
    path = tmp_path / "state" / "openclaw.json"
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:3] == [
        f"config:  {path}",
        "address: http://127.0.0.1:18789",
        f"token:   in {path}",
    ]
    assert token() not in result.output


def test_the_curl_line_brings_its_own_secret(tmp_path: Path) -> None:
    """The line can be pasted in any folder and shell: what stands in for the secret prints it."""
    line = next(line for line in run().stdout.splitlines() if line.startswith("curl "))
    command = line.partition("Bearer $(")[2].partition(')"')[0]
    printed = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert printed.stdout == f"{token()}\n"


def test_the_token_shows_on_demand() -> None:
    """--show-token prints it."""
    shown = run("--show-token").stdout
    assert f"token:   {token()}\n" in shown


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    """An existing config is named, left untouched, and no error."""
    run()
    path = tmp_path / "state" / "openclaw.json"
    before = path.read_bytes()
    result = run()
    assert result.exit_code == 0
    assert "exists, left as it is" in result.stdout
    assert path.read_bytes() == before


def test_a_token_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins over the file, and the command says so."""
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", "from-outside")
    result = run()
    assert "OPENCLAW_GATEWAY_TOKEN, which wins" in result.stdout
    assert "from-outside" not in result.output


def test_a_state_dir_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    """What can't be written is one clear line and exit code 1."""
    (tmp_path / "state").write_text("")
    result = run()
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{tmp_path / 'state'}: can't be written: Not a directory\n"


def test_a_bad_variable_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong variable is named before anything is written."""
    monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", "x")
    result = run()
    assert result.exit_code == 1
    assert result.stderr.startswith("OPENCLAW_GATEWAY_PORT: ")


# The library of the model on board.

OTHER_MODEL = (
    '{gateway: {auth: {token: "t"}}, models: {providers: {mine: {baseUrl: "http://127.0.0.1:1/v1"}}}, '
    'agents: {defaults: {model: "mine/m"}}}'
)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "LIBRARY", "libmissing.so.1")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "state" / "openclaw.json"
    path.parent.mkdir(mode=0o700)
    path.write_text(text)
    return path


@pytest.mark.usefixtures("no_library")
def test_a_missing_library_is_told() -> None:
    """One line says what is missing and what to do, and the configuration is written all the same."""
    result = run()
    [line] = [line for line in result.stdout.splitlines() if line.startswith("missing: ")]
    assert ("libmissing.so.1" in line, "apt-get install libgomp1" in line) == (True, True)
    assert (result.exit_code, token() != "") == (0, True)


@pytest.mark.usefixtures("no_library")
def test_other_models_miss_nothing(tmp_path: Path) -> None:
    """Who uses none of the model on board is not told of its library."""
    write(tmp_path, OTHER_MODEL)
    assert "missing: " not in run().stdout


@pytest.mark.usefixtures("no_library")
@pytest.mark.parametrize(
    ("config", "packages"),
    [
        (None, "libgomp1\n"),
        ('{gateway: {auth: {token: "t"}}}', "libgomp1\n"),
        (OTHER_MODEL.replace('"mine/m"', '{primary: "mine/m", fallbacks: ["local/smollm2-135m"]}'), "libgomp1\n"),
        (OTHER_MODEL, ""),
        (OTHER_MODEL.replace("mine", "local"), ""),
        ("{", ""),
    ],
    ids=["none yet", "default model", "fallback", "other model", "own server called local", "faulty"],
)
def test_the_packages_that_are_lacking(tmp_path: Path, config: str | None, packages: str) -> None:
    """--lacking prints them for a script where the model on board is used or will be, and writes nothing."""
    if config is not None:
        write(tmp_path, config)
    result = run("--lacking")
    assert (result.exit_code, result.output) == (0, packages)
    assert (tmp_path / "state").exists() == (config is not None)


def test_nothing_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """--lacking prints nothing where the library is there."""
    monkeypatch.setattr(library, "LIBRARY", None)  # the program itself, which always can be loaded
    assert run("--lacking").output == ""
