"""Which gateway a command talks to, and with which secret."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit, urlunsplit

import click

from app.config import ConfigError, Environment, Settings, load, read_environment

if TYPE_CHECKING:
    from app.cli.client import Client

Command = TypeVar("Command", bound=Callable[..., Any])

_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


class Address(NamedTuple):
    """What the options of a command say; ``connect`` makes a connection of it.

    url:   of another gateway than the configured one. token: another secret than the configured one.
    """

    url: str | None = None
    token: str | None = None

    def connect(self) -> Client:
        """Raises click's exceptions, see ``failures``."""
        # Here, because it imports ssl, which has to be patched before in a process that works with greenlets.
        from app.cli.client import Client

        return Client(*self.resolve(read_environment()))

    def resolve(self, environment: Environment) -> tuple[str, str | None]:
        """(the WebSocket's URL, the secret to show there). Raises click's exceptions."""
        given = None if self.url is None else websocket_url(self.url)
        if given is not None and self.token is not None:
            return given, self.token
        try:
            settings = load(environment)
        except ConfigError as error:
            if given is not None:
                return given, None
            raise click.ClickException("\n".join(map(str, error.faults))) from None
        url = given or websocket_url(settings.gateway.url)
        if self.token is not None:
            return url, self.token
        return url, settings.gateway.auth.secret if _is_ours(url, settings) else None


def websocket_url(url: str) -> str:
    """``ws://…`` or ``wss://…`` of what a user gives: an http address, or only host and port, will do.

    Raises click.BadParameter.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = _SCHEMES.get(parts.scheme)
    try:
        whole = bool(scheme and parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or scheme is None:
        raise click.BadParameter("not a gateway's address, such as ws://127.0.0.1:18789", param_hint="--url")
    if "@" in parts.netloc:
        raise click.BadParameter("give the secret with --token, not in the address", param_hint="--url")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def _is_ours(url: str, settings: Settings) -> bool:
    """Whether this machine answers there: the configured secret is not for others."""
    host = urlsplit(url).hostname
    if host in ("localhost", urlsplit(settings.gateway.url).hostname):
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def address_options(command: Command) -> Command:
    """Adds ``--url`` and ``--token``; the command gets ``address``."""

    @click.option("--url", metavar="URL", help="Another gateway than the configured one: ws://, wss:// or http(s)://.")
    @click.option(
        "--token",
        metavar="SECRET",
        help="Its token or password. Without it the configured one, which is sent to gateways of this machine only.",
    )
    @functools.wraps(command)
    def with_address(*args: Any, url: str | None, token: str | None, **options: Any) -> Any:
        return command(*args, address=Address(url, token), **options)

    return with_address  # type: ignore[return-value]


def gateway_options(command: Command) -> Command:
    """Adds ``--url``, ``--token`` and ``--json``; the command gets ``address`` and ``as_json``."""
    return address_options(click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")(command))
