"""What must hold between keys, beyond each key's own check.

A rule whose keys are already at fault says nothing: its finding would only follow from theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from app.config.environment import Environment
from app.config.faults import KeyPath, Report, shown
from app.config.fields import HTTP_URL, LOOPBACK
from app.config.models import Usable
from app.config.well_known import WELL_KNOWN

Data = Mapping[str, Any]

_HOW_TO_BEGIN = (
    "a token: run `.venv/bin/python -m app onboard`, "
    "or set OPENCLAW_GATEWAY_TOKEN to what `openssl rand -hex 32` prints"
)


def check_rules(data: Data, environment: Environment, report: Report) -> None:
    """Report what contradicts in ``data``, a document that the schema has loaded (as far as it was valid)."""
    _bind(data.get("gateway", {}), report)
    _auth(data.get("gateway", {}), environment, report)
    _agents(data.get("agents", {}), report)
    _models(data, environment, report)


def auth_mode(auth: Data, environment: Environment) -> str:
    """The mode written, else the one that the only secret present is for."""
    only_password = (environment.password or auth.get("password")) and not (environment.token or auth.get("token"))
    return str(auth.get("mode") or ("password" if only_password else "token"))


def _bind(gateway: Data, report: Report) -> None:
    custom = gateway.get("bind") == "custom"
    if custom and "custom_bind_host" not in gateway and report.sound("gateway.customBindHost"):
        report.add(("gateway", "customBindHost"), 'an IP address, because gateway.bind is "custom"')


def _auth(gateway: Data, environment: Environment, report: Report) -> None:
    auth: Data = gateway.get("auth", {})
    if not report.sound("gateway.auth.mode", "gateway.auth.token", "gateway.auth.password"):
        return
    token, password = environment.token or auth.get("token"), environment.password or auth.get("password")
    mode = auth_mode(auth, environment)
    if token and password and "mode" not in auth:
        allowed = '"token" or "password", because both secrets are set (in the file or the environment)'
        report.add(("gateway", "auth", "mode"), allowed)
    elif mode == "token" and not token:
        report.add(("gateway", "auth", "token"), _HOW_TO_BEGIN)
    elif mode == "password" and not password:
        allowed = 'a password, because the mode is "password"; OPENCLAW_GATEWAY_PASSWORD may set it'
        report.add(("gateway", "auth", "password"), allowed)
    elif mode == "none" and not _binds_loopback(gateway):
        report.add(("gateway", "auth", "mode"), 'another mode, or gateway.bind "loopback": "none" serves only there')
    elif mode == "trusted-proxy":
        _trusted_proxy(gateway, auth, report)


def _binds_loopback(gateway: Data) -> bool:
    bind = gateway.get("bind", "loopback")
    if bind == "custom":
        return ip_address(gateway.get("custom_bind_host", "127.0.0.1")).is_loopback
    return bool(bind == "loopback")


def _trusted_proxy(gateway: Data, auth: Data, report: Report) -> None:
    proxy: Data = auth.get("trusted_proxy", {})
    if "user_header" not in proxy:
        where: KeyPath = ("gateway", "auth", "trustedProxy", "userHeader")
        if report.sound("gateway.auth.trustedProxy"):
            report.add(where, 'the name of a header, because gateway.auth.mode is "trusted-proxy"')
    if not report.sound("gateway.trustedProxies"):
        return
    proxies = gateway.get("trusted_proxies", [])
    if not proxies:
        report.add(
            ("gateway", "trustedProxies"), 'the proxy\'s addresses, because gateway.auth.mode is "trusted-proxy"'
        )
    if proxy.get("allow_loopback") or not report.sound("gateway.auth.trustedProxy.allowLoopback"):
        return
    for index, networks in enumerate(proxies):
        if any(one.version == local.version and one.overlaps(local) for one in networks for local in LOOPBACK):
            allowed = "an address that is not loopback, or gateway.auth.trustedProxy.allowLoopback: true"
            report.add(("gateway", "trustedProxies", index), allowed)


def written_agents(agents: Data) -> Iterator[tuple[KeyPath, str | None, Data]]:
    """(path, id, agent) of each agent in ``list`` or ``entries``; a faulty one may lack its id."""
    for index, agent in enumerate(agents.get("list", [])):
        yield ("agents", "list", index), agent.get("id"), agent
    for name, agent in agents.get("entries", {}).items():
        yield ("agents", "entries", name), name, agent


def _agents(agents: Data, report: Report) -> None:
    if "list" in agents and "entries" in agents:
        report.add(("agents", "entries"), "either agents.list or agents.entries, not both", "both")
        return
    seen: dict[str, KeyPath] = {}
    marked: KeyPath | None = None
    for path, name, agent in written_agents(agents):
        if name is not None and seen.setdefault(name, path) != path:
            report.add((*path, "id"), "an id of its own", f"{shown(name)}, which an earlier agent has")
        if agent.get("default"):
            if marked:
                report.add((*path, "default"), "one default agent", "true, as for an earlier agent")
            marked = marked or path


def _models(data: Data, environment: Environment, report: Report) -> None:
    if not report.sound("models.providers"):
        return
    for name, provider in data.get("models", {}).get("providers", {}).items():
        _unique_models(name, provider.get("models", []), report)
        if "base_url" not in provider and name not in WELL_KNOWN:
            report.add(("models", "providers", name, "baseUrl"), HTTP_URL)
    usable = Usable(data, environment, report)
    agents: Data = data.get("agents", {})
    places: list[tuple[KeyPath, Data]] = [(("agents", "defaults"), agents.get("defaults", {}))]
    places += [(path, agent) for path, _, agent in written_agents(agents)]
    for path, owner in places:
        usable.check((*path, "model"), owner.get("model", {}))


def _unique_models(provider: str, models: list[Data], report: Report) -> None:
    seen: set[str] = set()
    for index, model in enumerate(models):
        name = model.get("id")
        if name in seen:
            path = ("models", "providers", provider, "models", index, "id")
            report.add(path, "an id of its own", f"{shown(name)}, which an earlier model has")
        if name is not None:
            seen.add(name)
