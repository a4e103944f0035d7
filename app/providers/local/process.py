"""A gateway's side of the local model: one keeper for all its processes, and in each the model's latest state."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.children import orphans
from app.config.environment import environment_of_children
from app.errors import ProviderError, ProviderTimeout
from app.providers.local import keeper

log = logging.getLogger("gateway.providers.local")

# Seconds. A model that died is worth waiting for when its next start is so near.
SOON = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the model serves OpenAI's API.

    base_url: with ``/v1``. context_window: tokens that one call has for prompt and answer.
    """

    base_url: str
    api_key: str = field(repr=False)
    context_window: int


@dataclass(frozen=True, slots=True)
class _State:
    name: str  # off | starting | ready | failed
    endpoint: Endpoint | None = None
    reason: str = ""
    retry_in: float = 0.0

    @property
    def settled(self) -> bool:
        return self.name in ("ready", "off") or (self.name == "failed" and self.retry_in > SOON)


class LocalModel:
    """The model as the processes of one gateway see it. Made in the master, inherited by its workers.

    Waiting is plain ``threading``: greenlets where gevent has patched it, threads elsewhere.
    model_path: another GGUF file than the installed one.
    """

    def __init__(self, model_path: Path | None = None) -> None:
        self._arguments = [str(model_path)] if model_path else []
        self._door: int | None = None
        self._keeper: int | None = None
        self._lease: socket.socket | None = None
        self._follower: int | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._state = _State("off")
        self._complaint = ""

    def prepare(self) -> None:
        """Start the keeper, in the process that the others are forked from. The model waits for ``start``."""
        self._open_door()

    def start(self) -> None:
        """Have the model running from now on. Returns at once."""
        if self._follower == os.getpid() or self._closed:
            return
        self._follower = os.getpid()
        # What a parent process knew, and who waited there, is its own.
        self._changed = threading.Condition()
        self._state = _State("starting")
        threading.Thread(target=self._follow, name="local-model", daemon=True).start()

    def ensure(self, timeout: float) -> Endpoint:
        """Start the model if need be and wait until it answers.

        timeout: seconds. Raises ProviderError when it can't be started, ProviderTimeout when it isn't ready in time.
        """
        self.start()
        with self._changed:
            self._changed.wait_for(lambda: self._state.settled, timeout)
            state = self._state
        if state.endpoint:
            return state.endpoint
        if state.name == "off":
            raise ProviderError("the local model was stopped")
        if state.name == "failed":
            raise ProviderError(f"the local model does not run: {state.reason}")
        raise ProviderTimeout(f"the local model was not ready after {timeout:.1f} s")

    @property
    def context_window(self) -> int | None:
        """Tokens that one call has for prompt and answer; ``None`` as long as the model is not ready."""
        return self._state.endpoint.context_window if self._state.endpoint else None

    def state(self) -> str:
        """``off``, ``starting``, ``ready``, or ``failed: `` and the reason."""
        state = self._state if self._follower == os.getpid() else _State("off")
        return f"failed: {state.reason}" if state.name == "failed" else state.name

    def close(self) -> None:
        """End this process's part. The model ends when the gateway's last process did this or is gone."""
        self._closed = True
        self._note(_State("off"))
        if self._lease is not None and self._follower == os.getpid():
            with suppress(OSError):
                self._lease.shutdown(socket.SHUT_RDWR)
        self._leave()

    def _follow(self) -> None:
        failures = 0
        while not self._closed:
            reason = "its keeper ended"
            try:
                for news in self._news():
                    failures = 0
                    if not self._closed:
                        self._note(_read(news))
            except OSError as error:
                reason = f"its keeper can't be reached: {error}"
            if not self._closed:
                failures += 1
                self._note(_State("failed", reason=reason, retry_in=keeper.pause(failures)))
                time.sleep(keeper.pause(failures))

    def _note(self, state: _State) -> None:
        if state.endpoint:
            log.info("the local model is ready, with a window of %d tokens", state.endpoint.context_window)
            self._complaint = ""
        elif state.name == "failed" and state.reason != self._complaint:
            log.warning("the local model does not run: %s; it is started again", state.reason)
            self._complaint = state.reason
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def _news(self) -> Iterator[Mapping[str, Any]]:
        """The keeper's news on a new lease, until it or this process ends it. Raises OSError."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                try:
                    self._admit(theirs)
                except OSError:
                    # The keeper was killed. This process starts one of its own.
                    self._leave()
                    self._admit(theirs)
            self._lease = ours
            with ours.makefile("rb") as lines:
                for line in lines:
                    yield json.loads(line)

    def _admit(self, lease: socket.socket) -> None:
        with socket.fromfd(self._open_door(), socket.AF_UNIX, socket.SOCK_STREAM) as door:
            socket.send_fds(door, [b"\0"], [lease.fileno()])

    def _open_door(self) -> int:
        if self._door is None:
            self._door = self._spawn()
        return self._door

    def _spawn(self) -> int:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            # Not subprocess: under gevent it would leave a child watcher in the hub that workers are forked with.
            self._keeper = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-S", keeper.__file__, *self._arguments],
                environment_of_children(),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                ],
                setsid=True,
            )
            orphans.known.add(self._keeper)
            return ours.detach()

    def _leave(self) -> None:
        if self._door is not None:
            os.close(self._door)
            self._door = None
        if self._keeper is not None:
            # In a worker it is not a child, in gunicorn's master somebody else may have reaped it.
            with suppress(ChildProcessError):
                os.waitpid(self._keeper, os.WNOHANG)
            orphans.known.discard(self._keeper)
            self._keeper = None


def _read(news: Mapping[str, Any]) -> _State:
    if news["state"] == "ready":
        endpoint = Endpoint(f"http://127.0.0.1:{news['port']}/v1", news["key"], news["contextWindow"])
        return _State("ready", endpoint)
    return _State(news["state"], reason=news.get("reason", ""), retry_in=news.get("retryIn", 0.0))
