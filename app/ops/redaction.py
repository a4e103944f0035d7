"""Secrets made unreadable in text, whoever wrote them there."""

from __future__ import annotations

import re

from app.config import Settings, looks_secret

# What looks like a credential wherever it stands.
_SECRETS = re.compile(
    r"(?P<named>(?<![a-z0-9])(?:api[_-]?key|token|password|secret|authorization)[\"']?\s*[=:]\s*[\"']?"
    r"(?:(?:bearer|basic)\s+)?)[^\s'\",&}]+"
    r"|(?P<bearer>\bbearer\s+)[^\s'\",]+"
    r"|\b(?:sk|pk|rk|xox[abp]|gh[pousr]|key)[-_][a-z0-9_-]{16,}"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)",
    re.IGNORECASE,
)
# Without one of these there is nothing for the expression to find; looking for them costs a tenth of it.
_SIGNS = (
    "bearer",
    "sk-",
    "sk_",
    "pk-",
    "pk_",
    "rk-",
    "rk_",
    "xox",
    "gh",
    "key",
    "token",
    "pass",
    "secret",
    "auth",
    "@",
)

REDACTED = "***"
# Shorter ones are words of ordinary text.
MIN_SECRET = 6


class Redaction:
    """Takes the configured secrets, and whatever looks like one, out of text."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        # The longest first: one may be part of another.
        self._known = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, REDACTED)
        small = text.lower()
        return _SECRETS.sub(_keep_label, text) if [sign for sign in _SIGNS if sign in small] else text


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The values of a configuration that no log may show."""
    auth = settings.gateway.auth
    found = [auth.token, auth.password, *settings.env_secrets]
    named: list[tuple[str, str]] = []
    for provider in settings.providers.values():
        found.append(provider.api_key)
        named += provider.headers.items()
    for server in settings.mcp_servers.values():
        named += [*server.env.items(), *server.headers.items()]
    found += [value for name, value in named if looks_secret(name)]
    return tuple(secret for secret in found if secret)


def _keep_label(match: re.Match[str]) -> str:
    return next((label for label in match.groupdict().values() if label), "") + REDACTED
