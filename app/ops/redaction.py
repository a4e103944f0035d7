"""Secrets made unreadable in text, whoever wrote them there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from app.config.secrecy import looks_secret
from app.config.secret_forms import Place, hidden, secret_arguments, secret_places
from app.config.settings import McpServer, Settings

# Of a longer text the operator's patterns see this much at a time: what they cost may grow faster than the text.
WINDOW = 4096
REDACTED = "***"
# Shorter ones are words of ordinary text.
MIN_SECRET = 6


class Redaction:
    """Takes the configured secrets, whatever looks like one, and what the operator's patterns match out of text."""

    def __init__(self, secrets: tuple[str, ...] = (), patterns: Sequence[re.Pattern[str]] = ()) -> None:
        self._known = known(secrets)
        self._patterns = patterns

    def __call__(self, text: str) -> str:
        if self._patterns:
            return hidden(text, [*self._places(text), *_matches(text, self._patterns)], REDACTED)
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, REDACTED)
        places = secret_places(text)
        return hidden(text, places, REDACTED) if places else text

    def _places(self, text: str) -> Iterator[Place]:
        """Where secrets stand. A pattern must see the text as it was, and take nothing from a secret but all of it."""
        for secret in self._known:
            at = text.find(secret)
            while at >= 0:
                yield at, at + len(secret)
                at = text.find(secret, at + 1)
        yield from secret_places(text)


def known(secrets: Iterable[str]) -> tuple[str, ...]:
    """What is looked for in texts: the longest first, as one may be part of another.

    Of one with several lines each of them, too: a program may write them one by one.
    """
    sought = {each for secret in secrets for each in (secret, *(line.strip() for line in secret.splitlines()))}
    return tuple(sorted((each for each in sought if len(each) >= MIN_SECRET), key=len, reverse=True))


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """The values of a configuration that no log may show."""
    auth = settings.gateway.auth
    found = [auth.token, auth.password, *settings.env_secrets]
    for provider in settings.providers.values():
        found.append(provider.api_key)
        found += [value for name, value in provider.headers.items() if looks_secret(name)]
        found += _within(provider.base_url)
    for server in settings.mcp_servers.values():
        found += [value for value, named in values_of(server) if named]
    return tuple(secret for secret in found if secret)


def values_of(server: McpServer) -> Iterator[tuple[str, bool]]:
    """What one MCP server was told: (the value, whether it is a secret by its name or look, not only by its place)."""
    for name, value in (*server.env.items(), *server.headers.items()):
        yield _bare(value), looks_secret(name)
    for given in secret_arguments(server.args):
        yield _bare(server.args[given.argument][slice(*given.place)]), given.named
    for value in _within(server.url or ""):
        yield value, True


def _within(text: str) -> list[str]:
    return [text[begin:end] for begin, end in secret_places(text)]


def _bare(value: str) -> str:
    """Without the scheme before it."""
    scheme, _, rest = value.partition(" ")
    return rest if scheme.lower() in ("bearer", "basic") and rest else value


def _matches(text: str, patterns: Sequence[re.Pattern[str]]) -> Iterator[Place]:
    """Where patterns match. A match that is longer than half a window may be found in pieces."""
    for begin in range(0, max(len(text) - WINDOW // 2, 1), WINDOW // 2):
        for pattern in patterns:
            for match in pattern.finditer(text, begin, begin + WINDOW):
                yield match.span()
