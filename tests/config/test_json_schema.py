import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyjson5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.config import config_schema
from app.config.schemas import CONFIG
from tests.config.conftest import TOKEN, Place
from tests.config.test_any_value import JSON, known_paths, put
from tests.config.test_keys import OPENCLAW_FILE

SCHEMA = Draft202012Validator(config_schema())

EVERY_KIND = """{
  $schema: 'x', // OpenClaw's
  gateway: {
    port: 4000, bind: 'custom', customBindHost: '::1', trustedProxies: ['10.0.0.1'], reload: {mode: '${MODE}'},
    auth: {mode: 'trusted-proxy', token: 't', password: {source: 'env', id: 'P'}, rateLimit: {maxAttempts: 3},
           trustedProxy: {userHeader: 'X-User', requiredHeaders: ['X-A']}},
    http: {endpoints: {chatCompletions: {enabled: true, images: {maxRedirects: 0}}, responses: {enabled: false}}},
    controlUi: {allowedOrigins: ['*']}, tailscale: {mode: 'off'},
  },
  models: {providers: {ollama: {
    baseUrl: 'http://h/v1', apiKey: '${P}', headers: {'X-Org': 'o', 'X-Key': {source: 'env', id: 'P'}},
    timeoutSeconds: 9.5, api: 'ollama',
    models: [{id: 'm', input: ['text', 'audio'], cost: {input: 1, own: 'x'}, contextWindow: 9}],
  }}},
  agents: {defaults: {model: {primary: 'ollama/m', fallbacks: []}, heartbeat: {every: '1h'}},
           list: [{id: 'main', default: true, model: 'ollama/m', tools: {exec: {security: 'deny'}}}]},
  tools: {profile: 'messaging', deny: ['exec']},
  mcp: {servers: {files: {command: 'x', args: [''], env: {A: 1, B: true, C: 'c'}, enabled: false}}},
  session: {queueLimit: 1, maintenance: {pruneAfter: '12h'}, reset: {idleMinutes: 0.5}},
  logging: {level: 'trace'}, storage: {url: 'sqlite:///x'}, cluster: {redisUrl: 'redis://h'},
}"""


def faults(document: Any) -> list[str]:
    return [error.json_path for error in SCHEMA.iter_errors(document)]


def test_it_is_a_json_schema() -> None:
    """By the metaschema of its draft, and without anything that JSON can't hold."""
    Draft202012Validator.check_schema(config_schema())
    assert json.loads(json.dumps(config_schema())) == config_schema()


def test_every_section_is_there() -> None:
    """All keys of ours at the top have a type and properties; OpenClaw's others are marked as without effect."""
    properties = config_schema()["properties"]
    ours = {str(field.data_key) for field in CONFIG.fields.values()}
    beside = {"$include", "env", "secrets"}
    assert all(properties[name]["type"] == "object" and properties[name]["properties"] for name in ours)
    assert all(properties[name]["$ref"] == "#/$defs/ignored" for name in properties.keys() - ours - beside)


@pytest.mark.parametrize("text", [EVERY_KIND, OPENCLAW_FILE], ids=["every-kind", "openclaw"])
def test_files_that_load_are_accepted(place: Place, text: str) -> None:
    """A file with every kind of key and value."""
    assert place.outcome(text, OPENCLAW_GATEWAY_TOKEN=TOKEN, P="p", MODE="off", NOT_SET_HERE="x") == []
    assert faults(pyjson5.decode(text)) == []


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(known_paths(CONFIG))), JSON, st.sampled_from(["a", "main", "X-A"]))
def test_what_load_accepts_is_accepted(tmp_path_factory: Any, path: tuple[str, ...], value: Any, name: str) -> None:
    """Whatever stands at a key, the schema is no stricter than the gateway."""
    place = Place(tmp_path_factory.getbasetemp())
    document = put(path, value, name)
    if not place.outcome(document, OPENCLAW_GATEWAY_TOKEN=TOKEN):
        assert faults(document) == []


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ("gateway", [1, "x", []]),
        ("gateway.port", ["80", 80.5, 0, 65_536, True, None]),
        ("gateway.bind", ["wan", 1, None]),
        ("gateway.prot", [1]),
        ("gateway.auth.token", [1, None, {"source": "exec", "id": "x"}, {"source": "env"}]),
        ("gateway.auth.rateLimit.exemptLoopback", [1, "true"]),
        ("gateway.trustedProxies", ["10.0.0.1", [1], {}]),
        ("gateway.customBindHost", [1]),
        ("gateway.tailscale.mod", [1]),
        ("agents.defaults.model", [1, {"primry": "a/b"}, ["a/b"]]),
        ("agents.defaults.timeoutSeconds", ["600", 0, 10**10]),
        ("agents.defaults.tools.exec.safeBins", ["ls", [None]]),
        ("agents.list", [{}, [{"name": "no id"}], [{"id": 1}]]),
        ("agents.entries", [[], {"A b": {}}, {"a": {"id": "a"}}]),
        ("models.providers.p", [{"baseUrl": 1}, {"baseUrl": "http://h", "headers": {"a b": "x"}}]),
        ("models.providers.p.headers.X", [1, ["x"]]),
        ("mcp.servers.s.env.A", [None, [], {}]),
        ("mcp.servers.s.args", [[1], "x"]),
        ("session.maintenance.pruneAfter", [30]),
        ("logging.level", ["loud"]),
        ("storage.url", [1]),
        ("cluster.redisUrl", [False]),
        ("gatway", [{}]),
    ],
)
def test_what_has_the_wrong_type_is_refused(keys: str, wrong: list[Any]) -> None:
    """For each kind of key; the finding is at the key or above it."""
    for value in wrong:
        document = put(tuple(keys.split(".")), value, "x")
        assert faults(document), value


@pytest.mark.parametrize(
    "document",
    [
        {"$include": "./base.json5"},
        {"gateway": {"$include": ["./a.json5", "./b.json5"], "port": 1}},
        {"models": {"providers": {"$include": "./providers.json5", "p": {"$include": "./p.json5"}}}},
        {"agents": {"list": [{"$include": "./agent.json5"}]}},
        {"browser": {"$include": "./browser.json5"}},
        {"env": {"A": "x", "B": 1, "vars": {"C": True}, "shellEnv": {"enabled": True}}},
        {"secrets": {"providers": {"vault": {"source": "file", "path": "x.json", "mode": "json"}}}},
        {"gateway": {"auth": {"token": {"source": "file", "provider": "vault", "id": "/token"}}}},
    ],
)
def test_what_stands_elsewhere_is_accepted(document: Any) -> None:
    """Includes at any object, variables, and references to files."""
    assert faults(document) == []


@pytest.mark.parametrize("document", [{"$include": 1}, {"env": {"A": []}}, {"env": {"vars": {"A": {}}}}, {"env": []}])
def test_what_can_not_stand_elsewhere_is_refused(document: Any) -> None:
    """An include that names no file, and variables that are none."""
    assert faults(document)


def test_defaults_are_those_in_force(place: Place) -> None:
    """A file that writes out every default means the same as one that says nothing."""
    document: dict[str, Any] = {}
    for path, default in defaults(config_schema(), ()):
        owner = document
        for key in path[:-1]:
            owner = owner.setdefault(key, {})
        owner[path[-1]] = default
    assert document["gateway"]["port"] == 18789
    assert document["session"]["maintenance"] == {"pruneAfter": "30d", "maxEntries": 10_000}
    del document["gateway"]["auth"]["trustedProxy"]  # has a key that must be written
    assert replace(place.load(document), warnings=()) == replace(place.load({}), warnings=())


def defaults(schema: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, below in schema.get("properties", {}).items():
        if "default" in below:
            yield (*path, key), below["default"]
        yield from defaults(below, (*path, key))
