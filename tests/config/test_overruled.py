from typing import Any

import pytest

from tests.config.conftest import Place
from tests.config.test_explain import told


def file(gateway: Any, defaults: Any, own: Any) -> dict[str, Any]:
    """A configuration with sections ``exec`` of the gateway, the defaults and an agent."""
    agents = {"defaults": {"tools": {"exec": defaults}}, "entries": {"main": {"tools": {"exec": own}}}}
    return {"tools": {"exec": gateway}, "agents": agents}


OWN, ABOVE, OUTER = "agents.entries.main.tools.exec", "agents.defaults.tools.exec", "tools.exec"


@pytest.mark.parametrize(
    ("sections", "path", "by"),
    [
        (({"security": "allowlist"}, {}, {"security": "full"}), f"{OWN}.security", f"{OUTER}.security"),
        (({}, {"mode": "deny"}, {"security": "full"}), f"{OWN}.security", f"{ABOVE}.mode"),
        (({"ask": "always"}, {}, {"mode": "full"}), f"{OWN}.mode", f"{OUTER}.ask"),
        (({"ask": "always"}, {}, {"ask": "off"}), f"{OWN}.ask", f"{OUTER}.ask"),
        (({"host": "node"}, {}, {"host": "gateway"}), f"{OWN}.host", f"{OUTER}.host"),
        (({"strictInlineEval": True}, {"security": "full"}, {}), f"{ABOVE}.security", f"{OUTER}.strictInlineEval"),
        (({"timeoutSeconds": 5}, {}, {"timeoutSeconds": 9}), f"{OWN}.timeoutSeconds", f"{OUTER}.timeoutSeconds"),
        (({"maxProcesses": 5}, {}, {"maxProcesses": 9}), f"{OWN}.maxProcesses", f"{OUTER}.maxProcesses"),
        (({"network": False}, {}, {"network": True}), f"{OWN}.network", f"{OUTER}.network"),
        (({"safeBins": ["ls"]}, {}, {"safeBins": ["cat"]}), f"{OWN}.safeBins", f"{OUTER}.safeBins"),
        (({"security": "allowlist"}, {}, {"safeBins": ["cat"]}), f"{OWN}.safeBins", f"{OUTER}.safeBins"),
    ],
)
def test_a_wider_value_is_told(place: Place, sections: tuple[Any, Any, Any], path: str, by: str) -> None:
    """What an agent's key asks for and a narrower one around it takes away is named, with the one that counts."""
    document = file(*sections)
    assert f"{by} is narrower and counts" in told(place, document)[path]
    (warning,) = (line for line in place.load(document).warnings if path in line)
    assert f"{path} is wider than {by}, which counts" in warning


def test_what_stands_beside_it_is_told_once(place: Place) -> None:
    """A value that another of the same section makes narrower is no finding of its own, but isn't called obeyed."""
    document = {"tools": {"exec": {"security": "full", "ask": "always"}}}
    assert told(place, document)["tools.exec.security"] == "stricter: tools.exec.ask is narrower and counts"
    assert not any("wider" in line for line in place.load(document).warnings)


@pytest.mark.parametrize(
    "sections",
    [
        ({"security": "full"}, {}, {"security": "allowlist", "safeBins": ["ls"]}),
        ({"security": "allowlist", "safeBins": ["ls", "cat"]}, {}, {"ask": "off", "safeBins": ["ls"]}),
        ({"timeoutSeconds": 9}, {"timeoutSeconds": 5}, {"timeoutSeconds": 5}),
    ],
)
def test_a_narrower_value_is_obeyed(place: Place, sections: tuple[Any, Any, Any]) -> None:
    """An agent that asks for less than it might is told nothing."""
    document = file(*sections)
    assert {said for path, said in told(place, document).items() if "exec" in path} == {"obeyed"}


def test_which_safe_bins_do_not_run(place: Place) -> None:
    """Programs that strictInlineEval keeps from running are named, whoever lists them; the key isn't called obeyed."""
    document = file({"safeBins": ["cat", "python3.11", "git"]}, {}, {"strictInlineEval": True})
    said = f"python3.11, git of {OUTER}.safeBins don't run, because of {OWN}.strictInlineEval"
    assert any(said in line for line in place.load(document).warnings)
    assert told(place, document)[f"{OUTER}.safeBins"].startswith("stricter: ")
