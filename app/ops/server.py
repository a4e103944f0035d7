"""How the gateway starts under gunicorn: what must hold before the first worker, and in one line why it doesn't."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import resource
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from app.agents.tools import sandbox
from app.agents.tools.policy import without_network
from app.children import orphans
from app.config import ConfigError, Environment, Settings, load, make_state_dir, read_environment
from app.ops import logs
from app.providers.local import LocalModel
from app.services import Services
from app.sessions.database import StorageError, open_database

log = logging.getLogger("gateway")

# As much as a first turn needs; a disk that can't take it is full for all that matters.
PROBE_BYTES = 256 * 1024

# Files that the process has open beside its runs.
SPARE_FILES = 200

# Made in the master and inherited by its workers, which share one model.
_local_model = LocalModel()
_last_good: tuple[Environment, Settings] | None = None


def refuse(*lines: str) -> NoReturn:
    """End the start: one line for each reason on stderr, exit code 1."""
    for line in lines:
        print(f"gateway: {line}", file=sys.stderr)
    sys.exit(1)


def read_settings() -> tuple[Environment, Settings]:
    """The environment and the checked settings, or the last good ones when the file has become bad meanwhile.

    At the first call a bad file refuses the start, with every fault on a line of its own.
    """
    global _last_good
    environment = read_environment()
    try:
        _last_good = environment, load(environment)
    except ConfigError as error:
        if _last_good is None:
            refuse(*(str(fault) for fault in error.faults))
        for fault in error.faults:
            log.error("the configuration is bad, the last good one stays: %s", fault)
    logs.configure(_last_good[1])
    return _last_good


def on_starting(server: Any, environment: Environment, settings: Settings) -> None:
    """gunicorn's hook in the master, before it listens: refuse what would fail later or do harm."""
    workers = max(server.cfg.workers, server.num_workers)
    if workers > 1 and settings.redis_url is None:
        refuse(
            f"{workers} workers need cluster.redisUrl, which keeps their sessions and limits together; start with one"
        )
    if workers > 1:
        refuse(f"{workers} workers: cluster.redisUrl is not supported by this version; start with one")
    inherited = server.cfg.reuse_port or environment.get("LISTEN_FDS") or environment.get("GUNICORN_FD")
    for address in server.cfg.address:
        _check_address(address, settings, inherited=bool(inherited))
    _check_state_dir(settings.state_dir)
    _check_network_of_commands(settings)
    _raise_file_limit(settings.gateway.max_runs)
    try:
        open_database(settings.storage_url).dispose()
    except StorageError as error:
        refuse(str(error))
    _local_model.prepare()


def build_services() -> Services:
    """The services of a worker, at work. The local model's keeper was inherited from the master, if there is one."""
    environment, settings = read_settings()
    for warning in settings.warnings:
        log.warning(warning)
    orphans.adopt()
    services = Services(environment, settings, _local_model)
    services.start_background()
    return services


def _raise_file_limit(max_runs: int) -> None:
    """Each run needs a connection to its client and one to its provider; a login shell often allows 1024 files."""
    needed = 2 * max_runs + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log.info("%d files may be open instead of %d, as the system allows", hard, soft)
    if hard != resource.RLIM_INFINITY and hard < needed:
        log.warning("%d open files are allowed, %d runs (gateway.maxRuns) may need %d", hard, max_runs, needed)


def _check_address(address: Any, settings: Settings, *, inherited: bool) -> None:
    if not isinstance(address, tuple):
        return  # a unix socket: its folder's rights decide who may connect
    host, port = address
    if settings.gateway.auth.mode == "none" and not _is_loopback(host):
        refuse(f"gateway.auth.mode none serves loopback only, not {host}")
    if inherited or port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                refuse(f"{host}:{port} is taken by another program; stop it, or set gateway.port")
            refuse(f"can't listen on {host}:{port}: {error.strerror}")


def _check_network_of_commands(settings: Settings) -> None:
    """What shall have no network must not start where nothing can take it away."""
    agents = without_network(settings)
    if agents and (lacking := sandbox.look()):
        refuse(
            f"tools.exec.network is false for {', '.join(agents)}, and {lacking.reason}: nothing keeps commands from "
            f'the network; {lacking.remedy}, or switch them off with tools.exec.security: "deny"'
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_state_dir(state_dir: Path) -> None:
    try:
        make_state_dir(state_dir)
        with tempfile.TemporaryFile(dir=state_dir) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        refuse(f"can't write to the state folder {state_dir}: {error.strerror}")
