from typing import Any

import pytest

from app.config import ConfigError, explained, load, refusals
from app.config.faults import Report, What
from app.config.restricting import TREATMENTS, Treatment, treatment_of
from tests.config.conftest import TOKEN, Place
from tests.config.test_keys import OPENCLAW_FILE
from tests.users_files import NAMES, user_file

PROVIDER = {"baseUrl": "http://127.0.0.1:9/v1", "models": [{"id": "m"}]}


def told(place: Place, document: Any, **variables: str) -> dict[str, str]:
    """What is said of each key of a document, by its path."""
    place.write(document)
    lines = explained(place.environment(**(variables or {"OPENCLAW_GATEWAY_TOKEN": TOKEN})))
    assert len({line.where for line in lines}) == len(lines)
    return {line.where: line.said for line in lines}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"gateway": {"port": 1}}, {"gateway.port": "obeyed"}),
        ({"tools": {"deny": ["exec", "read"]}}, {"tools.deny": "obeyed"}),
        ({"env": {"A": "b", "shellEnv": {"enabled": True}}}, {"env.A": "obeyed", "env.shellEnv": "ignored"}),
        ({"meta": {"lastTouchedVersion": "2026.9.6"}}, {"meta": "ignored: neutral"}),
        ({"messages": {"ackReaction": "x", "queue": {}}}, {"messages": "ignored"}),
        ({"gateway": {"mode": "local"}}, {"gateway.mode": "ignored: neutral"}),
        ({"hooks": {"enabled": False}}, {"hooks": "ignored: neutral"}),
        ({"channels": {"telegram": {}}}, {"channels": "ignored: nothing here that it could narrow"}),
        (
            {"agents": {"entries": {"main": {"tools": {"elevated": {"enabled": True}}}}}},
            {"agents.entries.main.tools.elevated.enabled": "ignored: nothing here that it could narrow"},
        ),
        (
            {"gateway": {"http": {"endpoints": {"responses": {"enabled": True}}}}},
            {"gateway.http.endpoints.responses.enabled": "ignored: nothing here that it could narrow"},
        ),
        ({"secrets": {"defaults": {"env": "x"}, "providers": {}}}, {"secrets.defaults.env": "ignored"}),
        ({"gateway": {"bind": "tailnet"}}, {"gateway.bind": 'stricter: taken as "loopback"'}),
        ({"gateway": {"bind": "::"}}, {"gateway.bind": 'read as "lan"'}),
        (
            {"tools": {"bash": {"ask": "always", "timeoutSec": 3}}},
            {
                "tools.bash.ask": "read as tools.exec.ask; stricter: commands are off",
                "tools.bash.timeoutSec": "read as tools.exec.timeoutSeconds",
            },
        ),
        (
            {"tools": {"exec": {"mode": "ask"}}},
            {"tools.exec.mode": "stricter: only safeBins run, all else is denied"},
        ),
        (
            {"tools": {"sessions": {"visibility": "tree"}, "fs": {"workspaceOnly": False}}},
            {
                "tools.sessions.visibility": 'stricter: taken as "self"',
                "tools.fs.workspaceOnly": "stricter: files stay in the workspace",
            },
        ),
        (
            {"tools": {"toolsBySender": {"id:x": {"deny": ["exec"]}, "channel:y": {"deny": ["exec"]}}}},
            {
                'tools.toolsBySender["id:x"]': "stricter: holds for every caller",
                'tools.toolsBySender["channel:y"]': "ignored",
            },
        ),
        (
            {
                "models": {"providers": {"p": PROVIDER}},
                "tools": {"byProvider": {"p": {"deny": ["exec"]}, "q": {"deny": ["exec"]}}},
                "agents": {"entries": {"main": {"tools": {"byProvider": {"r/x": {"deny": ["exec"]}}}}}},
            },
            {
                "tools.byProvider.p.deny": "obeyed",
                "tools.byProvider.q": "ignored: no provider and no model is called so, it narrows nothing",
                'agents.entries.main.tools.byProvider["r/x"]': (
                    "ignored: no provider and no model is called so, it narrows nothing"
                ),
            },
        ),
        (
            {"gateway": {"controlUi": {"allowedOrigins": ["https://a.example", "*"]}}},
            {
                "gateway.controlUi.allowedOrigins[0]": "obeyed",
                "gateway.controlUi.allowedOrigins[1]": "left out",
            },
        ),
        (
            {
                "models": {"providers": {"p": PROVIDER}},
                "agents": {"defaults": {"model": {"primary": "p/m", "fallbacks": ["nobody/x"]}}},
            },
            {
                "agents.defaults.model.primary": "obeyed",
                "agents.defaults.model.fallbacks[0]": "can't be asked",
                "models.providers.p.models[0].id": "obeyed",
            },
        ),
        (
            {"routing": {"bindings": [{}], "agents": {"main": {"workspace": "/w"}}}},
            {
                "routing.bindings[0]": "ignored",
                "routing.agents.main.workspace": "read as agents.list[0].workspace",
            },
        ),
    ],
)
def test_what_becomes_of_a_key(place: Place, document: Any, said: dict[str, str]) -> None:
    """One line for each key, as the file has it."""
    lines = told(place, document)
    assert said.items() <= lines.items(), lines


def test_a_file_of_every_kind(place: Place) -> None:
    """Each key of a user's file has a line, and what is nowhere of use has one for its section."""
    lines = told(place, OPENCLAW_FILE, OPENCLAW_GATEWAY_TOKEN=TOKEN, OPENROUTER_API_KEY="k", NOT_SET_HERE="k")
    assert lines["channels"].startswith("ignored")
    assert not any(path.startswith("channels.") for path in lines)
    assert lines["models.providers.openrouter.models[0].input[2]"] == 'stricter: taken as "text"'
    assert lines["logging.consoleStyle"] == 'stricter: taken as "pretty"'
    assert lines["gateway.auth.token"] == "obeyed"


def test_keys_of_included_files_say_where_they_are(place: Place) -> None:
    """File and line stand behind the path."""
    (place.state_dir / "tools.json5").write_text("{\n  elevated: {enabled: true},\n deny: ['exec']}")
    lines = told(place, {"tools": {"$include": "./tools.json5"}, "gateway": {"port": 1}})
    assert lines == {
        "gateway.port": "obeyed",
        "tools.elevated.enabled (tools.json5:2)": "ignored: nothing here that it could narrow",
        "tools.deny (tools.json5:3)": "obeyed",
    }


def test_a_fault_is_told_without_what_was_found(place: Place) -> None:
    """Of a faulty file each fault says what is allowed."""
    place.write({"gateway": {"port": "a-value-of-mine"}})
    with pytest.raises(ConfigError) as refused:
        explained(place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN))
    (line,) = refusals(refused.value)
    assert (line.where, line.what) == ("gateway.port", What.REFUSED)
    assert line.said.startswith("refused: allowed: ")
    assert "a-value-of-mine" not in str(line)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_users_values_is_told(place: Place, name: str) -> None:
    """Of no user's file a secret, a folder or an address is in any line."""
    place.write(user_file(name))
    try:
        lines = explained(place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN))
    except ConfigError as error:
        lines = refusals(error)
    assert lines
    for line in lines:
        assert not any(value in str(line) for value in ("example-", "/home/ada", "127.0.0.1", "Robin", TOKEN))


@pytest.mark.parametrize("name", NAMES)
def test_the_warning_and_the_lines_say_the_same(place: Place, name: str) -> None:
    """Whatever the warning names as ignored has a line that says so."""
    place.write(user_file(name))
    try:
        warnings = load(place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN)).warnings
    except ConfigError:
        return
    lines = explained(place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN))
    ignored = {line.where for line in lines if line.what is What.IGNORED}
    listed = [line.partition(": ignored ")[2].partition("; ")[0] for line in warnings if ": ignored " in line]
    assert {path for part in listed for path in part.split(", ")} == ignored


def test_a_path_that_moves_twice_is_followed() -> None:
    """To where it is read in the end; one that goes in a circle ends."""
    report = Report({})
    report.move(("agent", "bash"), ("tools", "exec"))
    report.move(("tools", "exec", "a"), ("tools", "exec", "b"))
    report.move(("x",), ("x", "y"))
    assert report.today(("agent", "bash", "a", 0)) == ("tools", "exec", "b", 0)
    assert report.today(("x",)) == ("x", "y")


def test_rows_of_treatments_are_found() -> None:
    """By a key's own row, else by the nearest around it; agents have those of their defaults and of tools."""
    assert all(treatment_of(tuple(row.split("."))) is found for row, found in TREATMENTS.items())
    assert treatment_of(("mcp", "servers", "mine", "sslVerify")) is Treatment.SAFE
    assert treatment_of(("agents", "list", 0, "tools", "exec", "ask")) is Treatment.STRICTER
    assert treatment_of(("agents", "entries", "a", "sandbox", "mode")) is Treatment.STRICTER
    assert treatment_of(("messages",)) is None
