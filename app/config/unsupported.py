"""What a file may ask for and this version doesn't do yet: said at each load, so that nobody relies on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.config.faults import KeyPath, dotted
from app.config.rules import written_agents
from app.config.settings import LOCAL_MODEL, MAIN_AGENT

Data = Mapping[str, Any]

_SPOKEN_APIS = ("openai-completions",)


def _filled(value: Any) -> bool:
    return value not in ([], {})


def _more_than_minimal(value: Any) -> bool:
    return _filled(value) and value != "minimal"


def _enabled(server: Any) -> bool:
    return server.get("enabled") is not False


def _on(value: Any) -> bool:
    return value is True


# A version that brings a feature deletes its row. "*" is any name or entry.
_WITHOUT_EFFECT: tuple[tuple[str, Callable[[Any], bool]], ...] = (
    ("gateway.http.endpoints.responses.enabled", _on),
    ("gateway.http.endpoints.chatCompletions.images", _filled),
    ("agents.defaults.model.fallbacks", _filled),
    ("agents.*.*.model.fallbacks", _filled),
    ("agents.defaults.workspace", _filled),
    ("agents.*.*.workspace", _filled),
    ("agents.defaults.contextTokens", _filled),
    ("agents.defaults.tools.*", _more_than_minimal),
    ("agents.*.*.tools.*", _more_than_minimal),
    ("tools.*", _more_than_minimal),
    ("mcp.servers.*", _enabled),
    ("cluster.redisUrl", _filled),
)


def unsupported(document: Data, data: Data) -> Iterator[str]:
    """Warnings, a line each.

    document: the file's known keys, resolved and sound. data: the same as the schema has loaded it.
    """
    found = [
        dotted(path)
        for pattern, asks in _WITHOUT_EFFECT
        for path, value in _matches(document, tuple(pattern.split(".")))
        if asks(value)
    ]
    if found:
        yield f"not supported by this version and without effect: {', '.join(found)}"
    yield from _unspoken(data)


def _matches(value: Any, pattern: KeyPath, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    if not pattern:
        yield path, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if pattern[0] in ("*", key):
            yield from _matches(inner, pattern[1:], (*path, key))


def _unspoken(data: Data) -> Iterator[str]:
    """Each place that gives agents a model of a provider whose wire format isn't spoken."""
    providers, agents = data.get("models", {}).get("providers", {}), data.get("agents", {})
    common = agents.get("defaults", {}).get("model", {}).get("primary", LOCAL_MODEL)
    users: dict[tuple[KeyPath, str], list[str]] = {}
    for path, name, agent in [*written_agents(agents)] or [((), MAIN_AGENT, {})]:
        own = agent.get("model", {}).get("primary")
        place = (*(path if own else ("agents", "defaults")), "model")
        users.setdefault((place, own or common), []).append(str(name))
    for (place, model), names in users.items():
        provider = model.partition("/")[0]
        api = providers.get(provider, {}).get("api", _SPOKEN_APIS[0])
        if api not in _SPOKEN_APIS:
            yield (
                f"{dotted(place)}: provider {provider} speaks {api}, which this version does not; "
                f"the runs of {', '.join(names)} fail"
            )
