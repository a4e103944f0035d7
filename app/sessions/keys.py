"""Session keys: opaque text that says which agent's session a turn belongs to.

``agent:<agentId>:openai:<uuid>``        a stateless call, kept nowhere
``agent:<agentId>:openai-user:<user>``   derived from the request's ``user``
``agent:<agentId>:<anything>``           chosen by the caller

Behind a trusted proxy the first two hold whose they are, ``openai:<identity>/<uuid>`` and
``openai-user:<identity>/<user>``.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from app.errors import InvalidRequest
from app.ids import new_uuid

MAX_LENGTH = 512
MAIN = "main"
RESERVED = ("subagent:", "cron:", "acp:")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_AGENT_PREFIX = re.compile(r"agent:([^:]+):", re.IGNORECASE)
# The kinds of keys that may hold whose they are, and where that stands.
OWNED = ("openai-user:", "openai:")
_OWNER = re.compile(rf"agent:[^:]+:(?:{'|'.join(OWNED)})([^/]*)/")
# Visible ASCII stays readable in a header; the percent sign is what the encoding itself needs.
_VISIBLE = re.compile(r"[!-$&-~]*")
_HEADER_SAFE = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) != "%")


def stateless(agent_id: str, identity: str | None = None) -> str:
    return f"agent:{agent_id}:openai:{_belonging(new_uuid(), identity)}"


def of_user(agent_id: str, user: str, identity: str | None = None, param: str = "user") -> str:
    """The stable key of ``user``; behind a trusted proxy each ``identity`` has its own. Raises InvalidRequest.

    param: what the caller calls it.
    """
    return _checked(f"agent:{agent_id}:openai-user:{_belonging(user, identity)}", param)


def main(agent_id: str, identity: str | None = None) -> str:
    """Of the agent's main session; behind a trusted proxy each ``identity`` has its own."""
    return f"agent:{agent_id}:openai-user:{_belonging(MAIN, identity)}" if identity else f"agent:{agent_id}:{MAIN}"


def owner(key: str) -> str | None:
    """Whose session it is, as ``encoded``, where callers are told apart; None for one that is nobody's."""
    found = _OWNER.match(key)
    return found[1] if found else None


def encoded(identity: str) -> str:
    """As it stands in keys: a slash of its own must not let one identity reach into another's sessions."""
    return identity.replace("%", "%25").replace("/", "%2F")


def _belonging(name: str, identity: str | None) -> str:
    return f"{encoded(identity)}/{name}" if identity else name


def of_header(agent_id: str, key: str, param: str = "x-openclaw-session-key") -> str:
    """The caller's own key, put under the agent's name unless it stands there. Raises InvalidRequest.

    param: what the caller calls it.
    """
    key = key if key.startswith(f"agent:{agent_id}:") else f"agent:{agent_id}:{key}"
    return _checked(key, param)


def named_agent(key: str) -> str | None:
    """The agent that a key of the form ``agent:<id>:…`` names."""
    prefix, _, rest = key.partition(":")
    agent_id, colon, _ = rest.partition(":")
    return agent_id if prefix == "agent" and colon and agent_id else None


def check_not_reserved(key: str) -> None:
    """Raise InvalidRequest for the keys that belong to the gateway's own sessions."""
    bare = key.strip().lower()
    while match := _AGENT_PREFIX.match(bare):
        bare = bare[match.end() :].lstrip()
    for prefix in RESERVED:
        if bare.startswith(prefix):
            raise InvalidRequest(
                f"session keys that begin with {prefix!r} are reserved for the gateway's own sessions",
                param="x-openclaw-session-key",
            )


def for_header(key: str) -> str:
    """The key as a response header can carry it: percent-encoded where it is not visible ASCII."""
    return key if _VISIBLE.fullmatch(key) else quote(key, safe=_HEADER_SAFE)


def _checked(key: str, param: str) -> str:
    if _CONTROL.search(key):
        raise InvalidRequest(f"{param}: must not hold control characters", param=param)
    if len(key) > MAX_LENGTH:
        raise InvalidRequest(
            f"{param}: makes a session key of {len(key):,} characters; {MAX_LENGTH} are allowed", param=param
        )
    return key
