from collections.abc import Callable
from typing import Any

import pytest

from app.config import ModelChoice
from tests.config.conftest import TOKEN, Place

Refused = Callable[..., str]

PROXY_AUTH = {"mode": "trusted-proxy", "trustedProxy": {"userHeader": "x-user"}}


def test_no_secret_says_how_to_make_one(refused: Refused) -> None:
    """A start without a secret is refused, with the way out."""
    line = refused({}, NONE="")
    assert line.startswith("gateway.auth.token: found nothing")
    assert "`.venv/bin/python -m app onboard`" in line
    assert "openssl rand -hex 32" in line
    assert "OPENCLAW_GATEWAY_TOKEN" in line


def test_both_secrets_need_a_mode(refused: Refused) -> None:
    """Token and password without a mode is refused, wherever they stand."""
    line = refused({"gateway": {"auth": {"password": "p"}}}, OPENCLAW_GATEWAY_TOKEN=TOKEN)
    assert line.startswith("gateway.auth.mode: found nothing")


def test_both_secrets_with_a_mode(place: Place) -> None:
    """With a mode, both secrets may be set."""
    auth = place.load({"gateway": {"auth": {"mode": "password", "token": "t", "password": "p"}}}).gateway.auth
    assert (auth.mode, auth.password) == ("password", "p")


def test_a_lone_password_means_password_mode(place: Place) -> None:
    """The only secret there is decides the mode."""
    assert place.load({}, OPENCLAW_GATEWAY_PASSWORD="p").gateway.auth.mode == "password"


def test_password_mode_needs_a_password(refused: Refused) -> None:
    """A token is no password."""
    assert refused({"gateway": {"auth": {"mode": "password"}}}).startswith("gateway.auth.password: found nothing")


@pytest.mark.parametrize("bind", [{}, {"bind": "loopback"}, {"bind": "custom", "customBindHost": "127.0.0.2"}])
def test_none_on_loopback(place: Place, bind: dict[str, str]) -> None:
    """Mode none serves on loopback, without any secret."""
    assert place.load({"gateway": {"auth": {"mode": "none"}, **bind}}, NONE="").gateway.auth.mode == "none"


@pytest.mark.parametrize("bind", [{"bind": "lan"}, {"bind": "custom", "customBindHost": "192.168.0.2"}])
def test_none_elsewhere_is_refused(refused: Refused, bind: dict[str, str]) -> None:
    """Mode none is refused where others could reach it."""
    line = refused({"gateway": {"auth": {"mode": "none"}, **bind}})
    assert line.startswith('gateway.auth.mode: found "none"')


def test_custom_bind_needs_an_address(refused: Refused) -> None:
    """bind "custom" without an address is refused."""
    assert refused({"gateway": {"bind": "custom"}}).startswith("gateway.customBindHost: found nothing")


def test_trusted_proxy(place: Place) -> None:
    """With its header and the proxy's addresses, trusted-proxy starts without a secret."""
    gateway = place.load({"gateway": {"auth": PROXY_AUTH, "trustedProxies": ["10.0.0.1"]}}, NONE="").gateway
    assert gateway.auth.trusted_proxy is not None
    assert gateway.auth.trusted_proxy.user_header == "x-user"


def test_trusted_proxy_needs_header_and_addresses(place: Place) -> None:
    """Both missing parts are named at once."""
    lines = place.faults({"gateway": {"auth": {"mode": "trusted-proxy"}}})
    assert [line.partition(":")[0] for line in lines] == [
        "gateway.auth.trustedProxy.userHeader",
        "gateway.trustedProxies",
    ]


@pytest.mark.parametrize("network", ["127.0.0.1", "::1", "0.0.0.0/0", "loopback"])
def test_loopback_proxies_need_consent(place: Place, refused: Refused, network: str) -> None:
    """A proxy on this machine is trusted only with allowLoopback."""
    document: Any = {"gateway": {"auth": PROXY_AUTH, "trustedProxies": ["10.0.0.1", network]}}
    assert refused(document).startswith("gateway.trustedProxies[1]: ")
    consent = {"userHeader": "x-user", "allowLoopback": True}
    document["gateway"]["auth"] = {"mode": "trusted-proxy", "trustedProxy": consent}
    assert place.load(document)


def agents(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"agents": {"list": list(entries)}}


@pytest.mark.parametrize(
    ("entries", "default"),
    [
        ([{"id": "a"}, {"id": "main"}], "main"),
        ([{"id": "a"}, {"id": "b"}], "a"),
        ([{"id": "main"}, {"id": "b", "default": True}], "b"),
        ([], "main"),
    ],
)
def test_default_agent(place: Place, entries: list[dict[str, Any]], default: str) -> None:
    """The marked one, else main, else the first."""
    assert place.load(agents(*entries)).default_agent == default


def test_entries_are_agents_too(place: Place) -> None:
    """agents.entries says the same as agents.list."""
    settings = place.load({"agents": {"entries": {"a": {"name": "A"}, "b": {"default": True}}}})
    assert [(agent.id, agent.name) for agent in settings.agents.values()] == [("a", "A"), ("b", "b")]
    assert settings.default_agent == "b"


def test_list_and_entries_exclude_each_other(refused: Refused) -> None:
    """Both forms at once are refused."""
    assert refused({"agents": {"list": [{"id": "a"}], "entries": {"b": {}}}}).startswith("agents.entries: found both")


@pytest.mark.parametrize("name", ["Main", "", "a b", "a/b", "x" * 65])
def test_agent_ids(refused: Refused, name: str) -> None:
    """An id that can't stand in a session key is refused in both forms."""
    assert refused(agents({"id": name})).startswith("agents.list[0].id: ")
    assert refused({"agents": {"entries": {name: {}}}}).startswith("agents.entries")


def test_agents_contradict(place: Place) -> None:
    """Equal ids and two defaults are named at the second agent."""
    lines = place.faults(agents({"id": "a", "default": True}, {"id": "a", "default": True}))
    assert [line.partition(":")[0] for line in lines] == ["agents.list[1].id", "agents.list[1].default"]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("nobody/x", "agents.list[0].model"),
        ("local/x", "agents.list[0].model"),
        ({"primary": "nobody/x"}, "agents.list[0].model.primary"),
    ],
)
def test_unknown_models(refused: Refused, model: Any, path: str) -> None:
    """A model that no provider has is refused."""
    assert refused({**PROVIDERS, **agents({"id": "a", "model": model})}).startswith(f"{path}: found ")


def test_a_list_of_models_is_all_under_replace(place: Place) -> None:
    """With models.mode replace a provider has the models that it lists; otherwise it may have others."""
    listed = {**PROVIDERS, **agents({"id": "a", "model": "listed/x"})}
    assert place.load(listed).agents["a"].model.primary == "listed/x"
    listed["models"] = {**PROVIDERS["models"], "mode": "replace"}
    (line,) = place.faults(listed)
    assert line == 'agents.list[0].model: found "listed/x"; allowed: listed/one/two'


def test_a_choice_goes_on_without_what_cannot_be_asked(place: Place) -> None:
    """What can't be asked is named in a warning, where another can; where none can, each is a fault."""
    choice = {"primary": "nobody/x", "fallbacks": ["any/y", "github-copilot/gpt-4o", "any/z"]}
    settings = place.load({**PROVIDERS, **agents({"id": "a", "model": choice})})
    assert settings.agents["a"].model == ModelChoice("any/y", ("any/z",))
    warning = next(line for line in settings.warnings if "can't be asked" in line)
    assert 'agents.list[0].model.primary "nobody/x"' in warning
    assert 'agents.list[0].model.fallbacks[1] "github-copilot/gpt-4o" (allowed: another model: ' in warning
    lines = place.faults(agents({"id": "a", "model": {"primary": "nobody/x", "fallbacks": ["openai-codex/gpt-5.4"]}}))
    assert [line.partition(":")[0] for line in lines] == [
        "agents.list[0].model.primary",
        "agents.list[0].model.fallbacks[0]",
    ]


PROVIDERS = {
    "models": {
        "providers": {
            "any": {"baseUrl": "http://127.0.0.1:11434/v1"},
            "listed": {"baseUrl": "https://x", "models": [{"id": "one/two"}]},
        }
    }
}


@pytest.mark.parametrize("model", ["local/smollm2-135m", "any/thing:7b", "listed/one/two"])
def test_known_models(place: Place, model: str) -> None:
    """The built-in model, a listed one, and any of a provider without a list."""
    settings = place.load({**PROVIDERS, **agents({"id": "a", "model": {"primary": model, "fallbacks": [model]}})})
    assert settings.agents["a"].model.primary == model


def test_an_agent_without_a_model_has_the_default_one(place: Place) -> None:
    """agents.defaults fills in what an agent leaves out, and an own model brings no foreign fallbacks."""
    defaults = {"model": {"primary": "any/a", "fallbacks": ["any/b"]}, "maxTurns": 7, "tools": {"deny": ["exec"]}}
    own = {"id": "b", "model": "any/c", "tools": {"deny": ["read"]}}
    document = {**PROVIDERS, "agents": {"defaults": defaults, "list": [{"id": "a"}, own]}}
    loaded = place.load(document).agents
    assert (loaded["a"].model.primary, loaded["a"].model.fallbacks, loaded["a"].max_turns) == ("any/a", ("any/b",), 7)
    assert (loaded["b"].model.primary, loaded["b"].model.fallbacks) == ("any/c", ())
    assert loaded["b"].tools.deny == ("exec", "read")


def test_mcp_servers_have_one_transport(refused: Refused) -> None:
    """A server is a command or a URL."""
    assert refused({"mcp": {"servers": {"x": {"command": "a", "url": "http://b"}}}}).startswith("mcp.servers.x: ")
    assert refused({"mcp": {"servers": {"x": {}}}}).startswith("mcp.servers.x: ")
