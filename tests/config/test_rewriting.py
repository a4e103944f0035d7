import json
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config import ConfigError, Environment, check, with_todays_keys
from app.config.syntax import parse
from tests.config.conftest import TOKEN, Place
from tests.users_files import NAMES, user_file

MODELS = {"providers": {"p": {"baseUrl": "http://127.0.0.1:9/v1", "apiKey": "${KEY}", "models": [{"id": "m"}]}}}
TOOLS = {
    "bash": st.fixed_dictionaries({}, optional={"ask": st.just("always"), "timeoutSec": st.integers(1, 9)}),
    "exec": st.fixed_dictionaries({}, optional={"security": st.just("allowlist"), "safeBins": st.just(["ls"])}),
    "deny": st.just(["web_fetch"]),
}
AGENT = {
    "model": st.just("p/m"),
    "modelFallbacks": st.just(["p/m"]),
    "allowedModels": st.just(["p/m"]),
    "modelAliases": st.just({"small": "p/m"}),
    "workspace": st.just("${HOME_OF_MINE}/w"),
    "heartbeat": st.sampled_from([None, {"every": "30m"}]),
    "bash": st.just({"timeoutSec": 3}),
    "elevated": st.just({"enabled": True}),
    "sandbox": st.just({"mode": "all", "tools": {"deny": ["exec"]}}),
    "tools": st.fixed_dictionaries({}, optional={"allow": st.just(["read"]), "deny": st.just(["exec"])}),
}
ROUTING = {
    "agents": st.dictionaries(
        st.sampled_from(["main", "a"]),
        st.fixed_dictionaries({}, optional={"workspace": st.just("/w"), "mentionPatterns": st.just(["@x"])}),
        max_size=2,
    ),
    "defaultAgentId": st.just("main"),
    "agentToAgent": st.just({"enabled": True}),
}
OLD = st.fixed_dictionaries(
    {"models": st.just(MODELS)},
    optional={
        "agent": st.fixed_dictionaries({}, optional=AGENT),
        "routing": st.fixed_dictionaries({}, optional=ROUTING),
        "tools": st.fixed_dictionaries({}, optional=TOOLS),
        "gateway": st.fixed_dictionaries(
            {}, optional={"token": st.just("${KEY}"), "bind": st.sampled_from(["0.0.0.0", "localhost", "lan"])}
        ),
        "session": st.just({"idleMinutes": 5, "maintenance": {"pruneDays": 3}}),
        "mcp": st.just({"servers": {"s": {"url": "https://s.example", "disabled": True, "timeout": 1.5}}}),
        "agents": st.sampled_from([{"list": [{"id": "a"}]}, {"entries": {"a": {}}}, {"defaults": {}}]),
    },
)


def environment_in(folder: Path) -> Environment:
    return Place(folder).environment(OPENCLAW_GATEWAY_TOKEN=TOKEN, KEY="k", HOME_OF_MINE="/home")


def moved(warnings: tuple[str, ...]) -> list[str]:
    """What is read as another key; an address that is completed is none."""
    parts = [part for line in warnings for part in line.replace("; ", ", ").split(", ")]
    return [part for part in parts if " read as " in part and "baseUrl read as" not in part]


def says_the_same(text: str, environment: Environment) -> str:
    """The text with today's keys, which loads as before and has nothing left to move."""
    before = check(text, environment)
    new, moves = with_todays_keys(text, environment)
    after = check(new, environment)
    assert replace(after, warnings=()) == replace(before, warnings=())
    assert not moved(after.warnings)
    assert bool(moves) == bool(moved(before.warnings)) == (new != text)
    assert with_todays_keys(new, environment) == (new, ())
    return new


@settings(max_examples=60, deadline=None)
@given(OLD, st.sampled_from([None, 2]))
def test_old_keys_say_the_same_in_todays(document: dict[str, Any], indent: int | None) -> None:
    """Whatever old keys a file has, its settings stay the same and no key is left to be moved."""
    with TemporaryDirectory() as folder:
        environment = environment_in(Path(folder))
        text = json.dumps(document, indent=indent)
        try:
            check(text, environment)
        except ConfigError:
            with pytest.raises(ConfigError):
                with_todays_keys(text, environment)
            return
        says_the_same(text, environment)


@pytest.mark.parametrize("name", NAMES)
def test_users_files_say_the_same_in_todays_keys(place: Place, name: str) -> None:
    """Files from the field keep their settings; those that are refused are not rewritten."""
    environment = environment_in(place.state_dir)
    text = json.dumps(user_file(name), indent=2)
    try:
        check(text, environment)
    except ConfigError as error:
        with pytest.raises(ConfigError, match=re.escape(str(error))):
            with_todays_keys(text, environment)
        return
    says_the_same(text, environment)


COMMENTED = """\
// Mine.
{
  gateway: {
    token: "${KEY}", // as of old
    port: 1, // the usual
  },
  // Who answers.
  agent: {
    // in a hurry
    timeoutSeconds: 60, /* a minute */
  },
  session: { idleMinutes: 5, mainKey: 'main' },
}
"""
REWRITTEN = """\
// Mine.
{
  gateway: {
    // as of old
    port: 1, // the usual
    auth: { token: "${KEY}", mode: "token" },
  },
  // Who answers.
  // in a hurry
  /* a minute */
  session: { mainKey: 'main', reset: { idleMinutes: 5 } },
  agents: { defaults: { timeoutSeconds: 60 } },
}
"""


def test_comments_and_order_stay(place: Place) -> None:
    """What moves comes behind what was there, and comments stay where they stood, those within it too."""
    assert says_the_same(COMMENTED, environment_in(place.state_dir)) == REWRITTEN


def test_values_move_as_they_are_written(place: Place) -> None:
    """References and variables are not filled in."""
    document = {"gateway": {"token": {"source": "env", "id": "KEY"}}, "agent": {"workspace": "${HOME_OF_MINE}/w"}}
    new = parse(says_the_same(json.dumps(document), environment_in(place.state_dir)), "")
    assert new["gateway"]["auth"]["token"] == {"source": "env", "id": "KEY"}
    assert new["agents"]["defaults"]["workspace"] == "${HOME_OF_MINE}/w"


@pytest.mark.parametrize(
    ("main", "included", "named"),
    [
        ("{agent: {$include: './more.json5'}}", "{timeoutSeconds: 60}", "agent.timeoutSeconds (more.json5:1)"),
        ("{$include: './more.json5'}", "{gateway: {bind: '::'}}", "gateway.bind (more.json5:1)"),
        ("{$include: './more.json5', agent: {model: 'p/m'}}", "{agent: {timeoutSeconds: 6}, tools: {}}", "agent."),
        (
            "{$include: './more.json5', routing: {defaultAgentId: 'b'}}",
            "{agents: {list: [{id: 'a'}, {id: 'b'}]}}",
            "routing.defaultAgentId",
        ),
    ],
)
def test_included_files_are_edited_by_hand(place: Place, main: str, included: str, named: str) -> None:
    """A key that moves and was written elsewhere, or belongs elsewhere, is refused by its name."""
    (place.state_dir / "more.json5").write_text(included)
    with pytest.raises(ConfigError, match="by hand") as refused:
        with_todays_keys(f"{main[:-1]}, models: {json.dumps(MODELS)}}}", environment_in(place.state_dir))
    assert str(refused.value).startswith(named)


def test_a_move_beside_an_included_file_is_made(place: Place) -> None:
    """An include that no move touches stays as it is."""
    (place.state_dir / "more.json5").write_text("{deny: ['exec']}")
    text = "{session: {idleMinutes: 5}, tools: {$include: './more.json5'}}"
    new = says_the_same(text, environment_in(place.state_dir))
    assert new == "{session: {reset: { idleMinutes: 5 }}, tools: {$include: './more.json5'}}"
