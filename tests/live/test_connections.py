"""Connections of strangers, over sockets: nobody keeps others from the gateway by holding some."""

from __future__ import annotations

import re
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.live.expect import exchange, expect_error, head, post, read_answer
from tests.live.gateway import Answer, Gateway, chat_body, config_for, wait_until
from tests.scripted import ScriptedProvider

CHAT = "POST /v1/chat/completions HTTP/1.1"


def limits(**connections: int) -> dict[str, Any]:
    return {"gateway": {"connections": connections}}


@contextmanager
def holding(gateway: Gateway, count: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as open_ones:
        held = []
        for _ in range(count):
            held.append(open_ones.enter_context(gateway.connect()))
            if sent:
                held[-1].sendall(sent)
        yield held


def open_files(gateway: Gateway) -> int:
    return gateway.worker().num_fds()


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def closes(connection: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    received = b""
    while block := connection.recv(1 << 16):
        received += block
    return received


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    """A gateway that gives headers and bodies a second."""
    config = config_for(_shared_provider.base_url, **limits(headersSeconds=1, bodySeconds=1))
    gateway = Gateway(tmp_path_factory.mktemp("hasty") / "state", config)
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.kill()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127"], ids=["silent", "half"])
def test_thousands_of_idle_connections_keep_nobody_out(
    start_gateway: StartGateway, many_files: None, sent: bytes
) -> None:
    """With 4,500 connections of one address on which no request comes, health and chat are answered; all go again."""
    gateway = start_gateway()
    before = open_files(gateway)
    with holding(gateway, 4500, sent):
        assert gateway.call("/healthz", method="GET", token=None).status == 200
        assert gateway.chat().status == 200
    wait_until(lambda: open_files(gateway) <= before + 2, "the files are closed again")


def test_the_longest_silent_makes_room(start_gateway: StartGateway) -> None:
    """Of one address's silent connections the first goes when a further one comes, and those that ask are served."""
    gateway = start_gateway(**limits(perProxy=3))
    with holding(gateway, 3) as held, gateway.connect() as fourth:
        fourth.sendall(head(gateway, "GET /healthz HTTP/1.1", token=None))
        assert read_answer(fourth, "GET").status == 200
        wait_until(lambda: is_closed(held[0]), "the longest silent is closed")
        assert not is_closed(held[2])


def test_one_in_the_middle_of_a_request_never_goes(start_gateway: StartGateway, provider: Any) -> None:
    """Whoever waits for an answer gets it, however many connections come after."""
    gateway = start_gateway(**limits(perProxy=2))
    with gateway.connect() as asking:
        asking.sendall(head(gateway, CHAT, "Content-Type: application/json", f"Content-Length: {len(BODY)}"))
        with holding(gateway, 20):
            assert gateway.call("/healthz", method="GET").status == 200
            asking.sendall(BODY)
            assert read_answer(asking).status == 200


BODY = b'{"model":"openclaw","messages":[{"role":"user","content":"hi"}]}'


def test_half_a_request_behind_another_makes_room(start_gateway: StartGateway) -> None:
    """A connection on which a next request was begun with the last one waits like every other, and goes first."""
    gateway = start_gateway("--worker-connections", "4", **limits(headersSeconds=60))
    with ExitStack() as open_ones:
        for _ in range(4):
            held = open_ones.enter_context(gateway.connect())
            held.sendall(head(gateway, "GET /v1/models HTTP/1.1") + b"G")
            assert read_answer(held, "GET").status == 200
        assert gateway.chat().status == 200


def test_those_who_are_known_are_not_counted(start_gateway: StartGateway) -> None:
    """A pool of kept connections that were authenticated stays whole, however many strangers come."""
    gateway = start_gateway(**limits(perProxy=2))
    with ExitStack() as open_ones:
        pool = [open_ones.enter_context(gateway.connect()) for _ in range(2)]
        for _ in range(2):
            pool.append(open_ones.enter_context(gateway.connect()))
            pool[-1].sendall(post(gateway, chat_body()))
            assert read_answer(pool[-1]).status == 200
        with holding(gateway, 10):
            assert gateway.call("/healthz", method="GET").status == 200
            for known in pool[2:]:
                known.sendall(post(gateway, chat_body()))
                assert read_answer(known).status == 200


def test_strangers_go_before_those_who_are_known(start_gateway: StartGateway) -> None:
    """When the house is full, an older connection that was authenticated outlives a younger one that was not."""
    gateway = start_gateway("--worker-connections", "6", **limits(perProxy=100))
    with gateway.connect() as known:
        known.sendall(post(gateway, chat_body()))
        assert read_answer(known).status == 200
        with holding(gateway, 2), holding(gateway, 8):
            assert gateway.call("/healthz", method="GET").status == 200
            known.sendall(post(gateway, chat_body()))
            assert read_answer(known).status == 200


def test_health_answers_when_nobody_makes_room(start_gateway: StartGateway, provider: Any) -> None:
    """With the house full of requests, health is answered and a chat is told that there is no room."""
    gateway = start_gateway("--worker-connections", "4")
    half = head(gateway, CHAT, "Content-Type: application/json", f"Content-Length: {len(BODY)}") + BODY[:5]
    with ExitStack() as open_ones:
        held = []
        while len(held) < 4:
            held.append(open_ones.enter_context(gateway.connect()))
            held[-1].sendall(head(gateway, "GET /v1/models HTTP/1.1"))
            assert read_answer(held[-1], "GET").status == 200
            held[-1].sendall(half)
        wait_until(lambda: gateway.chat().status == 503, "there is no room")
        assert gateway.call("/healthz", method="GET").status == 200
        refused = gateway.chat()
        expect_error(refused, 503, "overloaded")
        assert refused.headers["Retry-After"]
        for each in held:
            each.sendall(BODY[5:])
            assert read_answer(each).status == 200
    wait_until(lambda: gateway.chat().status == 200, "there is room again")


@pytest.mark.parametrize("sent", [b"G", b"GET /healthz HTTP/1.1\r\nHost: "])
@pytest.mark.parametrize("where", ["first", "kept", "pipelined"])
def test_headers_have_a_deadline(hasty: Gateway, sent: bytes, where: str) -> None:
    """Headers that come letter by letter are a 408 in time: on a new connection, and behind a request or its answer."""
    whole = head(hasty, "GET /healthz HTTP/1.1", token=None)
    with hasty.connect() as slow:
        if where == "pipelined":
            slow.sendall(whole + sent)
        elif where == "kept":
            slow.sendall(whole)
        if where != "first":
            assert read_answer(slow, "GET").status == 200
        if where != "pipelined":
            slow.sendall(sent)
        received, until = b"", time.monotonic() + 20
        while not received and time.monotonic() < until:
            slow.sendall(b"x")
            slow.settimeout(0.2)
            try:
                received = slow.recv(1 << 16)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 ")
        assert b'"invalid_request_error"' in received


def test_a_new_connection_that_says_nothing_is_closed(hasty: Gateway) -> None:
    """It has the time for headers, without a word; one that was kept after a request has longer."""
    gateway = hasty
    with gateway.connect() as kept, gateway.connect() as silent:
        kept.sendall(head(gateway, "GET /healthz HTTP/1.1", token=None))
        assert read_answer(kept, "GET").status == 200
        assert closes(silent) == b""
        time.sleep(1.5)
        kept.sendall(head(gateway, "GET /healthz HTTP/1.1", token=None))
        assert read_answer(kept, "GET").status == 200


def test_pipelined_requests_are_answered_in_turn(gateway: Gateway) -> None:
    """What lies in one packet behind a request is the next one."""
    one = head(gateway, "GET /healthz HTTP/1.1", token=None)
    with gateway.connect() as connection:
        connection.sendall(one * 3)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 3:
            block = connection.recv(65_536)
            assert block, received
            received += block


def chunks(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


Encode = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("lines", "encode"),
    [
        (("Content-Length: 400000",), bytes),
        (("Content-Length: 100",), bytes),
        (("Transfer-Encoding: chunked",), chunks),
    ],
    ids=["large", "small", "chunked"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("drips", [False, True], ids=["silent", "drips"])
def test_a_body_has_a_deadline(
    hasty: Gateway, lines: tuple[str, ...], encode: Encode, packed: bool, drips: bool
) -> None:
    """A body that does not come, or letter by letter, is a 408 in time, in whatever form it is sent."""
    more = ("Content-Encoding: gzip",) if packed else ()
    with hasty.connect() as slow:
        slow.sendall(head(hasty, CHAT, "Content-Type: application/json", *lines, *more) + encode(b"{"))
        slow.settimeout(0.1)
        received, started = b"", time.monotonic()
        while not received:
            assert time.monotonic() - started < 15
            if drips:
                slow.sendall(encode(b" "))
            try:
                received = slow.recv(1 << 16)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408 ")
        slow.settimeout(20)
        closes(slow)


def test_the_body_of_a_stranger_is_not_waited_for(gateway: Gateway) -> None:
    """Whoever is not let in is told so when their headers are there, whatever they say that is to come."""
    for lines in (("Content-Length: 100000",), ("Transfer-Encoding: chunked",), ("Content-Length: 10",)):
        data = head(gateway, CHAT, "Content-Type: application/json", *lines, token="wrong")
        expect_error(exchange(gateway, data), 401, "unauthorized", code="invalid_api_key")


def test_small_chunks_are_a_body(gateway: Gateway) -> None:
    """A body in chunks of one byte is read as any other."""
    data = head(gateway, CHAT, "Content-Type: application/json", "Transfer-Encoding: chunked")
    answer: Answer = exchange(
        gateway, data + b"".join(chunks(BODY[i : i + 1]) for i in range(len(BODY))) + b"0\r\n\r\n"
    )
    assert answer.status == 200


def test_few_files_are_said_and_shared(start_gateway: StartGateway) -> None:
    """Where the system allows few files, fewer connections are taken, the log says so, and health is answered."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    gateway = start_gateway("--worker-connections", "4000")
    pid = gateway.worker().pid
    # Fewer than it counted with: connections take the last one.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(gateway) + 20, hard))
    with holding(gateway, 60):
        assert gateway.call("/healthz", method="GET").status == 200
        assert gateway.call("/v1/models", method="GET").status == 200
    assert not re.search("Traceback", gateway.log)
