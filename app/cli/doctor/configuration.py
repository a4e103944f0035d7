"""The configuration: what it says, and whether its secret is one."""

from __future__ import annotations

from collections.abc import Iterator

from app.agents.tools.policy import name_warnings
from app.cli.doctor.finding import FAIL, OK, WARN, Finding, Installation
from app.config import ConfigError, load

# Characters that a secret has at least; what `onboard` makes has 48.
ENOUGH = 16
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
        return
    for warning in name_warnings(settings):
        yield Finding("tools", WARN, warning)
    if settings.warnings:
        remedy = "`.venv/bin/python -m app config validate` shows them"
        yield Finding("configuration", WARN, f"{settings.path} is valid, warnings: {len(settings.warnings)}; {remedy}")
    else:
        yield Finding("configuration", OK, f"{settings.path} is valid")


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
