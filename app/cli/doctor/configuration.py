"""The configuration: what it says, and whether its secret is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from app.agents.tools.policy_names import name_warnings
from app.cli.doctor.finding import FAIL, OK, WARN, Finding, Installation
from app.config import ConfigError, explained, load
from app.config.faults import What

# Characters that a secret has at least; what `onboard` makes has 48.
ENOUGH = 16
# From so many keys on that are not simply obeyed, doctor counts them.
MANY = 5
# What a user should know of who relies on the key; of others the file merely holds more than is needed here.
_NOT_AS_ASKED = frozenset({What.STRICTER, What.UNUSABLE, What.LEFT_OUT})
# What stands in examples for a secret.
EXAMPLES = frozenset(
    {"your_token", "yourtoken", "your-token", "changeme", "change-me", "secret", "password", "token", "test", "example"}
)


def configuration(installation: Installation) -> Iterator[Finding]:
    """It loads; each fault is a finding."""
    settings = installation.settings
    if settings is None:
        try:
            load(installation.environment)
        except ConfigError as error:
            for fault in error.faults:
                yield Finding("configuration", FAIL, str(fault))
            said = f"{installation.environment.config_path} is refused: a gateway that runs keeps what it loaded last"
            yield Finding("configuration", WARN, f"{said}, another doesn't start")
        return
    for warning in name_warnings(settings):
        yield Finding("tools", WARN, warning)
    if settings.warnings:
        remedy = "`.venv/bin/python -m app config validate` shows them"
        yield Finding("configuration", WARN, f"{settings.path} is valid, warnings: {len(settings.warnings)}; {remedy}")
    else:
        yield Finding("configuration", OK, f"{settings.path} is valid")


def keys(installation: Installation) -> Iterator[Finding]:
    """Each key of the file is obeyed, or what becomes of it is told."""
    if installation.settings is None:
        return
    try:
        lines = [each for each in explained(installation.environment) if each.what not in (What.OBEYED, What.NEUTRAL)]
    except ConfigError:  # it has changed since it was loaded
        return
    if len(lines) < MANY:
        for line in lines:
            yield Finding("keys", WARN if line.what in _NOT_AS_ASKED else OK, str(line))
        return
    counts = Counter(line.what for line in lines)
    told = ", ".join(f"{what.value}: {counts[what]}" for what in reversed(What) if counts[what])
    status = WARN if _NOT_AS_ASKED & counts.keys() else OK
    yield Finding("keys", status, f"{told}; `.venv/bin/python -m app config validate --explain` tells each")


def secret(installation: Installation) -> Iterator[Finding]:
    """Callers need one, nobody guesses it, and it is not the one of the manual."""
    if installation.settings is None:
        return
    auth = installation.settings.gateway.auth
    where = f"gateway.auth.{'token' if auth.mode == 'token' else 'password'}"
    remedy = f"set {where} to what `openssl rand -hex 24` prints"
    if auth.mode == "none":
        text = "gateway.auth.mode none lets in whoever reaches the port: every user and program of this machine"
        yield Finding("secret", WARN, f"{text}; set the mode to token unless that is wanted")
    elif auth.secret is None:
        yield Finding("secret", OK, f"gateway.auth.mode {auth.mode} needs none")
    elif auth.secret.lower() in EXAMPLES:
        yield Finding("secret", FAIL, f"{where} is what examples have in its place: {remedy}")
    elif len(auth.secret) < ENOUGH:
        yield Finding("secret", WARN, f"{where} has {len(auth.secret)} characters, {ENOUGH} are safe: {remedy}")
    else:
        yield Finding("secret", OK, f"{where} is long enough")


def endpoint(installation: Installation) -> Iterator[Finding]:
    """Whether the chat endpoint answers: a file of OpenClaw's seldom has its key, and callers only read a 404."""
    if installation.settings is None:
        return
    if installation.settings.gateway.chat_completions.enabled:
        yield Finding("endpoint", OK, "/v1/chat/completions is on")
    else:
        remedy = "`.venv/bin/python -m app config set gateway.http.endpoints.chatCompletions.enabled true` opens it"
        yield Finding("endpoint", OK, f"/v1/chat/completions is off; {remedy}")
