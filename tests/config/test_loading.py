import os
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from app.config import ConfigError, ModelChoice, check, load
from tests.config.conftest import TOKEN, Place

Refused = Callable[..., str]


def test_defaults_apply_without_a_file(place: Place) -> None:
    """A secret in the environment is enough: endpoint off, agent main, local model."""
    settings = load(place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN))
    assert (settings.gateway.port, settings.gateway.bind_host) == (18789, "127.0.0.1")
    assert not settings.gateway.chat_completions.enabled
    assert list(settings.agents) == [settings.default_agent] == ["main"]
    assert settings.agents["main"].model == ModelChoice("local/smollm2-135m")
    assert settings.agents["main"].workspace == place.state_dir / "workspace"
    assert settings.storage_url.startswith(f"sqlite:///{place.state_dir}/")


def test_neither_file_nor_secret_says_how_to_onboard(place: Place) -> None:
    """The only fault names the path that was looked at and the command."""
    with pytest.raises(ConfigError) as refused:
        load(place.environment())
    (fault,) = refused.value.faults
    assert fault.where == str(place.file)
    assert "`.venv/bin/python -m app onboard`" in fault.what


def test_every_key_arrives(place: Place) -> None:
    """Each key of the file is found in the settings, in its own type."""
    settings = place.load(
        """{
        // a comment
        gateway: {
          port: 4000, bind: 'custom', customBindHost: '::1', trustedProxies: ['10.0.0.1', '10.1.0.0/16'],
          allowedHosts: ['gw.example'], publicOrigin: 'https://GW.example/', maxRuns: 5, reload: {mode: 'off'},
          auth: {mode: 'token', token: 'in the file', rateLimit: {maxAttempts: 3, windowMs: 10, exemptLoopback: false}},
          http: {
            endpoints: {
              chatCompletions: {enabled: true, maxBodyBytes: 10, reasoning: true,
                maxImageParts: 3, maxTotalImageBytes: 1000, images: {allowUrl: true, maxRedirects: 0}},
              responses: {enabled: true},
            },
            cors: {allowedOrigins: ['https://a.example']},
          },
          controlUi: {enabled: false, basePath: 'ui/', allowedOrigins: ['http://b.example:8080']},
        },
        models: {providers: {
          openai: {
            baseUrl: 'https://api.openai.com/v1', apiKey: 'k', headers: {'X-Org': 'o'}, timeoutSeconds: 9.5,
            compat: {maxTokensField: 'max_completion_tokens'},
            models: [{id: 'gpt-5', input: ['text', 'image'], contextWindow: 9,
                      cost: {input: 1, output: 2.5, other: 'x'}}],
          },
        }},
        tools: {deny: ['exec'], exec: {security: 'allowlist', safeBins: ['ls']}},
        mcp: {servers: {files: {command: 'mcp-files', args: ['-v'], env: {N: 1}, toolFilter: {exclude: ['rm']}}}},
        session: {queueLimit: 256, maintenance: {pruneAfter: '12h', maxEntries: 5}, reset: {idleMinutes: 30}},
        logging: {level: 'debug', consoleStyle: 'json'},
        storage: {url: 'postgresql://u:p@db/x'},
        cluster: {redisUrl: 'redis://r:6379/0'},
        }""",
        NONE="",
    )
    gateway = settings.gateway
    assert (gateway.port, gateway.bind_host, gateway.max_runs, gateway.reload_mode) == (4000, "::1", 5, "off")
    assert gateway.trusted_proxies == (ip_network("10.0.0.1/32"), ip_network("10.1.0.0/16"))
    assert (gateway.public_origin, gateway.allowed_hosts) == ("https://gw.example", ("gw.example",))
    assert (gateway.auth.token, gateway.auth.rate_limit.max_attempts) == ("in the file", 3)
    assert not gateway.auth.rate_limit.exempt_loopback
    assert gateway.chat_completions.enabled
    assert gateway.chat_completions.reasoning
    chat = gateway.chat_completions
    assert (chat.max_image_parts, chat.max_total_image_bytes) == (3, 1000)
    assert gateway.responses_enabled
    assert gateway.chat_completions.images.allow_url
    assert gateway.chat_completions.images.max_redirects == 0
    assert gateway.cors_allowed_origins == ("https://a.example",)
    assert (gateway.control_ui.base_path, gateway.control_ui.enabled) == ("/ui", False)
    openai = settings.providers["openai"]
    assert (openai.api, openai.api_key, openai.headers["X-Org"]) == ("openai-completions", "k", "o")
    (model,) = openai.models
    assert (model.name, model.input, openai.compat.max_tokens_field) == (
        "gpt-5",
        ("text", "image"),
        "max_completion_tokens",
    )
    assert dict(model.cost) == {"input": 1, "output": 2.5}
    assert (settings.tools.profile, settings.tools.deny, settings.tools.exec.safe_bins) == (
        "minimal",
        ("exec",),
        ("ls",),
    )
    server = settings.mcp_servers["files"]
    assert (server.args, dict(server.env), server.exclude) == (("-v",), {"N": "1"}, ("rm",))
    session = settings.session
    assert (session.queue_limit, session.prune_after_seconds, session.idle_minutes) == (256, 43_200, 30)
    assert (settings.logging.level, settings.redis_url) == ("debug", "redis://r:6379/0")


def test_environment_wins_over_the_file(place: Place) -> None:
    """Token and port of the environment replace those of the file."""
    document = {"gateway": {"port": 1, "auth": {"token": "in the file"}}}
    settings = place.load(document, OPENCLAW_GATEWAY_TOKEN=TOKEN, OPENCLAW_GATEWAY_PORT="4001")
    assert (settings.gateway.auth.token, settings.gateway.port) == (TOKEN, 4001)


def test_repr_hides_secrets(place: Place) -> None:
    """Settings in a log show no secret."""
    provider = {"baseUrl": "http://x", "apiKey": TOKEN, "headers": {"Authorization": TOKEN}}
    settings = place.load({"models": {"providers": {"x": provider}}, "storage": {"url": f"postgresql://u:{TOKEN}@h/d"}})
    assert settings.gateway.auth.token == TOKEN
    assert TOKEN not in repr(settings)


def test_ten_faults_are_ten_lines(place: Place) -> None:
    """Everything that is wrong is named at once, environment included."""
    lines = place.faults(
        {
            "gateway": {"port": "80", "bind": "wan", "prot": 1, "auth": {"mode": "token"}},
            "agents": {"list": [{"id": "a"}, {"id": "b"}, {"id": "c", "model": "nobody/x"}, {"id": "D"}]},
            "models": {"providers": {"own": {}}},
            "session": {"maintenance": {"pruneAfter": "soon"}},
            "logging": {"level": True},
        },
        OPENCLAW_GATEWAY_PORT="x",
    )
    assert sorted(line.partition(":")[0] for line in lines) == [
        "OPENCLAW_GATEWAY_PORT",
        "agents.list[2].model",
        "agents.list[3].id",
        "gateway.auth.token",
        "gateway.bind",
        "gateway.port",
        "gateway.prot",
        "logging.level",
        "models.providers.own.baseUrl",
        "session.maintenance.pruneAfter",
    ]
    assert all("found" in line and "allowed" in line and "\n" not in line for line in lines)


@pytest.mark.parametrize(
    ("text", "place_in_file"),
    [
        ("{\n  gateway: {\n    port: }", "3:11"),
        ("{a: 1} x", "1:"),
        ("{'é😀': 1,\n b 2}", "2:"),
        ("", "1:1"),
        ("{", "1:1"),
    ],
)
def test_syntax_faults_have_line_and_column(place: Place, text: str, place_in_file: str) -> None:
    """A broken file is one fault that says where."""
    (line,) = place.faults(text)
    assert line.startswith(f"{place.file}:{place_in_file}")


@pytest.mark.parametrize("text", ["[]", "null", "1", '"x"'])
def test_the_file_is_an_object(refused: Refused, text: str) -> None:
    """Any other JSON5 value is refused."""
    assert "allowed: one JSON5 object" in refused(text)


def test_unreadable_files_are_one_fault(place: Place) -> None:
    """A folder or a file that isn't UTF-8 is one clear line."""
    place.file.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigError, match="not UTF-8 text at byte 7"):
        load(place.environment())
    place.file.unlink()
    place.file.mkdir()
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load(place.environment())


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ("gateway.port", 0),
        ("gateway.port", 65_536),
        ("gateway.port", True),
        ("gateway.port", 80.0),
        ("gateway.port", None),
        ("gateway.auth.rateLimit.exemptLoopback", 1),
        ("gateway.auth.token", " padded "),
        ("gateway.auth.token", "line\nbreak"),
        ("gateway.http.endpoints.chatCompletions.enabled", "true"),
        ("gateway.http.cors.allowedOrigins", "https://x"),
        ("gateway.controlUi.basePath", "/../x"),
        ("agents.defaults.timeoutSeconds", "600"),
        ("agents.defaults.timeoutSeconds", 0),
        ("agents.defaults.model", "gpt-5"),
        ("session.queueLimit", 0),
        ("session.maintenance.pruneAfter", "0d"),
        ("session.maintenance.pruneAfter", "30 days"),
        ("storage.url", "mysql://h/d"),
        ("cluster.redisUrl", "http://h"),
        ("tools.profile", "everything"),
        ("logging", "loud"),
    ],
)
def test_wrong_values_are_faults(refused: Refused, keys: str, value: Any) -> None:
    """A value that a key doesn't allow is a fault at the key's full path."""
    document = value
    for key in reversed(keys.split(".")):
        document = {key: document}
    assert refused(document).startswith(f"{keys}: found ")


def test_a_file_that_others_can_read_is_told(place: Place) -> None:
    """A literal secret in a file that others can read is a warning; a reference isn't one."""
    place.write({"gateway": {"auth": {"token": "literal"}}})
    place.file.chmod(0o644)
    (warning,) = load(place.environment()).warnings
    assert "chmod 600" in warning
    place.write({"gateway": {"auth": {"token": "${T}"}}})
    place.file.chmod(0o644)
    assert load(place.environment(T="x")).warnings == ()


@pytest.mark.parametrize(
    ("section", "warned"),
    [
        ({"models": {"providers": {"p": {"baseUrl": "http://x", "headers": {"Authorization": "Bearer k"}}}}}, True),
        ({"models": {"providers": {"p": {"baseUrl": "http://x", "headers": {"X-Api-Key": "${T}"}}}}}, False),
        ({"models": {"providers": {"p": {"baseUrl": "http://x", "headers": {"X-Org": "o"}}}}}, False),
        ({"mcp": {"servers": {"s": {"url": "http://x", "headers": {"Cookie": "k"}, "enabled": False}}}}, True),
        ({"mcp": {"servers": {"s": {"command": "x", "env": {"GITHUB_TOKEN": "k"}, "enabled": False}}}}, True),
        ({"mcp": {"servers": {"s": {"command": "x", "env": {"LANG": "C"}, "enabled": False}}}}, False),
    ],
)
def test_headers_and_variables_may_be_secrets(place: Place, section: Any, warned: bool) -> None:
    """A literal header or variable whose name looks secret counts as a secret that others can read."""
    place.write(section)
    place.file.chmod(0o644)
    warnings = load(place.environment(OPENCLAW_GATEWAY_TOKEN=TOKEN, T="x")).warnings
    assert [f"chmod 600 {place.file}" in line for line in warnings] == [True] * warned


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_an_open_state_dir_is_told(place: Place, mode: int) -> None:
    """A state dir that others may enter is one warning with the command that closes it."""
    place.state_dir.chmod(mode)
    (warning,) = place.load({}).warnings
    assert warning.endswith(f": chmod 700 {place.state_dir}")


@pytest.mark.parametrize("name", ["with space", "what?", "100%41", "a#b"])
def test_the_default_storage_is_in_the_state_dir(tmp_path: Path, name: str) -> None:
    """What follows sqlite:/// is the file's path as it is, whatever the state dir's name holds."""
    place = Place(tmp_path / name)
    place.state_dir.mkdir(mode=0o700)
    assert place.load({}).storage_url.removeprefix("sqlite:///") == f"{place.state_dir}/gateway.sqlite3"


def test_workspaces(place: Place) -> None:
    """The default agent has the base folder, others one beside it, and an own path wins."""
    document = {"agents": {"list": [{"id": "main"}, {"id": "b"}, {"id": "c", "workspace": "~/c"}]}}
    agents = place.load(document).agents
    assert agents["main"].workspace == place.state_dir / "workspace"
    assert agents["b"].workspace == place.state_dir / "workspace-b"
    assert agents["c"].workspace == Path("~/c").expanduser()


@pytest.mark.parametrize(
    "document",
    [
        {"gateway": {"auth": TOKEN}},
        {"gateway": {"auth": {"token": [TOKEN]}}},
        {"gateway": {"auth": {"password": f"{TOKEN}\n"}}},
        {"models": {"providers": {"x": TOKEN}}},
        {"models": {"providers": {"x": {"baseUrl": f"ftp://u:{TOKEN}@h", "apiKey": {"key": TOKEN}}}}},
        {"models": {"providers": {"x": {"baseUrl": "http://h", "headers": {"A": f" {TOKEN}"}}}}},
        {"storage": {"url": f"mysql://u:{TOKEN}@h/d"}},
        {"mcp": {"servers": {"x": {"command": "c", "env": {"KEY": [TOKEN]}}}}},
    ],
)
def test_faults_show_no_secret(place: Place, document: Any) -> None:
    """A fault at a secret, or where one was put by mistake, tells its type only."""
    assert TOKEN not in "\n".join(place.faults(document))


def test_a_name_that_stands_twice_is_a_fault(place: Place) -> None:
    """Both places are told, with every other fault."""
    lines = place.faults(
        "{\n  gateway: {\n    port: 1,\n    bind: 'wan',\n    port: 2,\n  },\n  logging: {},\n  logging: {},\n}"
    )
    assert lines[:2] == [
        "gateway.port (openclaw.json:5:5): found a second time, first at 3:5; allowed: once",
        "logging (openclaw.json:8:3): found a second time, first at 7:3; allowed: once",
    ]
    assert [line.partition(": ")[0] for line in lines[2:]] == ["gateway.bind"]


@pytest.mark.parametrize("special", ["pipe", "/dev/zero"])
def test_only_a_regular_file_is_read(place: Place, special: str) -> None:
    """Nobody waits for somebody to write into a pipe, and nothing that has no end is read."""
    os.mkfifo(place.file) if special == "pipe" else place.file.symlink_to(special)
    with pytest.raises(ConfigError, match="is not a regular file"):
        load(place.environment())


def test_a_text_has_a_bound(place: Place) -> None:
    """A file that no hand has written is one line, at once, whether it is loaded or only checked."""
    text = "{" + "a:1," * 1_250_000 + "}"
    (line,) = place.faults(text)
    assert line == f"{place.file}: found 5000002 characters; allowed: at most 1048576"
    with pytest.raises(ConfigError, match="found 5000002 characters; allowed: at most 1048576"):
        check(text, place.environment())


def test_a_check_says_what_a_load_would(place: Place) -> None:
    """Faults and settings are the same, apart from how the file itself is called."""
    (place.state_dir / ".env").write_text("A=1\nOPENCLAW_GATEWAY_PORT=4000")
    (place.state_dir / "base.json5").write_text("{session: {queueLimit: 5}, env: {T: 'x'}}")
    good = "{$include: 'base.json5', gateway: {auth: {token: '${T}'}}}"
    assert check(good, place.environment(NONE="")) == place.load(good, NONE="")
    bad = "{$include: 'base.json5', gateway: {prot: 1, prot: 2}, session: {queueLimit: '${B}'}}"
    with pytest.raises(ConfigError) as refused:
        check(bad, place.environment(NONE=""))
    assert [str(fault) for fault in refused.value.faults] == place.faults(bad, NONE="")


def test_a_load_tells_what_it_looked_at(place: Place) -> None:
    """Each file that it is made of, also those that are missing, and so does a load that fails."""
    for name in ("base.json5", "inner.json5", "token.txt"):
        (place.state_dir / name).write_text("{$include: 'inner.json5'}" if name == "base.json5" else "{}")
    document = {"$include": "base.json5", "gateway": {"auth": {"token": {"source": "file", "id": "token.txt"}}}}
    settings = place.load(document, NONE="")
    names = {"openclaw.json", ".env", "base.json5", "inner.json5", "token.txt"}
    assert {path.name for path in settings.files} == names
    assert {path.name for path, state in settings.files.items() if state is None} == {".env"}
    with pytest.raises(ConfigError) as refused:
        place.load({**document, "$include": ["base.json5", "gone.json5"]}, NONE="")
    assert {path.name for path in refused.value.files} == names - {"token.txt"} | {"gone.json5"}
