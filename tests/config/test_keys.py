from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.config.keys import Tree, openclaw_keys
from tests.config.conftest import Place

Refused = Callable[..., str]

OPENCLAW_FILE = """{
  // A file as OpenClaw's users have it.
  $schema: 'https://openclaw.ai/schema.json',
  meta: {lastTouchedVersion: '2026.9.6'},
  wizard: {lastRunCommand: 'onboard'},
  env: {OPENROUTER_API_KEY: '${NOT_SET_HERE}', shellEnv: {enabled: true}},
  gateway: {
    mode: 'local', port: 18789, bind: 'tailnet',
    auth: {mode: 'token', token: '${OPENCLAW_GATEWAY_TOKEN}', allowTailscale: true},
    tailscale: {mode: 'serve'},
    controlUi: {enabled: true, basePath: '/openclaw', dangerouslyDisableDeviceAuth: true, allowedOrigins: ['*']},
    remote: {url: 'ws://gateway.tailnet:18789', token: 'other'},
    http: {endpoints: {
      chatCompletions: {enabled: true},
      responses: {enabled: true, files: {allowUrl: false}, maxUrlParts: 8},
    }},
    reload: {mode: 'hybrid'},
  },
  agents: {
    defaults: {
      model: {primary: 'anthropic/claude-opus-4-6', fallbacks: ['openrouter/auto']},
      models: {'anthropic/claude-opus-4-6': {alias: 'opus', params: {temperature: 0.3}}},
      workspace: '~/.openclaw/workspace', timeoutSeconds: 600, maxConcurrent: 4,
      heartbeat: {every: '30m', target: 'last'}, sandbox: {mode: 'non-main', docker: {env: {LANG: 'C'}}},
      compaction: {mode: 'safeguard'}, subagents: {maxConcurrent: 8}, thinkingDefault: 'low',
    },
    list: [
      {id: 'main', default: true, identity: {name: 'Molty', emoji: '🦞'}, groupChat: {mentionPatterns: ['@molty']}},
      {id: 'work', sandbox: {mode: 'all'}, tools: {profile: 'messaging', elevated: {enabled: false}}},
    ],
  },
  models: {mode: 'merge', providers: {
    anthropic: {baseUrl: 'https://api.anthropic.com', api: 'anthropic-messages', apiKey: 'k'},
    openrouter: {
      baseUrl: 'https://openrouter.ai/api/v1', apiKey: 'k', authHeader: true,
      models: [{
        id: 'auto', name: 'Auto', reasoning: false, input: ['text', 'image', 'audio'],
        contextWindow: 200000, maxTokens: 8192,
        cost: {input: 0, output: 0, cacheRead: 0, cacheWrite: 0, tieredPricing: []}, compat: {supportsStore: false},
      }],
    },
    ollama: {baseUrl: 'http://127.0.0.1:11434', api: 'ollama', apiKey: 'x', models: []},
  }},
  tools: {
    profile: 'messaging', deny: ['browser'], web: {search: {enabled: true, provider: 'brave'}},
    exec: {backgroundMs: 10000, security: 'allowlist', ask: 'on-miss'}, media: {audio: {enabled: true}},
  },
  mcp: {servers: {docs: {url: 'https://mcp.example', transport: 'streamable-http'}}, sessionIdleTtlMs: 600000},
  session: {
    scope: 'per-sender', dmScope: 'main', reset: {mode: 'daily', atHour: 4, idleMinutes: 60}, mainKey: 'main',
    maintenance: {mode: 'warn', pruneAfter: '30d', maxEntries: 500},
  },
  logging: {level: 'trace', consoleStyle: 'compact', redactPatterns: ['x'], file: '/tmp/openclaw.log'},
  channels: {telegram: {enabled: true, botToken: 'x', dmPolicy: 'pairing', groups: {'*': {requireMention: true}}}},
  bindings: [{agentId: 'work', match: {channel: 'telegram'}}],
  cron: {enabled: true}, hooks: {enabled: false}, skills: {entries: {x: {enabled: true}}}, plugins: {entries: {}},
  messages: {ackReaction: '👀'}, talk: {voiceId: 'x'}, ui: {seamColor: '#f00'}, browser: {enabled: true},
}"""


def test_an_openclaw_file_starts(place: Place) -> None:
    """A user's file starts unchanged; one line names what is ignored, replaced by something safer, or left out."""
    settings = place.load(OPENCLAW_FILE)
    warning, unsupported = settings.warnings
    assert all("\n" not in line for line in settings.warnings)
    without_effect = "gateway.http.endpoints.responses.enabled, gateway.controlUi.enabled, gateway.controlUi.basePath"
    assert unsupported.endswith(f"without effect: {without_effect}")
    for ignored in (
        "channels",
        "gateway.tailscale.mode",
        "agents.defaults.heartbeat.every",
        "bindings",
        "env.shellEnv",
    ):
        assert f"{ignored}," in warning or f"{ignored};" in warning
    assert not any(neutral in warning for neutral in ("meta", "wizard", "gateway.mode", "models.mode", "hooks"))
    assert 'agents.list[1].sandbox.mode is "all" and there is no sandbox here' in warning
    assert 'gateway.bind "tailnet" by "loopback"' in warning
    assert 'tools.profile "messaging" by "minimal"' in warning
    assert 'agents.list[1].tools.profile "messaging" by "minimal"' in warning
    assert 'models.providers.ollama.api "ollama" by "openai-completions"' in warning
    assert warning.endswith('; left out gateway.controlUi.allowedOrigins[0] "*"')
    assert settings.gateway.control_ui.allowed_origins == ()
    assert settings.gateway.bind_host == "127.0.0.1"
    assert settings.tools.profile == settings.agents["work"].tools.profile == "minimal"
    assert settings.providers["openrouter"].models[0].input == ("text", "image")


def paths(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, below in tree.items():
        yield (*path, key)
        yield from paths(below, (*path, key))


def nested(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = [value] if key == "[]" else {"x" if key == "*" else key: value}
    return value


def test_every_openclaw_key_is_accepted(place: Place) -> None:
    """No key of OpenClaw's, at whatever depth, is called unknown."""
    for path in paths(openclaw_keys()):
        lines = place.outcome(nested(path, {}))
        assert not [line for line in lines if "unknown key" in line], path


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"gatway": {}}, "gatway: found an unknown key; "),
        ({"envs": {}}, "envs: found an unknown key; allowed: agents, cluster, env, gateway, "),
        (
            {"secret": 1},
            "secret: found an unknown key; allowed: agents, cluster, env, gateway, logging, mcp, models, secrets, ",
        ),
        ({"gateway": {"Port": 1}}, "gateway.Port: found an unknown key; "),
        ({"agents": {"list": [{"id": "a", "modle": "x/y"}]}}, "agents.list[0].modle: found an unknown key; "),
        ({"gateway": {"tailscale": {"mod": "serve"}}}, "gateway.tailscale.mod: found an unknown key; "),
        ({"gateway": {"odd name": 1}}, 'gateway["odd name"]: found an unknown key; '),
    ],
)
def test_unknown_keys_are_faults(refused: Refused, document: Any, line: str) -> None:
    """A key that neither product has is a fault at its full path."""
    assert refused(document).startswith(line)


@pytest.mark.parametrize(
    ("document", "meant"),
    [
        ({"gatway": {}}, "gateway"),
        ({"gateway": {"Port": 1}}, "port"),
        ({"gateway": {"talscale": {}}}, "tailscale"),
        ({"agents": {"defaults": {"modle": "x/y"}}}, "model"),
    ],
)
def test_a_near_key_is_suggested(refused: Refused, document: Any, meant: str) -> None:
    """A slip of the pen is answered with the key that was meant, ours or OpenClaw's."""
    assert refused(document).endswith(f"did you mean {meant}?")


def test_free_maps_take_any_name(place: Place) -> None:
    """Names of headers, variables and prices are the user's own."""
    provider = {"baseUrl": "http://x", "headers": {"X-Own": "1"}, "models": [{"id": "m", "cost": {"own": 1}}]}
    server = {"command": "x", "env": {"OWN": "1"}, "enabled": False}
    assert place.load({"models": {"providers": {"p": provider}}, "mcp": {"servers": {"s": server}}}).warnings == ()


@pytest.mark.parametrize(
    ("document", "meant"),
    [
        ({"providers": {}}, "models.providers"),
        ({"models": {"default": "p/m"}}, "agents.defaults.model"),
        ({"agents": {"researcher": {"model": "p/m"}}}, "agents.entries.researcher"),
        ({"gateway": {"cors": {"origins": ["*"]}}}, "gateway.http.cors"),
        ({"permissions": {"autoApprove": True}}, "tools"),
        ({"exec": {"security": "deny"}}, "tools.exec"),
        ({"sandbox": {"mode": "all"}}, "agents.defaults.sandbox"),
        ({"version": "1"}, "meta.lastTouchedVersion"),
    ],
)
def test_what_people_write_that_was_never_a_key(refused: Refused, document: Any, meant: str) -> None:
    """It is a fault that says where it belongs: a limit that stands in the wrong place must not be lost."""
    assert refused(document).endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"gateway": {"tailscale": {"mode": "off", "resetOnExit": False}}}, ["gateway.tailscale.resetOnExit"]),
        ({"tools": {"web": {"search": {"enabled": False, "apiKey": "k"}}}}, []),
        ({"tools": {"web": {"search": {"enabled": True, "apiKey": "k"}}}},
         ["tools.web.search.enabled", "tools.web.search.apiKey"]),
        ({"agents": {"defaults": {"compaction": {}, "heartbeat": {"every": "1h"}}}},
         ["agents.defaults.heartbeat.every"]),
        ({"hooks": {"enabled": False}, "meta": {"x": 1}, "wizard": {}, "$schema": "x"}, []),
        ({"gateway": {"mode": "local"}, "models": {"mode": "merge"}}, []),
        ({"gateway": {"mode": "remote"}}, ["gateway.mode"]),
        ({"channels": {"telegram": {"enabled": True, "botToken": "t"}}}, ["channels"]),
    ],
)  # fmt: skip
def test_what_is_ignored_is_named_as_far_as_it_says_something(place: Place, document: Any, named: list[str]) -> None:
    """Each setting by its own path, sections without use here by their name, and what says nothing not at all."""
    warnings = place.load(document).warnings
    if named:
        assert warnings[0].endswith(f"as they are written: ignored {', '.join(named)}")
    else:
        assert warnings == ()


def test_a_warning_names_a_bounded_number_of_keys(place: Place) -> None:
    """A file of thousands of such keys makes one line that can be read, and says how many more there are."""
    agents = [{"id": f"agent-{number}", "humanDelay": {"mode": "off"}} for number in range(1_000)]
    (warning,) = place.load({"agents": {"list": agents}}).warnings
    assert len(warning) < 20_000
    assert warning.endswith(" and 800 more (see `config validate --explain`)")
