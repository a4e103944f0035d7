"""What is secret in a text or in a program's arguments, by how it looks: one table for file, MCP servers and log.

What is secret by its place in the file is in ``secrecy``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from app.config.secrecy import SECRET_PARAMETER, looks_secret

# From where to where in a text.
Place = tuple[int, int]

# What is written in a secret's place.
MARKS = ("***", "__OPENCLAW_REDACTED__")

_NAMES = r"(?:api|access|auth|private|signing)[_-]?key|token|passw(?:or)?d|passphrase|secret|authorization|cookie"
# A name begins a word, or a part of one as in ``botToken``.
_BEGIN = r"(?:(?<![a-z0-9])|(?<=(?-i:[a-z0-9]))(?=(?-i:[A-Z])))"
_VALUE = r"(?!\$\{[A-Z_][A-Z0-9_]*\})[^\s'\",&}]+"
# How issuers begin what they issue.
_ISSUED = (
    r"(?:sk|pk|rk|xox[abeprs]|gh[pousr]|key|github_pat|glpat|hf|npm|gsk|xai|nvapi|tvly|pplx|r8|fw|dop_v1|shpat|whsec"
    r"|lin_api|ntn|sbp|figd|secret)[-_][a-z0-9_-]{16,}"
)
# The part of a match named ``…label`` stays readable. What is looked ahead for is bounded, so that no text takes long.
_TABLE = re.compile(
    rf"(?P<label>{_BEGIN}(?:{_NAMES})[\"']?\s*[=:]\s*[\"']?(?:(?:bearer|basic)\s+)?){_VALUE}"
    rf"|(?P<option_label>(?<!\S)--?(?:[a-z0-9]+[_-])*(?:{_NAMES})\s+)(?!-){_VALUE}"
    rf"|(?P<bearer_label>\bbearer\s+){_VALUE}"
    r"|(?P<basic_label>\bbasic\s+)(?=[a-z]{0,40}[0-9+/=])[a-z0-9+/=_-]{8,}"
    rf"|\b{_ISSUED}"
    r"|\b(?:sk|rk|pk)[-_](?=[a-z_-]{0,40}[0-9])[a-z0-9_-]{8,}"
    r"|\b(?:AKIA|ASIA)[a-z0-9]{16}\b|\bAIza[a-z0-9_-]{30,}|\bya29\.[a-z0-9_-]{16,}"
    r"|\beyJ[a-z0-9_-]{8,200}\.[a-z0-9_-]{8,}(?:\.[a-z0-9_-]*)?"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?",
    re.IGNORECASE,
)
# Without one of these there is nothing to find; looking for them costs a tenth of it. In lower case.
_SIGNS = (
    "bearer", "basic", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "xox", "gh", "key", "glpat", "hf_", "hf-", "npm",
    "xai", "nvapi", "tvly", "pplx", "r8_", "fw_", "dop_v1", "shpat", "whsec", "lin_api", "ntn", "sbp", "figd", "akia",
    "asia", "aiza", "ya29.", "eyj", "token", "pass", "secret", "auth", "cookie", "://",
)  # fmt: skip

_URL = re.compile(r"\b(?P<scheme>[a-z][a-z0-9+.-]{0,30})://(?P<authority>[^\s/?#\"'<>]*)(?P<rest>[^\s\"'<>]*)", re.I)
_SEGMENT = re.compile(r"[^/?#&=;]+")
_PARAMETER = re.compile(r"(?<=[?&#;])([^=&#;]*)=([^&#;]+)")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_RUN = re.compile(r"(?=[a-z]*[0-9])(?=[0-9]*[a-z])[a-z0-9]{16,}|[0-9]{24,}", re.IGNORECASE)
_ALL_KINDS = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9]).{20,}", re.DOTALL)

_LABEL = re.compile(r"([\w.-]{1,100})\s*[=:]\s*")
# Options of programs that are given one variable, or one header, of whatever name.
_OF_A_MAP = re.compile(r"(-e|--env|-H|--headers?)(?:[ =]|(?<=-[eH]))([\w.-]+)(?:=|:\s*)")
# And those that are given a user with a password.
_OF_A_USER = re.compile(r"(?:-u|-U|--user|--proxy-user)[ =]?[^\s:/]+:(?!/)")


class Given(NamedTuple):
    """A secret among arguments: in which, and where in it. named: by its own name or look, not only its place."""

    argument: int
    place: Place
    named: bool


def secret_places(text: str) -> list[Place]:
    """Where what looks like a secret stands, in order; those that overlap are one."""
    small = text.lower()
    for sign in _SIGNS:
        if sign in small:
            break
    else:
        return []
    found = [(match.start() + len(_label(match)), match.end()) for match in _TABLE.finditer(text)]
    if "://" in text:
        for url in _URL.finditer(text):
            found += _in_url(url)
    return [(begin, end) for begin, end in _merged(found) if text[begin:end] not in MARKS]


def secret_arguments(arguments: Sequence[str]) -> Iterator[Given]:
    """The secrets of a command's arguments: ``--api-key X``, ``--token=X``, ``-e NAME=X``, ``--header "A: X"``."""
    option = ""
    for index, argument in enumerate(arguments):
        named = secret_places(argument)
        if looks_secret(option) and not argument.startswith("-"):
            named = [(0, len(argument))]
        named += [(match.end(), len(argument)) for match in _LABEL.finditer(argument) if looks_secret(match[1])]
        # As if both were one argument, so that ``-e A=X``, ``-eA=X`` and ``--env=A=X`` are the same.
        whole = f"{option} {argument}" if option else argument
        if match := _OF_A_USER.match(whole):
            named.append((match.end() - len(whole) + len(argument), len(argument)))
        yield from (Given(index, place, True) for place in _merged(named))
        if not named and (match := _OF_A_MAP.match(whole)):
            yield Given(index, (match.end() - len(whole) + len(argument), len(argument)), False)
        option = argument if argument.startswith("-") and "=" not in argument else ""


def hidden(text: str, places: Iterable[Place], mark: str) -> str:
    """The text with ``mark`` in each place, those that overlap as one."""
    parts, done = [], 0
    for begin, end in _merged(places):
        parts += [text[done:begin], mark]
        done = end
    return "".join((*parts, text[done:]))


def _in_url(url: re.Match[str]) -> Iterator[Place]:
    """The password or token before the host, values of parameters by name or look, and parts of the path by their look.

    Only on the web does a path hold a secret: elsewhere it is a folder or a database.
    """
    authority, rest, start = url["authority"], url["rest"], url.start("rest")
    user, at, _ = authority.rpartition("@")
    if at or (":" in authority and "@" in rest and not authority.rpartition(":")[2].isdecimal()):
        # A password may hold a slash that should have been encoded.
        end = url.start("authority") + len(user) if at else start + rest.rindex("@")
        name, colon, _ = authority.partition(":")
        yield url.start("authority") + (len(name) + 1 if colon and len(name) < end else 0), end
    for match in _PARAMETER.finditer(rest):
        if SECRET_PARAMETER.search(match[1]) or _looks_random(match[2]):
            yield start + match.start(2), start + match.end(2)
    if url["scheme"].lower() in ("http", "https", "ws", "wss"):
        for match in _SEGMENT.finditer(rest):
            if _looks_random(match[0]):
                yield start + match.start(), start + match.end()


def _looks_random(part: str) -> bool:
    """Whether a part of a URL is nothing that a person would call something."""
    if not 16 <= len(part) <= 200:
        return len(part) > 200
    return bool(_UUID.search(part) or _RUN.search(part) or _ALL_KINDS.match(part) or _restless(part))


def _restless(part: str) -> bool:
    """Letters alone whose case changes back and forth more than in names of several words."""
    changes = sum(one.isupper() and other.islower() for one, other in pairwise(part))
    return len(part) >= 20 and "." not in part and changes >= 4 and changes * 5 >= len(part)


def _merged(places: Iterable[Place]) -> list[Place]:
    merged: list[Place] = []
    for begin, end in sorted(place for place in places if place[0] < place[1]):
        if merged and begin < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged


def _label(match: re.Match[str]) -> str:
    return next((label for label in match.groupdict().values() if label), "")
