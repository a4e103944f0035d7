"""Values that stand elsewhere: ``${NAME}`` in text, and ``{source: "env"|"file", id}`` in place of a secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from app.config.environment import Environment
from app.config.faults import KeyPath, Report
from app.config.secrecy import is_secret

_VARIABLE = re.compile(r"(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET_BYTES = 65_536


class References:
    """Resolves references in a document. One that can't be resolved is reported and left as it stands."""

    def __init__(self, environment: Environment, report: Report) -> None:
        self._environment = environment
        self._report = report

    def resolve(self, value: Any, path: KeyPath = ()) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(lambda match: self._interpolate(match, path), value)
        if isinstance(value, list):
            return [self.resolve(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict):
            if is_secret(path) and "source" in value:
                return self._secret(value, path)
            return {key: self.resolve(item, (*path, key)) for key, item in value.items()}
        return value

    def _interpolate(self, match: re.Match[str], path: KeyPath) -> str:
        escaped, name = match.groups()
        if escaped:  # $${NAME} stands for ${NAME} itself
            return match[0][1:]
        value = self._environment.get(name)
        if value is None:
            self._report.add(path, f"the environment variable {name} to be set", f"${{{name}}}, which is not set")
            return match[0]
        return value

    def _secret(self, reference: dict[str, Any], path: KeyPath) -> Any:
        source, name = reference.get("source"), reference.get("id")
        if isinstance(name, str) and name and source == "env":
            value = self._environment.get(name)
            if value is not None:
                return value.strip()
            self._report.add(path, f"the environment variable {name} to be set", "a variable that is not set")
        elif isinstance(name, str) and name and source == "file":
            return self._read(name, reference, path)
        else:
            self._report.add(path, 'text, or an object with source ("env" or "file") and id', "another reference")
        return reference

    def _read(self, name: str, reference: dict[str, Any], path: KeyPath) -> Any:
        file = self._environment.state_dir / name
        try:
            file = self._environment.state_dir / Path(name).expanduser()
            with file.open("rb") as stream:
                content = stream.read(_SECRET_BYTES + 1)
            if len(content) <= _SECRET_BYTES and (secret := content.decode("utf-8").strip()):
                return secret
            reason = "is larger than 64 KiB" if len(content) > _SECRET_BYTES else "is empty"
        except OSError as error:
            reason = f"can't be read: {error.strerror}"
        except (ValueError, RuntimeError):
            reason = "is not a text file"
        self._report.add(path, f"the secret in the file {str(file)!r}", f"a file that {reason}")
        return reference
