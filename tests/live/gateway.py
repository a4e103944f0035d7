"""A gateway as operators run it: ``gunicorn wsgi:app`` in a process of its own, with a state folder of its own."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "test-token-0123456789"
PATIENCE = 20.0

Config = dict[str, Any]


def config_for(provider_url: str, **changes: Any) -> Config:
    """The configuration that most tests start from. changes: top-level keys, merged into it at any depth."""
    config: Config = {
        "gateway": {
            "auth": {"mode": "token", "token": TOKEN},
            "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
        },
        "agents": {"list": [{"id": "main", "model": "scripted/m"}, {"id": "beta", "model": "scripted/m"}]},
        "models": {"providers": {"scripted": {"baseUrl": provider_url, "apiKey": "k", "models": [{"id": "m"}]}}},
    }
    return merged(config, changes)


def merged(base: Config, changes: Config) -> Config:
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def text(self) -> str:
        return self.json["choices"][0]["message"]["content"]

    @property
    def events(self) -> list[str]:
        """The data of each event of a stream."""
        return [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        assert self.events[-1] == "[DONE]"
        return [json.loads(event) for event in self.events[:-1]]


class Gateway:
    """One running gateway. ``url`` has no path; ``log`` is what it has written so far.

    at_its_address: it listens where its file says, not at a free port of this machine.
    """

    def __init__(
        self,
        state_dir: Path,
        config: Config | None,
        *options: str,
        env: dict[str, str] | None = None,
        at_its_address: bool = False,
    ) -> None:
        self.state_dir = state_dir
        self.config_path = state_dir / "openclaw.json"
        state_dir.mkdir(mode=0o700, exist_ok=True)
        if config is not None:
            self.write_config(config)
        self._log_path = state_dir / "gateway.log"
        bound = at_its_address or any(option.startswith(("--bind", "-b")) for option in options)
        bind = () if bound else ("--bind", "127.0.0.1:0")
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OPENCLAW_", "WEB_CONC"))}
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *bind, *options, "wsgi:app"],
                cwd=ROOT,
                env={**clean, "OPENCLAW_STATE_DIR": str(state_dir), **(env or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.port = 0

    def write_config(self, config: Config) -> None:
        """Replace the file in one step, as editors do."""
        fresh = self.config_path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(config))
        fresh.rename(self.config_path)

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_until_up(self) -> Gateway:
        """Until a worker answers. Fails with the log when it ends instead."""

        def up() -> bool:
            assert self.process.poll() is None, f"the gateway ended:\n{self.log}"
            if found := re.search(r"Listening at: http://[^:]+:(\d+)", self.log):
                self.port = int(found[1])
                try:
                    return self.call("/healthz", method="GET").status == 200
                except OSError:
                    return False
            return False

        wait_until(up, "the gateway answers")
        return self

    def wait_for_end(self) -> int:
        """The exit code."""
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it in order if it still runs, and leave no process behind."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """kill -9 of master and workers. Returns when none of them holds a file any more."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        wait_until(lambda: not any(_lives(each) for each in family), "all processes are gone")

    def worker(self) -> psutil.Process:
        """The child that serves; others may be there for the local model."""
        children = psutil.Process(self.process.pid).children()
        return next(
            child for child in children if any(each.laddr.port == self.port for each in child.net_connections())
        )

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def call(
        self,
        path: str = "/v1/chat/completions",
        body: Any = None,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        token: str | None = TOKEN,
    ) -> Answer:
        """One request on a connection of its own. body: sent as JSON, bytes as they are."""
        with self.open(path, body, method=method, headers=headers, token=token) as response:
            return Answer(response.status, response.headers, response.read())

    @contextmanager
    def open(
        self,
        path: str = "/v1/chat/completions",
        body: Any = None,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        token: str | None = TOKEN,
    ) -> Iterator[http.client.HTTPResponse]:
        """The response with its body still to come; leaving closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        sent.update(headers or {})
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, sent)
            yield connection.getresponse()
        finally:
            connection.close()

    def raw_request(self, body: Any) -> bytes:
        """A chat request as it goes over the wire, for tests that write to the socket themselves."""
        data = json.dumps(body).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    def chat(self, text: str = "hi", *, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
        """A chat completion with one user message; ``messages`` among the fields replaces it."""
        return self.call(body=chat_body(text, **fields), headers=headers)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def chat_body(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"model": "openclaw", "messages": [{"role": "user", "content": text}], **fields}


def wait_until(condition: Any, what: str, timeout: float = PATIENCE) -> None:
    """Poll until the condition holds. Raises AssertionError."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)
