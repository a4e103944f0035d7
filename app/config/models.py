"""Which models a file means: by their aliases, with providers known by their name, and those that can't be used."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from app.config.environment import Environment
from app.config.faults import KeyPath, Report, dotted, shown
from app.config.owners import owners
from app.config.settings import LOCAL_MODEL
from app.config.well_known import CLOSED, CLOSED_APIS, WELL_KNOWN, well_known_keys

Data = Mapping[str, Any]
Document = dict[str, Any]

_VERSION = re.compile(r"(\d{4})\.(\d{1,2})\b")
# From here on the models that an agent has settings for are no longer all that callers may choose.
_POLICIES_SINCE = (2026, 8)


def aliases_of(document: Data) -> dict[str, str]:
    """``provider/model`` by alias in lower case, of all agents. The first that has an alias keeps it."""
    found: dict[str, str] = {}
    for _, owner in owners(document):
        models = owner.get("models")
        for reference, entry in models.items() if isinstance(models, Mapping) else ():
            alias = entry.get("alias") if isinstance(entry, Mapping) else None
            if isinstance(alias, str) and alias.strip():
                found.setdefault(alias.strip().lower(), reference)
    return found


def without_aliases(document: Document) -> Document:
    """The document with the models' own names where an agent's model is called by its alias."""
    aliases = aliases_of(document)
    if not aliases:
        return document

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [named(each) for each in value]
        return aliases.get(value.strip().lower(), value) if isinstance(value, str) else value

    document = copy.deepcopy(document)
    for _, owner in owners(document):
        if "model" in owner:
            owner["model"] = named(owner["model"])
    return document


def bind_overrides(document: Data) -> bool:
    """Whether the models that an agent has settings for are all that a caller may choose, as they were until 2026.8."""
    meta = document.get("meta")
    version = meta.get("lastTouchedVersion") if isinstance(meta, Mapping) else None
    match = _VERSION.match(version) if isinstance(version, str) else None
    return match is None or (int(match[1]), int(match[2])) < _POLICIES_SINCE


class Usable:
    """Which models can be asked, and what is wrong with others.

    data: as the schema loaded it. closed: why entries of the file can't be used, by their providers' ids.
    """

    def __init__(self, data: Data, environment: Environment, report: Report) -> None:
        models = data.get("models", {})
        self._providers: Data = models.get("providers", {})
        self._report = report
        self.closed: dict[str, str] = {}
        self._listed_only = models.get("mode") == "replace"
        self._keys = {} if self._listed_only else well_known_keys(environment)
        local, _, built_in = LOCAL_MODEL.partition("/")
        self._catalogue: dict[str, list[str]] = {local: [built_in]} | {name: [] for name in self._keys}
        for name, provider in self._providers.items():
            listed = provider.get("models", [])
            sound = all("id" in model for model in listed) and not any(
                bad.startswith(f"models.providers.{name}.models") for bad in report.faults
            )
            # A faulty list may lack entries, so any id will do until it is mended.
            self._catalogue[name] = [model["id"] for model in listed] if sound else []
            api = report.at(("models", "providers", name, "api"))
            if isinstance(api, str) and (why := CLOSED_APIS.get(api)):
                self.closed[name] = f"its api {shown(api)} {why}"

    def problem(self, reference: str) -> str | None:
        """What to write instead of a model that can't be asked; None for one that can."""
        provider, _, model = reference.partition("/")
        if why := self.closed.get(provider):
            return f"another model: {provider}: {why}"
        if provider not in self._catalogue:
            if why := CLOSED.get(provider):
                return f"another model: {provider} {why}"
            allowed = f"a model of a provider in models.providers (now: {', '.join(sorted(self._catalogue))})"
            known = WELL_KNOWN.get(provider)
            return f"{allowed}, or set {' or '.join(known.variables)} to its key" if known else allowed
        listed = self._catalogue[provider]
        if listed and model not in listed and (self._listed_only or provider == LOCAL_MODEL.partition("/")[0]):
            return ", ".join(f"{provider}/{known}" for known in listed)
        return None

    def check(self, path: KeyPath, choice: Data) -> None:
        """Report the models of one choice that can't be asked: as faults, if none of them can."""
        as_object = isinstance(self._report.at(path), dict)
        chosen: list[tuple[KeyPath, str]] = []
        if "primary" in choice:
            chosen.append(((*path, "primary") if as_object else path, choice["primary"]))
        chosen += [((*path, "fallbacks", index), name) for index, name in enumerate(choice.get("fallbacks", []))]
        problems = [(where, name, problem) for where, name in chosen if (problem := self.problem(name)) is not None]
        for where, name, problem in problems:
            if len(problems) < len(chosen):
                self._report.unask(where, f"{dotted(where)} {shown(name)} (allowed: {problem})")
            else:
                self._report.add(where, problem)

    def usable(self, choice: Data) -> Data:
        """The choice without the models that can't be asked."""
        left = [ref for ref in (choice.get("primary"), *choice.get("fallbacks", ())) if ref and not self.problem(ref)]
        if "primary" not in choice or not left:
            return {**choice, "fallbacks": left} if "fallbacks" in choice else choice
        return {"primary": left[0], "fallbacks": left[1:]}
