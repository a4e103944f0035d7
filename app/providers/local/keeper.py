"""The process between a gateway and its local model: starts the model, starts it again, and ends it with the gateway.

Run by path, with the standard library alone, so that it stays small. Its standard input is the door: a socket whose
other end the gateway's processes inherit from each other. Whoever sends a socket through the door gets a lease: JSON
lines on it tell the model's state, now and at every change. The first lease starts the model. EOF at the door means
that no process of the gateway is left, however it died.

``{"state": "starting"}``
``{"state": "ready", "port": int, "key": str, "contextWindow": int}``  (tokens of one slot)
``{"state": "failed", "reason": str, "retryIn": float}``               (seconds)
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
LONGEST_PAUSE = 10.0
# Seconds. A model that served so long did not fail to start.
PROVEN = 30.0

# Seconds between two questions whether the model still answers; without an answer, and without any computing, until
# that is told, and until it is ended. A server that is busy, however much, computes.
PULSE = 2.0
SILENT = 3.0
STUCK = 10.0
# The same for one that is still starting, and may wait for its disk.
START_STUCK = 60.0
SILENCE = "it does not answer"


def pause(failures: int) -> float:
    """Seconds to wait before the next try, after so many failures in a row."""
    return min(LONGEST_PAUSE, 0.25 * 2.0 ** min(failures - 1, 10))


class Model:
    """One process that serves the model. It ends when this object's pipe to it closes, or by ``kill``."""

    def __init__(self, path: str | None) -> None:
        self.key = os.urandom(24).hex()
        self.ready_since: float | None = None
        self.failure: str | None = None
        orders, self._orders = os.pipe()
        self._reports, reports = os.pipe()
        # Through a pipe: arguments and environment of a process can be read by others.
        os.write(self._orders, json.dumps({"key": self.key, "model": path}).encode() + b"\n")
        try:
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", SERVER],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, orders, 0), (os.POSIX_SPAWN_DUP2, reports, 1)],
            )
        except OSError:
            self._close()
            raise
        finally:
            os.close(orders)
            os.close(reports)
        self.pulse = Pulse(self._pid)

    def fileno(self) -> int:
        """Where it reports."""
        return self._reports

    def serves(self, port: int) -> None:
        """It is ready, at this port of loopback."""
        self.ready_since = time.monotonic()
        self.pulse = Pulse(self._pid, port)

    def kill(self) -> str:
        """Make sure that it is gone. Returns how it ended."""
        self.pulse.close()
        os.kill(self._pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        self._close()
        if code >= 0:
            return f"the model's process ended with exit code {code}"
        # By the system, or by itself when it gets no more.
        guess = "; perhaps memory ran out" if -code in (signal.SIGKILL, signal.SIGABRT) else ""
        return f"the model's process was killed by {signal.Signals(-code).name}{guess}"

    def _close(self) -> None:
        os.close(self._orders)
        os.close(self._reports)


class Pulse:
    """Asks a model's server, again and again, whether it is there. port: None of one that is still starting."""

    def __init__(self, pid: int, port: int | None = None) -> None:
        self.due = time.monotonic() + PULSE
        self._pid = pid
        self._port = port
        self._sign = time.monotonic()
        self._computed = computed(pid)
        self._question: socket.socket | None = None
        self._asked = False

    def look(self) -> float:
        """Seconds since the last sign of life: an answer, or a moment of computing. Never waits."""
        now = time.monotonic()
        self.due = now + PULSE
        answered = self._question is not None and self._answered()
        if answered or computed(self._pid) != self._computed:
            self._sign, self._computed = now, computed(self._pid)
        if answered:
            self.close()
        if self._port is not None:
            self._ask(self._port)
        return now - self._sign

    def close(self) -> None:
        if self._question is not None:
            self._question.close()
            self._question = None

    def _ask(self, port: int) -> None:
        if self._question is None:
            self._question = socket.socket()
            self._question.setblocking(False)
            self._question.connect_ex(("127.0.0.1", port))
            self._asked = False
        if not self._asked:
            with contextlib.suppress(OSError):  # not connected yet
                self._asked = bool(self._question.send(b"GET /health HTTP/1.0\r\n\r\n"))

    def _answered(self) -> bool:
        assert self._question is not None
        with contextlib.suppress(OSError):
            self._question.recv(1)
            return True
        return False


def computed(pid: int) -> bytes:
    """What a process has computed until now, to be compared; empty where the system doesn't tell."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stat:
        return b" ".join(stat.read().rpartition(b")")[2].split()[11:13])
    return b""


class Keeper:
    def __init__(self, door: socket.socket, model_path: str | None) -> None:
        self._door = door
        self._model_path = model_path
        self._model: Model | None = None
        self._leases: set[socket.socket] = set()
        self._news = self._ready = b""
        self._failures = 0
        self._retry_at: float | None = None
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Until the gateway is gone."""
        self._selector.register(self._door, selectors.EVENT_READ, self._admit)
        try:
            while self._door.fileno() >= 0:
                dues = [self._retry_at, self._model.pulse.due if self._model else None]
                wait = min((max(0.0, due - time.monotonic()) for due in dues if due is not None), default=None)
                for ready, _ in self._selector.select(wait):
                    react: Callable[[Any], None] = ready.data
                    react(ready.fileobj)
                if self._model and time.monotonic() >= self._model.pulse.due:
                    self._look(self._model)
                if self._retry_at is not None and time.monotonic() >= self._retry_at:
                    self._start()
        finally:
            if self._model:
                self._model.kill()

    def _admit(self, door: socket.socket) -> None:
        sent, descriptors, _, _ = socket.recv_fds(door, 1, 1)
        if not sent:
            self._selector.unregister(door)
            door.close()
        for descriptor in descriptors:
            # Python leaves what it receives inheritable, and the model would keep the lease open.
            os.set_inheritable(descriptor, False)
            lease = socket.socket(fileno=descriptor)
            lease.setblocking(False)
            self._leases.add(lease)
            # Nothing is ever said there: it becomes readable when its process is gone.
            self._selector.register(lease, selectors.EVENT_READ, self._drop)
            if self._news:
                self._tell(lease)
            else:
                self._start()

    def _drop(self, lease: socket.socket) -> None:
        if lease in self._leases:
            self._leases.remove(lease)
            self._selector.unregister(lease)
            lease.close()

    def _tell(self, lease: socket.socket) -> None:
        try:
            lease.send(self._news)
        except OSError:
            # Gone, or not listening for so long that the socket is full: it may come again.
            self._drop(lease)

    def _publish(self, **news: object) -> None:
        self._pass_on(json.dumps(news).encode() + b"\n")

    def _pass_on(self, news: bytes) -> None:
        self._news = news
        for lease in list(self._leases):
            self._tell(lease)

    def _start(self) -> None:
        self._retry_at = None
        self._publish(state="starting")
        try:
            self._model = Model(self._model_path)
        except OSError as error:
            self._fail(f"the model's process can't be started: {error}")
            return
        self._selector.register(self._model, selectors.EVENT_READ, self._hear)

    def _hear(self, model: Model) -> None:
        # The one line is shorter than what a pipe passes on undivided.
        line = os.read(model.fileno(), 4096)
        report = json.loads(line) if line else {}
        if "port" in report:
            model.serves(report["port"])
            self._publish(state="ready", port=report["port"], key=model.key, contextWindow=report["contextWindow"])
            self._ready = self._news
        elif "failed" in report:
            model.failure = report["failed"]
        else:
            self._drop_model(model)
            self._end(model)

    def _drop_model(self, model: Model) -> None:
        self._selector.unregister(model)
        self._model = None

    def _look(self, model: Model) -> None:
        """Whether it is there: one that is stopped, or stuck, would hold those who wait for it for all their time."""
        silent = model.pulse.look()
        is_ready = model.ready_since is not None
        if silent >= (STUCK if is_ready else START_STUCK):
            self._drop_model(model)
            model.kill()
            self._fail(f"{SILENCE}, and was ended after {silent:.0f} s")
        elif is_ready and silent >= SILENT and self._news == self._ready:
            self._publish(state="failed", reason=SILENCE, retryIn=STUCK - silent)
        elif is_ready and silent < SILENT and self._news != self._ready:
            self._pass_on(self._ready)

    def _end(self, model: Model) -> None:
        how = model.kill()
        if model.failure:
            # It knows why it can't work, so the next try will hardly do better.
            self._fail(model.failure, LONGEST_PAUSE)
            return
        if model.ready_since is not None and time.monotonic() - model.ready_since > PROVEN:
            self._failures = 0
        self._fail(how)

    def _fail(self, reason: str, retry_in: float | None = None) -> None:
        self._failures += 1
        retry_in = pause(self._failures) if retry_in is None else retry_in
        self._retry_at = time.monotonic() + retry_in
        self._publish(state="failed", reason=reason, retryIn=retry_in)


def main() -> None:
    # A terminal or a service manager signals all processes at once; the model is needed until the gateway has drained.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    door = socket.socket(fileno=os.dup(0))
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    door.setblocking(True)
    with contextlib.suppress(BrokenPipeError):
        Keeper(door, sys.argv[1] if len(sys.argv) > 1 else None).run()


if __name__ == "__main__":
    main()
