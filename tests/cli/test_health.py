import json
from pathlib import Path

from click.testing import CliRunner, Result

from app.cli import main
from tests.cli.conftest import Cli
from tests.conftest import StartGateway
from tests.live.gateway import TOKEN, Gateway


def ask(gateway: Gateway, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--url", gateway.url, "--token", TOKEN])


def without_model(start_gateway: StartGateway, tmp_path: Path) -> Gateway:
    """A gateway whose model on board can't be loaded."""
    broken = tmp_path / "modules"
    broken.mkdir()
    (broken / "xllamacpp.py").write_text("raise ImportError('broken')")
    return start_gateway(
        agents={"list": [{"id": "main", "model": "local/smollm2-135m"}]}, env={"PYTHONPATH": str(broken)}
    )


def test_a_gateway_that_is_well(cli: Cli) -> None:
    """One line and exit code 0; as JSON the protocol's health with what fails."""
    result = cli("health")
    assert (result.exit_code, " is well: 2 agents, " in result.stdout) == (0, True)
    told = json.loads(cli("health", "--json").stdout)
    assert (told["ok"], told["failing"], told["defaultAgentId"]) == (True, [], "main")


def test_a_gateway_that_is_not_well(start_gateway: StartGateway, tmp_path: Path) -> None:
    """What ails it is named, with exit code 1; status tells it, too, and is well all the same."""
    gateway = without_model(start_gateway, tmp_path)
    result = ask(gateway, "health")
    assert (result.exit_code, result.stdout) == (1, f"ws://127.0.0.1:{gateway.port} is not well: local-model\n")
    result = ask(gateway, "health", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["ok"], told["failing"]) == (1, False, ["local-model"])
    result = ask(gateway, "status")
    assert (result.exit_code, "not well:" in result.stdout) == (0, True)


def test_status_says_what_a_gateway_does(cli: Cli, gateway: Gateway) -> None:
    """Where it is, its runs, its sessions, what was used."""
    assert cli("agent", "--session-key", "status", "--message", "hi").exit_code == 0
    out = cli("status").stdout
    facts = {line.partition(":")[0]: line.partition(":")[2].strip() for line in out.splitlines() if ":" in line}
    assert facts["gateway"].startswith(f"ws://127.0.0.1:{gateway.port}, version ")
    assert facts["runs"] == "0 of 2000"
    assert facts["model"] == "scripted/m"
    assert int(facts["today"].split()[1].rstrip(";,")) >= 1
    told = json.loads(cli("status", "--json").stdout)
    assert {"url", "protocol", "runs", "sessions", "failing", "usage", "mcpServers", "modelsSetAside"} <= told.keys()
