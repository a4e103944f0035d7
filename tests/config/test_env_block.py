import os
from collections.abc import Callable
from typing import Any

import pyjson5
import pytest

from app.config import REDACTED, redacted
from app.config.environment import environment_of_children, environment_of_commands
from app.ops.redaction import secrets_of
from tests.config.conftest import TOKEN, Place

Refused = Callable[..., str]

PROMPT = {"agents": {"defaults": {"systemPrompt": "${A}"}}}


def prompt(place: Place, env: Any, **variables: str) -> str | None:
    settings = place.load({**PROMPT, "env": env}, OPENCLAW_GATEWAY_TOKEN=TOKEN, **variables)
    return settings.agents["main"].system_prompt


@pytest.mark.parametrize(
    ("process", "dotenv", "inner", "outer", "value"),
    [
        ("p", "d", "v", "e", "p"),
        (None, "d", "v", "e", "d"),
        (None, None, "v", "e", "v"),
        (None, None, None, "e", "e"),
        ("", "", "", "e", "e"),
        (" ", "d", "v", "e", "d"),
    ],
)
def test_who_wins(place: Place, process: Any, dotenv: Any, inner: Any, outer: str, value: str) -> None:
    """The process, then .env, then env.vars, then env; what is empty is absent."""
    if dotenv is not None:
        (place.state_dir / ".env").write_text(f"A={dotenv}")
    env = {"A": outer, "vars": {} if inner is None else {"A": inner}}
    assert prompt(place, env, **({} if process is None else {"A": process})) == value


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (8080, "8080"), (1.5, "1.5"), (2.0, "2"), (True, "true"), (False, "false")]
)
def test_values_are_written_out(place: Place, value: Any, text: str) -> None:
    """Numbers and booleans become the text that a variable holds."""
    assert prompt(place, {"A": value}) == prompt(place, {"vars": {"A": value}}) == text


def test_an_openclaw_file_with_variables(place: Place) -> None:
    """Keys and the gateway's token may both come from the file's own variables, and nothing is named as ignored."""
    provider = {"baseUrl": "http://127.0.0.1:9099/v1", "apiKey": "${HOUSE_API_KEY}", "models": [{"id": "small-1"}]}
    settings = place.load(
        {
            "env": {"HOUSE_API_KEY": "example-key-2", "vars": {"GATE_TOKEN": "example-token-0123456789abcdef"}},
            "models": {"providers": {"house": provider}},
            "agents": {"defaults": {"model": {"primary": "house/small-1"}}},
            "gateway": {"auth": {"mode": "token", "token": "${GATE_TOKEN}"}},
        },
        NONE="",
    )
    assert settings.providers["house"].api_key == "example-key-2"
    assert settings.gateway.auth.token == "example-token-0123456789abcdef"
    assert settings.warnings == ()


def test_variables_serve_references_and_the_gateways_own(place: Place) -> None:
    """{source: "env"}, the key of a provider that everybody knows, token and port."""
    settings = place.load(
        {
            "env": {"OPENAI_API_KEY": "sk-1", "OPENCLAW_GATEWAY_PORT": 4001, "vars": {"SECRET": TOKEN}},
            "gateway": {"auth": {"token": {"source": "env", "provider": "default", "id": "SECRET"}}},
            "agents": {"defaults": {"model": "openai/gpt-5"}},
        },
        NONE="",
    )
    assert (settings.gateway.auth.token, settings.gateway.port) == (TOKEN, 4001)
    assert settings.providers["openai"].api_key == "sk-1"


def test_a_token_in_env_is_enough(place: Place) -> None:
    """OPENCLAW_GATEWAY_TOKEN counts from there as from the process."""
    document = {"env": {"OPENCLAW_GATEWAY_TOKEN": TOKEN}}
    assert place.load(document, NONE="").gateway.auth.token == TOKEN
    assert place.load(document, OPENCLAW_GATEWAY_TOKEN="own").gateway.auth.token == "own"


def test_variables_may_name_others(place: Place) -> None:
    """${NAME} in a value is the process's or .env's; a value that can't be filled in is absent until it is needed."""
    assert prompt(place, {"A": "<${B}>"}, B="b") == "<b>"
    assert prompt(place, {"A": "a", "vars": {"A": "${MISSING}"}}) == "a"
    assert place.load({"env": {"UNUSED": "${MISSING}"}})
    (line,) = place.faults({**PROMPT, "env": {"A": "${MISSING}"}})
    assert "environment variable A to be set" in line


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ([], "env"),
        ("x", "env"),
        (None, "env"),
        ({"A": ["hush"]}, "env.A"),
        ({"A": {"hush": "hush"}}, "env.A"),
        ({"A": None}, "env.A"),
        ({"A": "hush\0"}, "env.A"),
        ({"vars": ["hush"]}, "env.vars"),
        ({"vars": {"A": {"source": "env", "id": "hush"}}}, "env.vars.A"),
        ({"shellEnv": True}, "env.shellEnv"),
        ({"A-B": "hush"}, "env.A-B"),
        ({"vars": {"1": "hush"}}, "env.vars.1"),
        ({"vars": {"": "hush"}}, 'env.vars[""]'),
    ],
)
def test_what_is_no_variable_is_a_fault(refused: Refused, env: Any, where: str) -> None:
    """At its path, without its value."""
    line = refused({"env": env})
    assert line.startswith(f"{where}: found ")
    assert "hush" not in line


def test_numbers_without_an_end_are_no_variables(refused: Refused) -> None:
    """JSON5 can write them, a variable can't hold them."""
    assert refused("{env: {A: Infinity}}").startswith("env.A: found a number")


def test_children_and_commands_see_none_of_them(place: Place) -> None:
    """What the files say stays in the gateway."""
    before = dict(os.environ)
    (place.state_dir / ".env").write_text("HOME=/from-dotenv\nHIDDEN_A=1\nTZ=Nowhere")
    place.load({"env": {"HIDDEN_B": "1", "LANGUAGE": "from-env", "vars": {"PYTHONHOME": "/from-vars"}}})
    assert dict(os.environ) == before
    for seen in (environment_of_children(), environment_of_commands()):
        assert {name: value for name, value in seen.items() if before.get(name) != value} in ({}, {"PATH": os.defpath})


def test_logs_show_none_of_the_secrets(place: Place) -> None:
    """Values with a name that says secret, of env and .env, whether somebody uses them or not; repr hides them too."""
    (place.state_dir / ".env").write_text("MY_TOKEN=from-dotenv\nPLAIN=plain-1")
    settings = place.load({"env": {"A_KEY": "from-env", "B": "plain-2", "vars": {"DB_PASSWORD": " from-vars "}}})
    assert {"from-dotenv", "from-env", "from-vars"} <= set(secrets_of(settings))
    assert not {"plain-1", "plain-2"} & set(secrets_of(settings))
    assert "from-" not in repr(settings)


def test_shown_text_has_none_of_the_values() -> None:
    """Names say too little here: every value is redacted, references stay."""
    shown = pyjson5.decode(redacted("{env: {A: 'x', B: 5, R: '${R}', vars: {C: 'y'}}}"))
    assert shown == {"env": {"A": REDACTED, "B": REDACTED, "R": "${R}", "vars": {"C": REDACTED}}}


def test_secrets_that_others_can_read_are_told(place: Place) -> None:
    """A secret of env is one that is written out."""
    for env in ({"API_KEY": "x"}, {"vars": {"API_KEY": "x"}}):
        place.write({"env": env})
        place.file.chmod(0o644)
        settings = place.load_written()
        assert [f"chmod 600 {place.file}" in line for line in settings.warnings] == [True]
