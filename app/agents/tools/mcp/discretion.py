"""What is secret about one server, and text without it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from app.config.secrecy import looks_secret
from app.config.settings import McpServer
from app.ops.redaction import MIN_SECRET, REDACTED, Redaction

_AFTER_LABEL = re.compile(r"[=:]")


class Discretion:
    """Knows the values that a server was configured with: of its environment, its headers and its arguments."""

    def __init__(self, settings: McpServer) -> None:
        given = [*settings.env.items(), *settings.headers.items()]
        named = [value for name, value in given if looks_secret(name)]
        secrets = [_bare(value) for value in (*named, *secret_arguments(settings.args))]
        self._secrets = [secret for secret in secrets if len(secret) >= MIN_SECRET]
        self._redact = Redaction((*(_bare(value) for _, value in given), *secrets))

    def told(self, text: str) -> str:
        """For the log: without any of the values, and without what looks like a secret."""
        return self._redact(text)

    def answered(self, text: str) -> str:
        """For a model: without what is a secret by its name. A folder that stands in the environment is none."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text


def secret_arguments(arguments: Sequence[str]) -> Iterator[str]:
    """The values in ``--api-key X``, ``--token=X``, ``-e API_KEY=X`` and ``--header "Authorization: X"``."""
    option = ""
    for argument in arguments:
        if looks_secret(option) and not argument.startswith("-"):
            yield argument
        option = argument if argument.startswith("-") else ""
        rest = argument
        while len(parts := _AFTER_LABEL.split(rest, maxsplit=1)) == 2:
            label, rest = parts
            if looks_secret(label):
                yield rest.strip()
                break


def _bare(value: str) -> str:
    return value.removeprefix("Bearer ")
