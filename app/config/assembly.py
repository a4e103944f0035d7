"""From checked data to frozen ``Settings``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from app.config import settings as kinds
from app.config.environment import Environment
from app.config.faults import Report, dotted
from app.config.fields import SAMPLING
from app.config.modelless import note_modelless
from app.config.models import Usable, aliases_of, bind_overrides
from app.config.narrowing import Naming, Written, sandboxed, tools_of
from app.config.overruled import tell_overruled
from app.config.rules import auth_mode, written_agents
from app.config.schemas import WEEK_SECONDS
from app.config.settings import NO_COMPAT
from app.config.well_known import WELL_KNOWN, address_of, needs_bearer, well_known_keys, well_known_provider

Data = Mapping[str, Any]
T = TypeVar("T")

# Members of a request that no ``extra_body`` replaces.
OWN_FIELDS = frozenset({"model", "messages", "input", "stream", "tools"})


def assemble(data: Data, environment: Environment, report: Report) -> kinds.Settings:
    """data: a document that passed the schema and the rules, so nothing here can fail.

    What holds instead of what the file asks for is reported.
    """
    session, logging = data.get("session", {}), data.get("logging", {})
    maintenance = session.get("maintenance", {})
    storage_url = data.get("storage", {}).get("url") or f"{kinds.SQLITE}{environment.state_dir}/gateway.sqlite3"
    credentials = environment.credentials_dir
    folders = (environment.state_dir, credentials) if credentials else (environment.state_dir,)
    private = (*folders, *kinds.own_files(environment.config_path, storage_url))
    gateway = _gateway(data.get("gateway", {}), environment)
    naming = Naming(gateway.auth.mode == "trusted-proxy", aliases_of(report.document))
    tools = Written(data.get("tools", {}), ("tools",))
    usable = Usable(data, environment, report)
    agents, default_agent = _agents(data, environment, private, usable, report, naming=naming)
    servers = data.get("mcp", {}).get("servers", {})
    settings = kinds.Settings(
        path=environment.config_path,
        state_dir=environment.state_dir,
        gateway=gateway,
        agents=MappingProxyType(agents),
        default_agent=default_agent,
        providers=MappingProxyType(_providers(data, agents, environment, usable, report)),
        storage_url=storage_url,
        tools=tools_of(Written({}, ()), tools, naming, report, usual="minimal"),
        mcp_servers=MappingProxyType({name: _server(name, server) for name, server in servers.items()}),
        session=_make(
            kinds.Session,
            session,
            without=("maintenance", "reset"),
            **_renamed(maintenance, prune_after="prune_after_seconds", max_entries="max_entries"),
            **session.get("reset", {}),
        ),
        logging=_make(kinds.Logging, logging),
        redis_url=data.get("cluster", {}).get("redis_url"),
        aliases=MappingProxyType(naming.aliases),
        credentials_dir=credentials,
    )
    owners = ((), ("agents", "defaults"), *(path for path, _, _ in written_agents(data.get("agents", {}))))
    note_modelless(settings, ((*path, "tools") for path in owners), report)
    return settings


def _make(kind: type[T], data: Data, *, without: tuple[str, ...] = (), **more: Any) -> T:
    values = {key: value for key, value in data.items() if key not in without} | more
    return kind(**{key: _frozen(value) for key, value in values.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return MappingProxyType(value) if isinstance(value, dict) else value


def _renamed(data: Data, **names: str) -> dict[str, Any]:
    return {name: data[key] for key, name in names.items() if key in data}


def _gateway(gateway: Data, environment: Environment) -> kinds.Gateway:
    auth = gateway.get("auth", {})
    http = gateway.get("http", {})
    endpoints = http.get("endpoints", {})
    chat = endpoints.get("chat_completions", {})
    proxy = auth.get("trusted_proxy")
    overrides = {"port": environment.port} if environment.port else {}
    return _make(
        kinds.Gateway,
        gateway,
        without=("http", "reload"),
        **overrides,
        trusted_proxies=[network for networks in gateway.get("trusted_proxies", ()) for network in networks],
        auth=kinds.Auth(
            mode=auth_mode(auth, environment),
            token=environment.token or auth.get("token"),
            password=environment.password or auth.get("password"),
            rate_limit=_make(kinds.RateLimit, auth.get("rate_limit", {})),
            trusted_proxy=_make(kinds.TrustedProxyAuth, proxy) if proxy is not None else None,
        ),
        chat_completions=_make(
            kinds.ChatCompletions, chat, images=_make(kinds.Images, chat.get("images", {})), without=("images",)
        ),
        connections=_make(kinds.ConnectionLimits, gateway.get("connections", {})),
        responses_enabled=endpoints.get("responses", {}).get("enabled", False),
        cors_allowed_origins=http.get("cors", {}).get("allowed_origins", []),
        control_ui=_make(kinds.ControlUi, gateway.get("control_ui", {})),
        tools=_make(kinds.InvokedTools, gateway.get("tools", {})),
        reload_mode=gateway.get("reload", {}).get("mode", "hybrid"),
    )


def _providers(
    data: Data, agents: Mapping[str, kinds.Agent], environment: Environment, usable: Usable, report: Report
) -> dict[str, kinds.Provider]:
    written, keys = data.get("models", {}).get("providers", {}), well_known_keys(environment)
    for name, why in usable.closed.items():
        report.unask(("models", "providers", name), f"models.providers.{name}: {why}")
    entries = data.get("agents", {}).get("defaults", {}).get("models", {})
    providers = {
        name: _provider(name, _complete(name, provider, keys.get(name), report), entries)
        for name, provider in written.items()
        if name not in usable.closed
    }
    chosen = {ref for agent in agents.values() for ref in (agent.model.primary, *agent.model.fallbacks)}
    section = data.get("agents", {})
    owners = [section.get("defaults", {}), *(agent for _, _, agent in written_agents(section))]
    named = {ref for owner in owners for ref in owner.get("models", {})}
    wanted = {ref.partition("/")[0] for ref in chosen | named} - written.keys()
    if data.get("models", {}).get("mode") == "replace":
        return providers
    return providers | {name: well_known_provider(name, key) for name, key in keys.items() if name in wanted}


def _complete(name: str, provider: Data, key: str | None, report: Report) -> Data:
    """A provider's entry with what is known of a provider of that name, and with its OpenAI-compatible address."""
    known, whole = WELL_KNOWN.get(name), dict(provider)
    path = ("models", "providers", name)
    api = report.at((*path, "api"))
    if known is not None:
        whole.setdefault("api", known.api)
        if "base_url" not in whole:
            whole["base_url"] = known.base_url
            # Of another address the file says what it is to be given.
            if key is not None and not any(header.lower() == "authorization" for header in whole.get("headers", {})):
                whole.setdefault("api_key", key)
    address = address_of(name, api if isinstance(api, str) else None, whole["base_url"])
    if address != whole["base_url"]:
        where = (*path, "baseUrl")
        report.reread(where, dotted(where), address, "the OpenAI-compatible address of the same server")
        whole["base_url"] = address
    if needs_bearer(name, whole.get("api_key")):
        whole.setdefault("auth_header", True)
    return whole


def _provider(name: str, provider: Data, entries: Data) -> kinds.Provider:
    """entries: ``agents.defaults.models``, which may name models that the provider doesn't list."""
    listed = [_model(model, provider, entries.get(f"{name}/{model['id']}", {})) for model in provider.get("models", [])]
    unlisted = entries.keys() - {f"{name}/{model.id}" for model in listed}
    more = [ref.removeprefix(f"{name}/") for ref in entries if ref in unlisted and ref.startswith(f"{name}/")]
    return _make(
        kinds.Provider,
        provider,
        without=("compat", "params"),
        id=name,
        models=listed,
        compat=_compat(provider.get("compat", {})),
        body=_body(provider),
        bodies=MappingProxyType({id: _body(provider, entries[f"{name}/{id}"]) for id in more}),
    )


def _model(model: Data, provider: Data, entry: Data) -> kinds.Model:
    return _make(
        kinds.Model,
        {"name": model["id"]} | dict(model),
        without=("compat", "input", "params"),
        input=tuple(dict.fromkeys(model.get("input", ["text"]))),
        compat=_compat(model.get("compat", {})),
        body=_body(provider, model, entry),
    )


def _compat(compat: Data) -> kinds.Compat:
    if not compat:
        return NO_COMPAT
    routing = ("open_router_routing", "vercel_gateway_routing")
    # As it is written: JSON that goes to the provider.
    made = _make(kinds.Compat, compat, without=("supports_store", "supports_developer_role", *routing))
    return replace(made, **{name: compat[name] for name in routing if name in compat})


def _body(*sections: Data) -> dict[str, Any]:
    """What ``params`` add to each request; a later section wins. The gateway's own part of a request stays its own."""
    body: dict[str, Any] = {}
    for params in (section.get("params", {}) for section in sections):
        if "chat_template_kwargs" in params:
            body["chat_template_kwargs"] = params["chat_template_kwargs"]
        body |= {**params.get("extraBody", {}), **params.get("extra_body", {})}
    return {name: value for name, value in body.items() if name not in OWN_FIELDS}


def _server(name: str, server: Data) -> kinds.McpServer:
    return _make(kinds.McpServer, server, without=("tool_filter",), name=name, **server.get("tool_filter", {}))


def _agents(
    data: Data, environment: Environment, private: tuple[Path, ...], usable: Usable, report: Report, *, naming: Naming
) -> tuple[dict[str, kinds.Agent], str]:
    section = data.get("agents", {})
    written = {str(name): agent for _, name, agent in written_agents(section)} or {kinds.MAIN_AGENT: {}}
    paths = {str(name): path for path, name, _ in written_agents(section)}
    marked = next((name for name, agent in written.items() if agent.get("default")), None)
    default = marked or (kinds.MAIN_AGENT if kinds.MAIN_AGENT in written else next(iter(written)))
    defaults = dict(section.get("defaults", {}))
    if defaults.get("timeout_seconds", 0) > WEEK_SECONDS:
        defaults["timeout_seconds"] = WEEK_SECONDS
        where, instead = ("agents", "defaults", "timeoutSeconds"), f"taken as {WEEK_SECONDS}"
        report.narrow(where, f"{dotted(where)} is more than a week: it is {instead}", instead)
    base = _folder(defaults.get("workspace", "workspace"), environment.state_dir)
    above = Written(defaults.get("tools", {}), ("agents", "defaults", "tools"))
    around = (Written(data.get("tools", {}), ("tools",)), above)
    for end in (1, 2):
        tell_overruled(around[:end], report)
    agents = {}
    for name, agent in written.items():
        workspace = base if name == default else base.with_name(f"{base.name}-{name}")
        if "workspace" in agent:
            workspace = _folder(agent["workspace"], environment.state_dir)
        own = Written(agent.get("tools", {}), (*paths.get(name, ()), "tools"))
        tools = tools_of(above, own, naming, report)
        tell_overruled((*around, own), report)
        agents[name] = _make(
            kinds.Agent,
            {"name": name, **defaults, **agent},
            without=("default", "models", "model_policy", "sandbox", "thinking_default"),
            id=name,
            workspace=workspace,
            private=private,
            model=_choice(usable.usable(defaults.get("model", {})), usable.usable(agent.get("model", {}))),
            overrides=_overrides(defaults, agent, bind=bind_overrides(report.document)),
            params=MappingProxyType(_params(data, defaults, agent)),
            tools=replace(tools, limits=(*tools.limits, *_sandbox(data, above, own, agent, report))),
        )
    return agents, default


def _overrides(defaults: Data, agent: Data, *, bind: bool) -> tuple[str, ...] | None:
    """The models that callers may choose. bind: without a policy, those that there are settings for."""
    for owner in (agent, defaults):
        if "allow" in owner.get("model_policy", {}):
            return tuple(owner["model_policy"]["allow"])
    models = {**defaults.get("models", {}), **agent.get("models", {})}
    return tuple(models) if bind and models else None


def _params(data: Data, defaults: Data, agent: Data) -> dict[str, Mapping[str, Any]]:
    """What each model is asked with where a caller says nothing, by ``provider/model``."""
    found: dict[str, dict[str, Any]] = {}
    thinking = agent.get("thinking_default", defaults.get("thinking_default"))
    if thinking not in (None, "off", "adaptive"):
        for name, provider in data.get("models", {}).get("providers", {}).items():
            for model in provider.get("models", []):
                # Others refuse to be told how much to think.
                if model.get("reasoning"):
                    found[f"{name}/{model['id']}"] = {"reasoning_effort": thinking}
    for entries in (defaults.get("models", {}), agent.get("models", {})):
        for reference, entry in entries.items():
            sampling = {SAMPLING[name]: each for name, each in entry.get("params", {}).items() if name in SAMPLING}
            if sampling:
                found[reference] = found.get(reference, {}) | sampling
    return {reference: MappingProxyType(sampling) for reference, sampling in found.items()}


def _sandbox(data: Data, above: Written, own: Written, agent: Data, report: Report) -> Iterator[kinds.Limit]:
    """What an agent may not do because it should do so in a sandbox alone."""
    policies = {
        dotted((*written.path, "sandbox", "tools")): policy
        for written in (Written(data.get("tools", {}), ("tools",)), above, own)
        if (policy := written.data.get("sandbox", {}).get("tools"))
    }
    defaults = data.get("agents", {}).get("defaults", {}).get("sandbox", {})
    path = own.path[:-1] if "mode" in agent.get("sandbox", {}) else ("agents", "defaults")
    return sandboxed({**defaults, **agent.get("sandbox", {})}, policies, (*path, "sandbox"), report)


def _folder(text: str, state_dir: Path) -> Path:
    """``~`` is the home folder; a relative path begins in the state dir."""
    try:
        return state_dir / Path(text).expanduser()
    except RuntimeError:  # an unknown user: the name is a plain folder's
        return state_dir / text


def _choice(base: Data, own: Data) -> kinds.ModelChoice:
    """An agent that names its own model doesn't inherit the fallbacks of another."""
    chosen = {**base, **own} if "primary" not in own else own
    return _make(kinds.ModelChoice, chosen)
