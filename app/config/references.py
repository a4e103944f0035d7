"""Values that stand elsewhere: ``${NAME}`` in text, and ``{source: "env"|"file", id}`` in place of a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.config.environment import Environment
from app.config.faults import KeyPath, Report, dotted, shown, value_at
from app.config.reading import Unreadable
from app.config.secrecy import VARIABLE, is_secret
from app.config.secret_files import SecretFiles, is_pointer

PROVIDERS: KeyPath = ("secrets", "providers")

_NO_COMMANDS = 'source "env" or "file": commands are not run for secrets'
_MODES = ("json", "singleValue")


def filled_in(text: str, lookup: Callable[[str], str | None]) -> str | None:
    """A text with what its ``${NAME}`` stand for; ``None`` when one of them stands for nothing."""
    if "${" not in text:
        return text
    complete = True

    def value(match: re.Match[str]) -> str:
        nonlocal complete
        escaped, name = match.groups()
        if escaped:  # $${NAME} stands for ${NAME} itself
            return match[0][1:]
        found = lookup(name)
        complete = complete and found is not None
        return found or ""

    filled = VARIABLE.sub(value, text)
    return filled if complete else None


class References:
    """Resolves references in a document. One that can't be resolved is reported and left as it stands."""

    def __init__(self, environment: Environment, secret_files: SecretFiles, report: Report) -> None:
        self._environment = environment
        self._files = secret_files
        self._report = report

    def resolve(self, value: Any, path: KeyPath = ()) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, list):
            return [self.resolve(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            if is_secret(path) and "source" in value:
                return self._secret(value, path)
            return {key: self.resolve(item, (*path, key)) for key, item in value.items()}
        return value

    def files(self) -> Iterator[Path]:
        """The files of all providers, those that no reference names included."""
        providers = value_at(self._report.document, PROVIDERS)
        for entry in providers.values() if isinstance(providers, dict) else ():
            file = entry.get("path") if isinstance(entry, dict) else None
            filled = filled_in(file, self._environment.get) if isinstance(file, str) else None
            if filled and "\0" not in filled:
                yield self._files.place(filled)

    def _text(self, text: str, path: KeyPath) -> str:
        filled = filled_in(text, self._environment.get)
        if filled is not None:
            return filled
        for escaped, name in VARIABLE.findall(text):
            if not escaped and self._environment.get(name) is None:
                self._report.add(path, f"the environment variable {name} to be set", f"${{{name}}}, which is not set")
        return text

    def _secret(self, reference: dict[str, Any], path: KeyPath) -> Any:
        source, name, provider = reference.get("source"), reference.get("id"), reference.get("provider")
        providers = value_at(self._report.document, PROVIDERS)
        entry = providers.get(provider) if isinstance(providers, dict) and isinstance(provider, str) else None
        if source == "exec":
            self._report.add(path, _NO_COMMANDS, 'source "exec"')
        elif isinstance(entry, dict) and entry.get("source") == "exec":
            self._report.add(path, _NO_COMMANDS, f'provider {shown(provider)}, which has source "exec"')
        elif not (isinstance(name, str) and name and source in ("env", "file")):
            self._report.add(path, 'text, or an object with source ("env" or "file") and id', "another reference")
        elif provider is not None and not isinstance(provider, str):
            self._report.add(path, "a reference whose provider is a name", "a provider that is none")
        elif source == "env":
            if isinstance(entry, dict) and "allowlist" in entry and not self._is_allowed(str(provider), entry, name):
                allowed = f"a variable that {dotted((*PROVIDERS, str(provider), 'allowlist'))} names"
                self._report.add(path, allowed, f"the variable {name}")
                return reference
            value = self._environment.get(name)
            if value is not None:
                return value.strip()
            self._report.add(path, f"the environment variable {name} to be set", "a variable that is not set")
        elif entry is not None:
            return self._provided(str(provider), entry, name, path) or reference
        elif provider in (None, "default"):
            return self._read(name, None, path) or reference
        else:
            known = sorted(providers) if isinstance(providers, dict) else []
            allowed = f"a name that secrets.providers has (now: {', '.join(known) or 'none'})"
            self._report.add(path, allowed, f"provider {shown(provider)}")
        return reference

    def _is_allowed(self, provider: str, entry: dict[str, Any], name: str) -> bool:
        allowlist = entry["allowlist"]
        if not (isinstance(allowlist, list) and all(isinstance(each, str) for each in allowlist)):
            self._report.add((*PROVIDERS, provider, "allowlist"), "a list of variables' names")
            return True  # one fault is enough
        return name in allowlist

    def _provided(self, provider: str, entry: Any, name: str, path: KeyPath) -> str | None:
        """What a provider of ``secrets.providers`` has under this id. It is checked here, as somebody needs it."""
        here = (*PROVIDERS, provider)
        if not isinstance(entry, dict):
            self._report.add(here, "an object with source and path")
            return None
        if entry.get("source") != "file":
            self._report.add((*here, "source"), '"file", because a reference with source "file" names this provider')
            return None
        file, mode = entry.get("path"), entry.get("mode", "json" if name.startswith("/") else "singleValue")
        if not (isinstance(file, str) and file):
            self._report.add((*here, "path"), "the path of a file")
            return None
        if mode not in _MODES:
            self._report.add((*here, "mode"), '"json" or "singleValue"')
            return None
        file = self._text(file, (*here, "path"))
        if not self._report.sound(dotted((*here, "path"))):
            return None
        if mode == "json" and not is_pointer(name):
            self._report.add(path, 'an id that is a JSON pointer, such as "/providers/openai/apiKey"', "another id")
            return None
        return self._read(file, name if mode == "json" else None, path)

    def _read(self, file: str, pointer: str | None, path: KeyPath) -> str | None:
        """A file's text, or that at a pointer into it; ``None`` when there is none, which is reported."""
        try:
            return self._files.whole(file) if pointer is None else self._files.at(file, pointer)
        except Unreadable as error:
            where = f" at {shown(pointer)}" if pointer is not None else ""
            self._report.add(
                path, f"the secret{where} in the file {str(self._files.place(file))!r}", f"a file that {error}"
            )
        return None
