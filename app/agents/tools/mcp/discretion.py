"""What is secret about one server, and text without it."""

from __future__ import annotations

from app.config.settings import McpServer
from app.ops.redaction import REDACTED, Redaction, known, values_of


class Discretion:
    """Knows the values that a server was configured with: of environment, headers, arguments and URL.

    values: all of them, the longest first.
    """

    def __init__(self, settings: McpServer) -> None:
        values = tuple(values_of(settings))
        self.values = known(value for value, _ in values)
        self._secrets = known(value for value, named in values if named)
        self._redact = Redaction(self.values)

    def told(self, text: str) -> str:
        """For the log: without any of the values, and without what looks like a secret."""
        return self._redact(text)

    def answered(self, text: str) -> str:
        """For a model: without what is a secret by its name or look. A folder in the environment is none."""
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text
