"""The three servers under measurement, the callers, and how all of them end with the bench."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
PYTHON = sys.executable
MODELS = ("m", "paced", "held", "tool", "fetch")
START_TIMEOUT = 30.0
STOP_TIMEOUT = 3.0


class Broken(Exception):
    """A process that did not start, or ended, or answered wrongly."""


@dataclass(frozen=True)
class Target:
    """A server that answers chat completions. models: which name makes the provider answer, pace or hold."""

    name: str
    port: int
    models: Mapping[str, str]
    process: psutil.Process
    token: str = ""

    def worker(self) -> psutil.Process:
        """gunicorn's child that serves; others may be there for the local model."""
        return next(child for child in self.process.children() if listens_on(child, self.port))

    def memory(self) -> int:
        """Bytes resident in the worker, shared pages included."""
        return int(self.worker().memory_info().rss)

    def busy(self, seconds: float) -> float:
        """The share of a core that the worker takes for so long."""
        worker = self.worker()
        before = worker.cpu_times()
        time.sleep(seconds)
        after = worker.cpu_times()
        return (after.user + after.system - before.user - before.system) / seconds

    def measure(self, kind: str, model: str, by: str = "bench.load", **numbers: float) -> dict[str, float]:
        with self.load(kind, model, by, **numbers) as load:
            figures, faults = load.communicate()
        if load.returncode:
            raise Broken(f"{self.name}: {faults}")
        return dict(json.loads(figures))

    def memory_with(self, streams: int) -> int:
        """The same while so many streams are open and silent after their first token."""
        with self.holding("held", "held", count=streams):
            return self.memory()

    @contextmanager
    def holding(self, kind: str, model: str, by: str = "bench.load", **numbers: float) -> Iterator[None]:
        """While the load says that it holds what it opened."""
        with self.load(kind, model, by, **numbers) as load:
            assert load.stdout
            assert load.stderr
            if not load.stdout.readline():
                raise Broken(f"{self.name}: {load.stderr.read()}")
            yield

    @contextmanager
    def load(self, kind: str, model: str, by: str, **numbers: float) -> Iterator["subprocess.Popen[str]"]:
        job = {"kind": kind, "port": self.port, "model": self.models[model], "token": self.token, **numbers}
        pipe = subprocess.PIPE
        with running([PYTHON, "-m", by, json.dumps(job)], stdin=pipe, stdout=pipe, stderr=pipe) as load:
            yield load


@contextmanager
def running(command: list[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A process in a group of its own, ended with all its children."""
    process = subprocess.Popen(command, text=True, start_new_session=True, **{"cwd": ROOT, **options})
    try:
        yield process
    finally:
        for ending in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


@contextmanager
def stack(folder: Path) -> Iterator[tuple[Target, Target, Target]]:
    """The provider, and before it the bare route and the gateway, all new."""
    with ExitStack() as servers:
        behind = servers.enter_context(provider(folder))
        yield behind, servers.enter_context(bare(folder, behind)), servers.enter_context(gateway(folder, behind))


@contextmanager
def gateway_alone(folder: Path) -> Iterator[Target]:
    """The gateway and its provider, for what the bare route does not have."""
    with provider(folder) as behind, gateway(folder, behind) as target:
        yield target


@contextmanager
def server(
    name: str, command: list[str], port: int, environment: Mapping[str, str], log: Path, tree: Path = ROOT
) -> Iterator[psutil.Process]:
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("OPENCLAW_", "GUNICORN_", "WEB_"))
    }
    with log.open("w") as output:
        options = {"env": {**inherited, **environment}, "stdout": output, "stderr": output, "cwd": tree}
        with running(command, stdin=subprocess.DEVNULL, **options) as process:
            deadline = time.monotonic() + START_TIMEOUT
            while not listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Broken(f"{name} did not start")
                time.sleep(0.05)
            yield psutil.Process(process.pid)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listens_on(process: psutil.Process, port: int) -> bool:
    sockets = process.net_connections("tcp")
    return any(one.laddr.port == port and one.status == psutil.CONN_LISTEN for one in sockets)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def provider(folder: Path) -> Iterator[Target]:
    port = free_port()
    with server("provider", [PYTHON, "-m", "bench.provider", str(port)], port, {}, folder / "provider.log") as process:
        yield Target("provider", port, {model: model for model in MODELS}, process)


@contextmanager
def bare(folder: Path, provider: Target) -> Iterator[Target]:
    port = free_port()
    command = [PYTHON, "-m", "gunicorn", "-c", "bench/bare_gunicorn.py", "-b", f"127.0.0.1:{port}", "bench.bare:app"]
    environment = {"BENCH_PROVIDER_PORT": str(provider.port)}
    with server("bare route", command, port, environment, folder / "bare.log") as process:
        yield Target("bare", port, provider.models, process)


@contextmanager
def gateway(
    folder: Path, provider: Target, tree: Path = ROOT, change: Callable[[dict[str, Any]], object] = lambda _: None
) -> Iterator[Target]:
    """tree: the project, as it was at some time, that is served. change: done to the file that it starts with."""
    port, token = free_port(), secrets.token_urlsafe(24)
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True, parents=True)
    config = folder / "openclaw.json"
    document = gateway_config(provider)
    change(document)
    config.touch(mode=0o600)
    config.write_text(json.dumps(document))
    environment = {
        "OPENCLAW_STATE_DIR": str(state),
        "OPENCLAW_CONFIG_PATH": str(config),
        "OPENCLAW_GATEWAY_TOKEN": token,
        "OPENCLAW_GATEWAY_PORT": str(port),
    }
    command = [PYTHON, "-m", "gunicorn", "wsgi:app"]
    with server("gateway", command, port, environment, folder / "gateway.log", tree) as process:
        yield Target("gateway", port, {model: f"openclaw/{model}" for model in provider.models}, process, token)


def gateway_config(provider: Target) -> dict[str, Any]:
    scripted = {
        "baseUrl": f"http://127.0.0.1:{provider.port}/v1",
        "apiKey": "k",
        "api": "openai-completions",
        "models": [{"id": model} for model in provider.models],
    }
    return {
        "gateway": {"http": {"endpoints": {"chatCompletions": {"enabled": True}}}},
        "models": {"providers": {"scripted": scripted}},
        "agents": {"list": [{"id": model, "model": f"scripted/{model}"} for model in provider.models]},
    }
