import json

from tests.cli.conftest import Cli


def test_agents_are_listed(cli: Cli) -> None:
    """A line each, with the model; the default one is marked."""
    lines = [line.split() for line in cli("agents", "list").stdout.splitlines()]
    assert [line[:4] for line in lines[1:]] == [
        ["*", "main", "main", "scripted/m"],
        ["beta", "beta", "scripted/m", lines[2][3]],
    ]
    assert json.loads(cli("agents", "list", "--json").stdout)["defaultId"] == "main"


def test_models_are_listed(cli: Cli) -> None:
    """Those of providers and the one on board, as agents name them."""
    lines = cli("models", "list").stdout.splitlines()
    assert {line.split()[0] for line in lines[1:]} == {"scripted/m", "local/smollm2-135m"}
    assert {line.split()[-1] for line in lines[1:]} == {"ready"}
    assert "m" in {model["id"] for model in json.loads(cli("models", "list", "--json").stdout)["models"]}
