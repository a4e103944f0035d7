"""The process environment: the only module that reads ``os.environ``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from app.config.faults import Fault

_TOKEN, _PASSWORD = "OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_GATEWAY_PASSWORD"
_PORT = "OPENCLAW_GATEWAY_PORT"

_NEEDED_BY_CHILDREN = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")

# Named one by one: a pattern such as LC_* would let through whatever somebody calls so.
_SEEN_BY_COMMANDS = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_COLLATE"),
    *("LC_CTYPE", "LC_MESSAGES", "LC_MONETARY", "LC_NUMERIC", "LC_TIME"),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says, read once. An empty variable is the same as an absent one.

    port, web_concurrency: ``None`` when unset or wrong; ``faults`` then says what is wrong, and ``load`` raises it.
    """

    state_dir: Path
    config_path: Path
    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    port: int | None = None
    web_concurrency: int | None = None
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    faults: tuple[Fault, ...] = ()

    @property
    def credentials_dir(self) -> Path | None:
        """Where systemd puts the secrets of a service: ``LoadCredential=``, https://systemd.io/CREDENTIALS."""
        folder = self.get("CREDENTIALS_DIRECTORY")
        return Path(folder).absolute() if folder else None

    def get(self, name: str) -> str | None:
        """The variable's value; ``None`` when it is unset or empty."""
        return self.variables.get(name) or None


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read the environment, or the ``variables`` given in its place. Raises nothing: see ``Environment.faults``."""
    given = MappingProxyType(dict(os.environ if variables is None else variables))
    faults: list[Fault] = []

    def path(name: str, default: Path) -> Path:
        value = _text(given, name)
        try:
            return Path(value).expanduser().absolute() if value else default.expanduser()
        except RuntimeError:  # no home folder for this user, as in some containers
            faults.append(Fault(name, "the home folder is not known; set this variable to an absolute path"))
            return default

    state_dir = path("OPENCLAW_STATE_DIR", Path("~/.openclaw"))
    return Environment(
        state_dir=state_dir,
        config_path=path("OPENCLAW_CONFIG_PATH", state_dir / "openclaw.json"),
        token=_text(given, _TOKEN),
        password=_text(given, _PASSWORD),
        port=_number(given, _PORT, 1, 65_535, faults),
        web_concurrency=_number(given, "WEB_CONCURRENCY", 1, 10_000, faults),
        variables=given,
        faults=tuple(faults),
    )


def supplemented(environment: Environment, variables: Mapping[str, str]) -> Environment:
    """The environment with these for the variables that it lacks; ``os.environ`` and what it starts stay without.

    Where state and file are, and how many processes there are, is not to be had in this way.
    """
    lacking = {name: value for name, value in variables.items() if not environment.variables.get(name, "").strip()}
    merged = MappingProxyType({**environment.variables, **lacking})
    faults = [fault for fault in environment.faults if fault.where != _PORT]
    return replace(
        environment,
        token=_text(merged, _TOKEN),
        password=_text(merged, _PASSWORD),
        port=_number(merged, _PORT, 1, 65_535, faults),
        variables=merged,
        faults=tuple(faults),
    )


def _text(variables: Mapping[str, str], name: str) -> str | None:
    return variables.get(name, "").strip() or None


def _number(variables: Mapping[str, str], name: str, low: int, high: int, faults: list[Fault]) -> int | None:
    value = _text(variables, name)
    if value is None:
        return None
    if value.isascii() and value.isdigit() and len(value) < 10 and low <= int(value) <= high:
        return int(value)
    faults.append(Fault.of(name, value, f"an integer from {low} to {high}"))
    return None


def environment_of_children() -> dict[str, str]:
    """What a child process needs to find Python and its libraries; no token and no provider's key."""
    return {name: os.environ[name] for name in _NEEDED_BY_CHILDREN if name in os.environ}


def environment_of_commands() -> dict[str, str]:
    """What a command that a model chose may see; always with a PATH."""
    return {"PATH": os.defpath} | {name: os.environ[name] for name in _SEEN_BY_COMMANDS if os.environ.get(name)}
