"""gunicorn's gevent worker with what the gateway needs of it: JSON for refused requests, and a drain that ends runs."""

from __future__ import annotations

import errno
import gc
import logging
import mmap
import resource
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import gevent
from gevent import Greenlet
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http import errors as http_errors
from gunicorn.workers.ggevent import GeventWorker

from app.agents.runs import shutting_down
from app.auth import repeated_names
from app.auth.proxies import Proxies
from app.config import Settings
from app.errors import GatewayError, InvalidRequest, Overloaded, unexpected
from app.http import envelope
from app.ids import new_uuid
from app.ops import memory
from app.ops.connections import RESERVE, Connection, Connections

log = logging.getLogger("gateway.worker")

# Seconds between the end of the drain and the moment at which gunicorn's master kills the worker.
MARGIN = 5.0
# Seconds for which a client may leave what was sent to it unread.
UNREAD_SECONDS = 60
# Seconds in which streams that were ended by the drain may write their last bytes.
LAST_BYTES = 2.0
# What clients of the control plane are told to expect, in milliseconds.
RESTART_EXPECTED_MS = 10_000

# An unread body up to this many bytes is read past, so that the connection can be used again.
SMALL_BODY = 64 * 1024
# A larger one is thrown away while the client reads its answer: closing at once would reset the connection under it.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024 * 1024

# What is answered when there is no room for anything else.
HEALTH = frozenset({"/health", "/healthz", "/ready", "/readyz"})
# What the system says when it has no file for a connection.
NO_FILES = (errno.EMFILE, errno.ENFILE)

# How many objects may be made before young, middle and old ones are searched for garbage. Python's 700 suits programs
# that make few; a request makes a thousand.
GC_THRESHOLDS = (10_000, 20, 20)

_STATUS = {
    http_errors.LimitRequestLine: 414,
    http_errors.LimitRequestHeaders: 431,
    http_errors.ExpectationFailed: 417,
    http_errors.UnsupportedTransferCoding: 501,
    http_errors.ForbiddenProxyRequest: 403,
}


class GatewayWorker(GeventWorker):  # type: ignore[misc]
    # The age of the youngest worker, in memory that the master shares with all of them.
    _youngest = mmap.mmap(-1, 8)

    def __init__(self, age: int, *args: Any, **kwargs: Any) -> None:
        # Runs in the master, before the fork.
        super().__init__(age, *args, **kwargs)
        self._youngest[:] = age.to_bytes(8, "big")
        self._connections: Connections
        self._busy: set[Any] = set()
        self._ending: Greenlet[[], None] | None = None

    def load_wsgi(self) -> None:
        super().load_wsgi()
        # What is loaded now stays; looking through it again and again for garbage took a twentieth of each request.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        gevent.get_hub().print_exception = _log_exception  # type: ignore[method-assign, assignment]
        self._admit()

    def _admit(self) -> None:
        live = self.wsgi.extensions["gateway"].live
        capacity = _capacity(self.cfg.worker_connections)
        if capacity < self.cfg.worker_connections:
            self.log.warning(
                "%d open files are allowed: %d connections are taken instead of %d; raise LimitNOFILE or ulimit -n",
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                capacity,
                self.cfg.worker_connections,
            )
        self._connections = Connections(
            capacity,
            self.cfg.keepalive,
            lambda: live.current.gateway.connections,
            Proxies(live.current.gateway.trusted_proxies),
        )
        live.subscribe(self._configured)
        # What is beyond the capacity is told so, but for health checks.
        self.worker_connections = capacity + RESERVE
        self.server_class = partial(_Server, self.handle, self._connections)

    def _configured(self, settings: Settings) -> None:
        self._connections.proxies = Proxies(settings.gateway.trusted_proxies)

    def run(self) -> None:
        gevent.spawn(memory.give_back)
        gevent.spawn(self._connections.watch)
        super().run()
        if self._ending is not None:
            # The last connection may be gone while the last turn is still being written.
            self._ending.join()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        connection = self._connections.enter(client, "" if client.family == socket.AF_UNIX else addr[0])
        try:
            if client.family != socket.AF_UNIX:
                # A client that takes nothing any more would hold its connection, and whoever writes to it, for ever.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
            connection.await_request()
            super().handle(listener, client, addr)
        finally:
            self._connections.leave(connection)
            client.close()

    def timeout_ctx(self) -> AbstractContextManager[None]:
        # gunicorn has one timer for both, until a next request begins and for its headers; here ``Connections`` looks.
        return nullcontext()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        connection = self._connections.of(sock)
        self._connections.works(connection)
        if connection.surplus:
            req.force_close()
            if req.path not in HEALTH:
                self._connections.waits(connection)
                self._refuse(sock, Overloaded("the gateway has no room for another connection", retry_after=2))
                raise StopIteration
        req.body.connection = connection
        # The environ joins repeated headers, and some headers must not come twice.
        req.body.repeated_headers = repeated_names(req.headers)
        self._busy.add(sock)
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            self._busy.discard(sock)
            if _unread(req.body):
                self._connections.waits(connection)
                util.close_graceful(sock, LINGER_SECONDS, LINGER_BYTES)
                req.force_close()
        if not req.should_close():
            self._await_next(connection, req)

    @staticmethod
    def _await_next(connection: Connection, req: Any) -> None:
        if getattr(req.body.reader, "length", 0):
            # Nobody wanted it: the next request begins behind it.
            with gevent.Timeout(LINGER_SECONDS, False):  # type: ignore[arg-type]
                req.body.read(SMALL_BODY)
        if req.unreader.buf.getbuffer().nbytes:
            # A connection that always has a next request waiting would keep all others from their turn.
            gevent.sleep(0)
            # Only now: of a whole request that was read already the socket shows nothing, so it might make room.
            connection.has_next()
        else:
            connection.await_request()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what gunicorn itself refuses as every other error is answered."""
        request_id = new_uuid()
        if isinstance(exc, http_errors.ParseException):
            status = next((status for kind, status in _STATUS.items() if isinstance(exc, kind)), 400)
            error: GatewayError = InvalidRequest(f"malformed HTTP request: {exc}"[:300])
            self.log.info("request %s from %s refused: %s", request_id, addr[0] if addr else "", error)
        elif isinstance(exc, GatewayError):
            error, status = exc, exc.status
        else:
            error = unexpected(exc, request_id)
            status = error.status
            self.log.exception("request %s failed", request_id)
        self._refuse(client, error, status, request_id)

    def _refuse(self, client: Any, error: GatewayError, status: int = 0, request_id: str = "") -> None:
        try:
            client.sendall(envelope.raw(status or error.status, error, request_id or new_uuid()))
            util.close_graceful(client, LINGER_SECONDS)
        except OSError as fault:
            self.log.debug("the client did not wait for its error: %s", fault)

    def handle_exit(self, sig: Any, frame: Any) -> None:
        """SIGTERM: end in order.

        With the whole gateway the listener stays open meanwhile, so that new requests are told. At a reload (SIGHUP) a
        younger worker is there to take them, so this one only finishes what it has accepted.
        """
        if self._ending is None:
            self._ending = gevent.spawn(self._drain)

    def _drain(self) -> None:
        services = self.wsgi.extensions["gateway"]
        plane = self.wsgi.extensions["control_plane"]
        plane.announce_shutdown("service restart", RESTART_EXPECTED_MS)
        deadline = time.monotonic() + max(self.cfg.graceful_timeout - MARGIN, 1.0)
        if int.from_bytes(self._youngest[:], "big") > self.age:
            self.alive = False  # gunicorn's loop closes the listener within a second
            while any(sock.fileno() >= 0 for sock in self.sockets) and time.monotonic() < deadline:
                gevent.sleep(0.05)
        else:
            services.runs.draining = True
        self.log.info("draining: %d runs are active", len(services.runs))
        while len(services.runs) and time.monotonic() < deadline:
            gevent.sleep(0.05)
        services.runs.draining = True
        if len(services.runs):
            self.log.warning("%d runs did not end in time and are cancelled", len(services.runs))
            services.runs.cancel_all(shutting_down())
        deadline = time.monotonic() + LAST_BYTES
        while len(services.runs) and time.monotonic() < deadline:
            gevent.sleep(0.05)
        # Those who wait for their ends are told them before anything is closed.
        gevent.sleep(0.05)
        plane.close()
        deadline = time.monotonic() + LAST_BYTES
        while self._busy and time.monotonic() < deadline:
            gevent.sleep(0.05)
        self.alive = False
        for connection in self._connections:
            # Idle ones would hold the worker until their own timeout, those that don't read until gunicorn's.
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError as fault:
                self.log.debug("idle connection was gone: %s", fault)
        services.close()


class _Server(StreamServer):
    """Takes connections for the worker; when there is no file left for another, one that is silent makes room.

    Where gunicorn takes a server it gives much that this one has no use for.
    """

    def __init__(
        self, handle: Callable[..., None], connections: Connections, listener: Any, *, spawn: Pool, **tls: Any
    ) -> None:
        self._connections = connections
        tls = {name: value for name, value in tls.items() if name == "ssl_context"}
        super().__init__(listener, handle=partial(handle, listener), spawn=spawn, **tls)

    def do_read(self) -> Any:
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in NO_FILES or not self._connections.make_room():
                raise
            return None


def _capacity(wanted: int) -> int:
    """How many connections there may be: each may need a second file for its model's provider, and some are others'."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if allowed == resource.RLIM_INFINITY else max(min(wanted, (allowed - RESERVE) // 2 - RESERVE), 1)


def _log_exception(context: Any, kind: Any, value: Any, trace: Any) -> None:
    """What ends a greenlet goes into the log like everything else, not past it."""
    if isinstance(value, OSError) and value.errno in NO_FILES:
        log.error("%s: raise LimitNOFILE or ulimit -n, or lower gateway.maxRuns", value.strerror)
        return
    log.error("a greenlet failed: %s", context, exc_info=(kind, value, trace))


def _unread(body: Any) -> bool:
    """Whether much of the request's body is still on its way, or nobody knows where it ends."""
    if body.failed:
        return True
    reader = body.reader
    length = getattr(reader, "length", None)
    if length is not None:
        return bool(length > SMALL_BODY)
    return getattr(reader, "parser", None) is not None
