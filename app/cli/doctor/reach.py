"""The port, and the gateway that listens there."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import click

from app.cli.doctor.finding import FAIL, OK, WARN, Finding, Installation
from app.cli.failures import NoGateway
from app.config import ConfigError, hash_of
from app.config.loading import read_text
from app.config.settings import Gateway
from app.version import VERSION

# Seconds.
PATIENCE = 5.0


def port(installation: Installation) -> Iterator[Finding]:
    """The configured one is free, or a gateway has it."""
    if installation.settings is None:
        return
    gateway = installation.settings.gateway
    family = socket.AF_INET6 if ":" in gateway.bind_host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((gateway.bind_host, gateway.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                remedy = "set gateway.bind and gateway.customBindHost to an address of this machine, or another port"
                yield Finding("port", FAIL, f"can't listen on {gateway.address}: {error.strerror}; {remedy}")
            elif _is_gateway(gateway):
                yield Finding("port", OK, f"{gateway.address} is a gateway's")
            else:
                yield Finding(
                    "port", FAIL, f"{gateway.address} is taken by another program: stop it, or set gateway.port"
                )
        else:
            yield Finding("port", OK, f"{gateway.address} is free")


def running(installation: Installation) -> Iterator[Finding]:
    """A gateway runs, serves well, and is what is installed and configured here."""
    if installation.settings is None and installation.address.url is None:
        return
    url, secret = installation.address.resolve(installation.environment)
    # Here, because it is slow to import and most of what fails does so before.
    from app.cli.client import Client

    try:
        with Client(url, secret) as client:
            status = client.request("status")
            place = client.hello["snapshot"].get("configPath")
            methods = client.hello["features"]["methods"]
            said = client.request("config.get") if "config.get" in methods else {}
    except NoGateway as error:
        yield Finding("gateway", WARN, error.message)
        return
    except click.ClickException as error:
        yield Finding("gateway", FAIL, error.message)
        return
    if status["failing"]:
        remedy = "its log says more: `.venv/bin/python -m app logs`"
        failing = ", ".join(_why(name, status) for name in status["failing"])
        yield Finding("gateway", FAIL, f"{url} does not serve well ({failing}); {remedy}")
    if status["runtimeVersion"] != VERSION:
        text = f"{url} is version {status['runtimeVersion']}, installed is {VERSION}: restart it"
        yield Finding("gateway", WARN, text)
    # With an address of its own the gateway may be that of another machine.
    if installation.address.url is None and not _is_ours(installation, place, said.get("hash")):
        text = f"{url} uses another configuration ({place}) than {installation.environment.config_path}"
        yield Finding("gateway", WARN, f"{text}: start it with the same OPENCLAW_CONFIG_PATH, or use that one here")
    for model, each in status["modelsSetAside"].items():
        yield Finding("gateway", WARN, f"{model} is asked last for {each['seconds']} s: {each['reason']}")
    for server, refused in status.get("mcpToolsLeftOut", {}).items():
        yield Finding("gateway", WARN, f"tools of MCP server {server} can't be offered: {'; '.join(refused)}")
    yield Finding("gateway", OK, f"{url} answers, version {status['runtimeVersion']}, pid {status['pid']}")


def _why(name: str, status: dict[str, Any]) -> str:
    reason = status.get(name)
    return f"{name}: {reason}" if isinstance(reason, str) else name


def _is_gateway(gateway: Gateway) -> bool:
    host, _, number = gateway.url.partition("://")[2].rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(number), timeout=PATIENCE)
    try:
        connection.request("GET", "/healthz")
        said = json.loads(connection.getresponse().read(4096))
        return isinstance(said, dict) and said.get("status") == "live"
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


def _is_ours(installation: Installation, place: str | None, hash: str | None) -> bool:
    if place != str(installation.environment.config_path):
        return False
    try:
        return hash is None or hash == hash_of(read_text(installation.environment))
    except ConfigError:
        return False
