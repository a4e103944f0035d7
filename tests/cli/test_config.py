import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.config import config
from tests.cli.conftest import Cli
from tests.conftest import StartGateway
from tests.live.gateway import TOKEN, Gateway

GOOD = {"gateway": {"auth": {"token": "must-not-show"}}}
COMMENTED = """\
// mine
{
  gateway: {
    port: 18789, // the usual one
    auth: { token: "must-not-show" },
  },
  agents: { list: [{ id: "main" }] },
}
"""


@pytest.fixture
def state(clean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(config, arguments)


def write(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(0o600)
    return path


@pytest.fixture
def file(state: Path) -> Path:
    return write(state / "openclaw.json", COMMENTED)


# validate


def test_a_good_file_is_valid(state: Path) -> None:
    """The file in use is checked, and its path printed."""
    path = write(state / "openclaw.json", GOOD)
    result = run("validate")
    assert (result.exit_code, result.stdout) == (0, f"{path}: valid\n")


def test_another_file_may_be_checked(state: Path) -> None:
    """PATH takes the place of the file in use, and warnings are printed."""
    path = write(state / "other.json", {**GOOD, "channels": {}})
    result = run("validate", str(path))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{path}: valid\nwarning: {path} has OpenClaw settings")


def test_every_fault_is_a_line(state: Path) -> None:
    """Faults go to stderr, one a line, and the exit code is 1."""
    write(state / "openclaw.json", {"gateway": {**GOOD["gateway"], "port": "x", "bind": "y", "prot": 1}})
    result = run("validate")
    assert (result.exit_code, result.stdout) == (1, "")
    assert sorted(line.partition(":")[0] for line in result.stderr.splitlines()) == [
        "gateway.bind",
        "gateway.port",
        "gateway.prot",
    ]
    assert "must-not-show" not in result.output


@pytest.mark.parametrize("name", ["missing.json", "folder"])
def test_what_can_not_be_read_is_one_line(state: Path, name: str) -> None:
    """A missing file or a folder is one clear line."""
    (state / "folder").mkdir()
    result = run("validate", str(state / name))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{state / name}: ")
    assert len(result.stderr.splitlines()) == 1


def test_no_config_at_all_says_how_to_begin(state: Path) -> None:
    """On a fresh machine the line names the path and the command."""
    result = run("validate")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{state / 'openclaw.json'}: not found; run `.venv/bin/python -m app onboard`")


def test_validate_as_json(state: Path) -> None:
    """Valid or not, with faults and warnings, and the same exit code."""
    path = write(state / "openclaw.json", {**GOOD, "channels": {}})
    told = json.loads(run("validate", "--json").stdout)
    assert (told["path"], told["valid"], told["faults"], len(told["warnings"])) == (str(path), True, [], 1)
    write(path, {"gateway": {"port": "x"}})
    result = run("validate", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["valid"]) == (1, False)
    assert told["faults"][0].startswith("gateway.")


EXPLAINED = {"gateway": {"token": "must-not-show", "bind": "tailnet"}, "channels": {}}


def test_each_key_is_explained(state: Path) -> None:
    """A line for each, of its path and what becomes of it, and none of its value."""
    path = write(state / "openclaw.json", {**EXPLAINED, "meta": {"lastTouchedVersion": "2026.9.6"}})
    result = run("validate", "--explain")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{path}: valid",
        "gateway.token: read as gateway.auth.token",
        'gateway.bind: stricter: taken as "loopback"',
        "channels: ignored: nothing here that it could narrow",
        "meta: ignored: neutral",
    ]
    told = json.loads(run("validate", str(path), "--explain", "--json").stdout)
    assert (told["path"], told["valid"], len(told["keys"])) == (str(path), True, 4)
    assert told["keys"][1] == {"path": "gateway.bind", "what": "stricter", "said": 'stricter: taken as "loopback"'}


def test_faults_are_explained(state: Path) -> None:
    """They are lines too, without what was found, and the exit code is 1."""
    write(state / "openclaw.json", {"gateway": {**GOOD["gateway"], "port": "must-not-show"}})
    result = run("validate", "--explain")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("gateway.port: refused: allowed: ")
    as_json = run("validate", "--explain", "--json")
    told = json.loads(as_json.stdout)
    assert (as_json.exit_code, told["valid"], [key["what"] for key in told["keys"]]) == (1, False, ["refused"])
    assert "must-not-show" not in result.output + as_json.output


@pytest.mark.parametrize("command", [["validate", "--explain"], ["migrate"]])
def test_only_files_of_this_machine_are_explained_and_migrated(state: Path, command: list[str]) -> None:
    """With --url they are usage errors that say so."""
    result = run(*command, "--url", "ws://127.0.0.1:1")
    assert result.exit_code == 2
    assert "a file of this machine is" in result.stderr


# migrate

OLD = """\
{
  // from long ago
  gateway: { token: "must-not-show" }, // mine
}
"""
TODAYS = """\
{
  // from long ago
  gateway: { auth: { token: "must-not-show", mode: "token" } }, // mine
}
"""


def test_a_file_is_migrated(state: Path) -> None:
    """It has today's keys, each move is told, and the old one is beside it; a second time there is nothing to do."""
    path = write(state / "openclaw.json", OLD)
    result = run("migrate")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "gateway.token is now gateway.auth.token",
        f"{path}: written; the file of before is {path}.bak",
    ]
    assert (path.read_text(), (state / "openclaw.json.bak").read_text()) == (TODAYS, OLD)
    before = path.stat()
    again = run("migrate")
    assert (again.exit_code, again.stdout) == (0, f"{path}: nothing to move, every key is one of today\n")
    assert path.stat() == before


def test_a_dry_run_writes_nothing(state: Path) -> None:
    """The new text is on stdout, without its secrets; the moves are beside it."""
    path = write(state / "openclaw.json", OLD)
    result = run("migrate", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, TODAYS.replace("must-not-show", "__OPENCLAW_REDACTED__"))
    assert result.stderr == "gateway.token is now gateway.auth.token\n"
    told = json.loads(run("migrate", "--dry-run", "--json").stdout)
    assert told == {
        "path": str(path),
        "written": False,
        "moves": [{"from": "gateway.token", "to": "gateway.auth.token"}],
        "text": result.stdout,
    }
    assert path.read_text() == OLD
    assert [each.name for each in state.iterdir()] == ["openclaw.json"]


def test_a_migration_as_json(state: Path) -> None:
    """The moves, and whether they were written."""
    write(state / "openclaw.json", OLD)
    first, second = (json.loads(run("migrate", "--json").stdout) for _ in range(2))
    assert (first["written"], len(first["moves"]), second["written"], second["moves"]) == (True, 1, False, [])


def test_a_faulty_file_is_not_migrated(state: Path) -> None:
    """Its faults are told, the exit code is 1, and it stays as it was."""
    path = write(state / "openclaw.json", {"gateway": {"token": "must-not-show", "port": "x"}})
    before = path.read_text()
    result = run("migrate")
    assert (result.exit_code, result.stdout, path.read_text()) == (1, "", before)
    assert result.stderr.startswith("gateway.port: ")
    assert [each.name for each in state.iterdir()] == ["openclaw.json"]


def test_a_link_s_target_is_migrated(state: Path) -> None:
    """The link stays one, and the message names the file that the old text is in."""
    target = write(state / "real.json", OLD)
    (state / "openclaw.json").symlink_to(target)
    result = run("migrate")
    assert result.stdout.endswith(f"the file of before is {target}.bak\n")
    assert (state / "openclaw.json").is_symlink()
    assert (target.read_text(), (state / "real.json.bak").read_text()) == (TODAYS, OLD)


def test_a_folder_is_not_migrated(state: Path) -> None:
    """What can't be read is one line."""
    (state / "openclaw.json").mkdir()
    result = run("migrate")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_without_a_file_there_is_nothing_to_migrate(state: Path) -> None:
    """One line says how to begin."""
    result = run("migrate")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "onboard" in result.stderr


# get


def test_the_whole_is_shown_without_its_secrets(file: Path) -> None:
    """As it is written, comments and all."""
    assert run("get").stdout == COMMENTED.replace("must-not-show", "__OPENCLAW_REDACTED__")
    assert run("get", "--show-secrets").stdout == COMMENTED


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("gateway.port", "18789\n", 18789),
        ("agents.list[0].id", "main\n", "main"),
        ("gateway.auth.token", "__OPENCLAW_REDACTED__\n", "__OPENCLAW_REDACTED__"),
    ],
)
def test_one_value_is_shown(file: Path, path: str, text: str, value: object) -> None:
    """Text as it is, all else as JSON; with --json text, too."""
    assert run("get", path).stdout == text
    assert json.loads(run("get", path, "--json").stdout) == value


def test_a_value_that_is_not_there(file: Path) -> None:
    """One line and exit code 1; what is no path at all is exit code 2."""
    result = run("get", "session.queueLimit")
    assert (result.exit_code, result.stderr) == (1, f"session.queueLimit: not set in {file}\n")
    assert run("get", "a[").exit_code == 2


def test_without_a_file_nothing_is_shown(state: Path) -> None:
    """And how to begin is told."""
    result = run("get")
    assert (result.exit_code, "onboard" in result.stderr) == (1, True)


# set, unset


@pytest.mark.parametrize(
    ("path", "given", "value"),
    [
        ("gateway.port", "4000", 4000),
        ("agents.list[0].systemPrompt", "Be short.", "Be short."),
        ("agents.list[0].systemPrompt", '"42"', "42"),
        ("tools", "{profile: 'coding', deny: ['exec']}", {"profile": "coding", "deny": ["exec"]}),
        ("gateway.controlUi.enabled", "false", False),
    ],
    ids=["a number", "plain text", "text in quotes", "an object", "a boolean"],
)
def test_a_value_is_set(file: Path, path: str, given: str, value: object) -> None:
    """JSON5, or text where it is none; comments stay."""
    result = run("set", path, given)
    assert (result.exit_code, result.stdout) == (0, f"{path} is set in {file}\n")
    assert json.loads(run("get", path, "--json").stdout) == value
    text = file.read_text()
    assert "// mine" in text
    assert "// the usual one" in text
    assert "must-not-show" in text


def test_a_wrong_value_is_not_written(file: Path) -> None:
    """Each fault is a line, the exit code is 1, and the file is as it was."""
    result = run("set", "gateway.port", "x")
    assert (result.exit_code, result.stderr) == (1, 'gateway.port: found "x"; allowed: an integer from 1 to 65535\n')
    assert file.read_text() == COMMENTED


def test_a_secret_that_is_set_is_not_shown(file: Path) -> None:
    """Nor when it is wrong."""
    result = run("set", "gateway.auth.token", "another-must-not-show", "--json")
    assert json.loads(result.stdout) == {"path": str(file), "key": "gateway.auth.token"}
    assert "another" not in run("set", "gateway.auth.mode", "another").stdout
    assert run("get", "gateway.auth.token", "--show-secrets").stdout == "another-must-not-show\n"


def test_a_value_is_taken_out(file: Path) -> None:
    """Its default applies then; what isn't there can't be."""
    assert run("unset", "gateway.port").stdout == f"gateway.port is taken out in {file}\n"
    assert run("get", "gateway.port").exit_code == 1
    assert run("unset", "gateway.port").exit_code == 1


@pytest.mark.parametrize("change", [("set", "gateway.port", "3"), ("unset", "gateway.port"), ("set", "gateway", "{}")])
def test_a_name_that_stands_twice_can_be_mended(state: Path, change: tuple[str, ...]) -> None:
    """Nothing loads such a file; setting or taking out the key makes it one that loads."""
    path = write(state / "openclaw.json", "{logging: {}, agents: {}, gateway: {port: 1, port: 2}, env: {A: 1}}")
    write(state / ".env", "OPENCLAW_GATEWAY_TOKEN=from-dotenv")
    assert "gateway.port (openclaw.json:1:46): found a second time" in run("validate").stderr
    assert run("set", "logging.level", "warn").exit_code == 1
    assert run(*change).exit_code == 0
    assert run("validate").stdout == f"{path}: valid\n"


def test_variables_are_not_shown(state: Path) -> None:
    """Of env neither a value at the top nor one in vars; what ${NAME} stands for in neither."""
    write(
        state / "openclaw.json",
        "{env: {A: 'must-not-show-1', vars: {B: 'must-not-show-2'}}, gateway: {auth: {token: '${A}'}}}",
    )
    assert run("validate").exit_code == 0
    for path in ("env", "env.A", "env.vars", "env.vars.B", "gateway.auth.token"):
        result = run("get", path)
        assert (result.exit_code, "must-not-show" in result.stdout) == (0, False)
    assert run("secret").stdout == "must-not-show-1\n"


def test_a_file_that_includes_another_is_changed(state: Path) -> None:
    """The change stays in the main file, and what is shown is that file."""
    write(state / "base.json5", "{gateway: {auth: {token: 'must-not-show'}, port: 4000}}")
    path = write(state / "openclaw.json", "{ $include: './base.json5' }")
    assert run("set", "gateway.maxRuns", "5").exit_code == 0
    assert path.read_text() == "{ $include: './base.json5', gateway: { maxRuns: 5 } }"
    assert run("get").stdout == path.read_text() + "\n"
    assert run("secret").stdout == "must-not-show\n"
    write(state / "base.json5", "{gateway: {auth: {token: 'must-not-show'},\nport: 'x'}}")
    assert run("validate").stderr == ('gateway.port (base.json5:2): found "x"; allowed: an integer from 1 to 65535\n')


def test_the_first_value_makes_the_file(state: Path) -> None:
    """Its owner's alone."""
    assert run("set", "gateway.auth.token", "a-first-secret-01").exit_code == 0
    assert (state / "openclaw.json").stat().st_mode & 0o777 == 0o600


# path, secret


def test_the_path_is_printed(state: Path) -> None:
    """Whether there is a file or not."""
    assert run("path").stdout == f"{state / 'openclaw.json'}\n"
    assert json.loads(run("path", "--json").stdout) == {"path": str(state / "openclaw.json")}


def test_the_secret_is_printed(file: Path) -> None:
    """For scripts; where there is none, that is told."""
    assert run("secret").stdout == "must-not-show\n"
    write(file, {"gateway": {"auth": {"mode": "none"}}})
    assert (run("secret").exit_code, "no secret" in run("secret").stderr) == (1, True)


# through a gateway


@pytest.fixture
def own(start_gateway: StartGateway, clean: None) -> Gateway:
    return start_gateway()


def through(gateway: Gateway, *arguments: str) -> Result:
    return run(*arguments, "--url", gateway.url, "--token", TOKEN)


def test_a_gateways_configuration_is_shown(cli: Cli, gateway: Gateway) -> None:
    """Without its secrets, whatever is asked for."""
    assert cli("config", "get", "agents.list[1].id").stdout == "beta\n"
    assert cli("config", "get", "gateway.auth.token").stdout == "__OPENCLAW_REDACTED__\n"
    assert cli("config", "get", "--show-secrets").exit_code == 2
    assert cli("config", "path").stdout == f"{gateway.config_path}\n"
    assert cli("config", "validate").stdout == f"{gateway.config_path}: valid\n"


def test_a_gateways_configuration_is_changed(own: Gateway) -> None:
    """The secrets that weren't shown stay."""
    result = through(own, "set", "session.queueLimit", "3")
    assert (result.exit_code, result.stdout) == (0, f"session.queueLimit is set in {own.config_path}\n")
    assert through(own, "unset", "agents.list[1]").exit_code == 0
    document = json.loads(own.config_path.read_text())
    assert document["session"]["queueLimit"] == 3
    assert [agent["id"] for agent in document["agents"]["list"]] == ["main"]
    assert document["gateway"]["auth"]["token"] == TOKEN


def test_what_a_gateway_does_not_take_is_told(own: Gateway) -> None:
    """Exit code 1, as for the file of this machine; nothing is written."""
    before = own.config_path.read_text()
    result = through(own, "set", "gateway.port", "x")
    assert (result.exit_code, "gateway.port: found" in result.stderr) == (1, True)
    assert own.config_path.read_text() == before


def test_a_gateways_unreadable_file_is_not_replaced(own: Gateway) -> None:
    """Of it nothing can be shown, and what would be made of nothing is not written."""
    own.config_path.write_text("{ broken")
    result = through(own, "set", "session.queueLimit", "3")
    assert (result.exit_code, "openclaw.json:1:" in result.stderr) == (1, True)
    assert own.config_path.read_text() == "{ broken"
    assert through(own, "validate").exit_code == 1
