"""Secrets made unreadable in text, whoever wrote them there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from app.config import Settings, looks_secret

# From where to where in a text.
Place = tuple[int, int]

# What looks like a credential wherever it stands. No scheme is longer: a line of one letter would be read from each.
_SECRETS = re.compile(
    r"(?P<named>(?<![a-z0-9])(?:api[_-]?key|token|password|secret|authorization)[\"']?\s*[=:]\s*[\"']?"
    r"(?:(?:bearer|basic)\s+)?)[^\s'\",&}]+"
    r"|(?P<bearer>\bbearer\s+)[^\s'\",]+"
    r"|\b(?:sk|pk|rk|xox[abp]|gh[pousr]|key)[-_][a-z0-9_-]{16,}"
    r"|(?P<url>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:)[^\s/@]+(?=@)",
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

# Of a longer text the operator's patterns see this much at a time: what they cost may grow faster than the text.
WINDOW = 4096
REDACTED = "***"
# Shorter ones are words of ordinary text.
MIN_SECRET = 6


class Redaction:
    """Takes the configured secrets, whatever looks like one, and what the operator's patterns match out of text."""

    def __init__(self, secrets: tuple[str, ...] = (), patterns: Sequence[re.Pattern[str]] = ()) -> None:
        # The longest first: one may be part of another.
        self._known = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET}, key=len, reverse=True)
        self._patterns = patterns

    def __call__(self, text: str) -> str:
        if self._patterns:
            return _without(text, [*self._places(text), *_matches(text, self._patterns)])
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, REDACTED)
        small = text.lower()
        return _SECRETS.sub(_keep_label, text) if [sign for sign in _SIGNS if sign in small] else text

    def _places(self, text: str) -> Iterator[Place]:
        """Where secrets stand. A pattern must see the text as it was, and take nothing from a secret but all of it."""
        for secret in self._known:
            at = text.find(secret)
            while at >= 0:
                yield at, at + len(secret)
                at = text.find(secret, at + 1)
        for match in _SECRETS.finditer(text):
            yield match.start() + len(_label(match)), match.end()


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


def _matches(text: str, patterns: Sequence[re.Pattern[str]]) -> Iterator[Place]:
    """Where patterns match. A match that is longer than half a window may be found in pieces."""
    for begin in range(0, max(len(text) - WINDOW // 2, 1), WINDOW // 2):
        for pattern in patterns:
            for match in pattern.finditer(text, begin, begin + WINDOW):
                yield match.span()


def _without(text: str, places: list[Place]) -> str:
    """The text with each place made unreadable, those that overlap as one."""
    parts, done = [], 0
    for begin, end in sorted(place for place in places if place[0] < place[1]):
        if begin >= done:
            parts += [text[done:begin], REDACTED]
        done = max(done, end)
    return "".join((*parts, text[done:]))


def _keep_label(match: re.Match[str]) -> str:
    return _label(match) + REDACTED


def _label(match: re.Match[str]) -> str:
    return next((label for label in match.groupdict().values() if label), "")
