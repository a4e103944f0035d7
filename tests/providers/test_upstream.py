"""HTTP to a provider: connections that are kept, bounded and closed, and the ways around and through proxies."""

from __future__ import annotations

import base64
import socket
import threading
import time
from contextlib import suppress
from itertools import chain
from typing import Any

import gevent
import pytest
from gevent.event import Event

from app.errors import ProviderError, ProviderFault, ProviderTimeout
from app.providers import upstream as upstream_module
from app.providers.upstream import Answer, Upstream
from tests.providers.scene import EVENTS, RawServer, response, until, upstream
from tests.scripted import CutBeforeHeaders, Flood, Hang, HangAfterHeaders, RawStream, Reply, ScriptedProvider, Status


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No test depends on the machine's own proxies, and none waits for ever."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with gevent.Timeout(20):
        yield


def read(answer: Answer) -> list[bytes]:
    try:
        return list(chain.from_iterable(answer.lines()))
    finally:
        answer.close()


def ask(connections: Upstream) -> list[bytes]:
    return read(connections.post("/chat/completions", b"{}"))


# Connections.


def test_one_connection_serves_call_after_call(provider: ScriptedProvider) -> None:
    """An answer that was read to its end gives its connection to the next call."""
    connections, before = upstream(provider.base_url), provider.connections
    for _ in range(5):
        ask(connections)
    assert provider.connections == before + 1
    assert len({received.connection_id for received in provider.requests}) == 1


def test_calls_at_the_same_time_have_connections_of_their_own(provider: ScriptedProvider) -> None:
    """A hundred calls don't wait for each other, and their connections serve the next hundred."""
    hold = threading.Event()
    provider.default = Reply("a", hold=hold, hold_at="headers")
    connections, before = upstream(provider.base_url), provider.connections
    calls = [gevent.spawn(ask, connections) for _ in range(100)]
    until(lambda: len(provider.requests) == 100)
    hold.set()
    gevent.joinall(calls, raise_error=True)
    ask(connections)
    assert provider.connections == before + 100


def test_so_many_idle_connections_are_kept(own_provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a connection is closed when its answer is done, however many were busy at once."""
    monkeypatch.setattr(upstream_module, "MAX_IDLE", 2)
    hold = threading.Event()
    own_provider.default = Reply("a", hold=hold, hold_at=0)
    connections, before = upstream(own_provider.base_url), own_provider.open_connections
    calls = [gevent.spawn(ask, connections) for _ in range(6)]
    until(lambda: len(own_provider.requests) == 6)
    hold.set()
    gevent.joinall(calls, raise_error=True)
    until(lambda: own_provider.open_connections == before + 2)
    connections.close()
    until(lambda: own_provider.open_connections == before)


def test_a_connection_that_the_provider_closed_is_noticed(own_provider: ScriptedProvider) -> None:
    """An idle connection that is gone is not used, and nothing fails."""
    connections, before = upstream(own_provider.base_url), own_provider.connections
    ask(connections)
    idle = own_provider.open_connections
    own_provider.drop_connections()
    until(lambda: own_provider.open_connections < idle)
    assert ask(connections)
    assert own_provider.connections == before + 2


def test_an_unfinished_answer_takes_its_connection_along(provider: ScriptedProvider) -> None:
    """Closing an answer in the middle closes the connection, and the next call has another."""
    provider.enqueue(Reply("a", "b", hold=threading.Event(), hold_at=1))
    connections, before = upstream(provider.base_url), provider.connections
    answer = connections.post("/chat/completions", b"{}")
    next(iter(answer.lines()))
    answer.close()
    assert provider.requests[0].closed.wait(0.5)
    assert ask(connections)
    assert provider.connections == before + 2


def test_closing_an_answer_twice_is_fine(provider: ScriptedProvider) -> None:
    """The connection is given back once: two calls at the same time still have two connections."""
    hold = threading.Event()
    connections = upstream(provider.base_url)
    answer = connections.post("/chat/completions", b"{}")
    read(answer)
    answer.close()
    provider.default = Reply("a", hold=hold, hold_at=0)
    first, second = (connections.post("/chat/completions", b"{}") for _ in range(2))
    hold.set()
    assert read(first) == read(second)
    assert provider.requests[-1].connection_id != provider.requests[-2].connection_id


def test_closing_lets_running_answers_end(own_provider: ScriptedProvider) -> None:
    """What is being read when the settings change is read to its end, and its connection is closed then."""
    hold = threading.Event()
    own_provider.default = Reply("a", "b", hold=hold, hold_at=1)
    connections, before = upstream(own_provider.base_url), own_provider.open_connections
    answer = connections.post("/chat/completions", b"{}")
    connections.close()
    hold.set()
    assert any(b'"b"' in line for line in read(answer))
    until(lambda: own_provider.open_connections == before)


def test_a_whole_answer_cannot_hurry_the_next_call(provider: ScriptedProvider) -> None:
    """An answer that is whole has given its connection away, and can't change another call's patience any more."""
    connections = upstream(provider.base_url)
    first = connections.post("/chat/completions", b"{}")
    lines = first.lines()
    until(lambda: b"data: [DONE]" in next(lines))
    hold = threading.Event()
    provider.enqueue(Reply("late", hold=hold, hold_at=0))
    second = connections.post("/chat/completions", b"{}")
    assert provider.requests[0].connection_id == provider.requests[1].connection_id
    reader = gevent.spawn(read, second)
    first.hurry(0.01)
    gevent.sleep(0.05)
    hold.set()
    assert any(b"late" in line for line in reader.get())
    lines.close()  # type: ignore[attr-defined]


def test_a_reader_that_waits_for_something_else_is_not_hit(provider: ScriptedProvider) -> None:
    """The provider's patience counts while it is read, not while its reader is busy elsewhere."""
    hold = threading.Event()
    provider.enqueue(Reply("a", "b", hold=hold, hold_at=1))
    lines = chain.from_iterable(upstream(provider.base_url, timeout=0.3).post("/chat/completions", b"{}").lines())
    assert next(lines)
    gevent.sleep(0.35)
    hold.set()
    assert any(b'"b"' in line for line in lines)


# Bounds.


def test_a_provider_that_does_not_answer(provider: ScriptedProvider) -> None:
    """Silence before the headers is a timeout that names the time."""
    provider.enqueue(Hang())
    with pytest.raises(ProviderTimeout, match=r"did not answer in 0\.05 s"):
        ask(upstream(provider.base_url, timeout=0.05))
    assert provider.requests[0].closed.wait(5)


def test_a_provider_that_falls_silent(provider: ScriptedProvider) -> None:
    """Silence after the headers is a timeout, and its connection is closed."""
    provider.enqueue(HangAfterHeaders())
    with pytest.raises(ProviderTimeout, match=r"sent nothing for 0\.05 s"):
        ask(upstream(provider.base_url, timeout=0.05))
    assert provider.requests[0].closed.wait(5)


def test_each_byte_renews_the_patience(provider: ScriptedProvider) -> None:
    """A slow provider that keeps sending is not cut, however long it takes in all."""
    provider.enqueue(Reply(*"abcdef", delay=0.05))
    assert ask(upstream(provider.base_url, timeout=0.2))


def test_an_address_that_nobody_serves() -> None:
    """A refused connection is told without addresses and error numbers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ProviderError, match=r"^provider scripted is unreachable$") as refused:
        ask(upstream(f"http://127.0.0.1:{port}/v1"))
    assert refused.value.retryable


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64])
def test_a_name_that_resolves_to_nothing(host: str, caplog: pytest.LogCaptureFixture) -> None:
    """A host that can't be found, or can't even be a name, is unreachable like any other."""
    with pytest.raises(ProviderError, match="unreachable"):
        ask(upstream(f"http://{host}/v1"))


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_closed_instead_of_an_answer(provider: ScriptedProvider, reset: bool) -> None:
    """It is an error that may be tried again."""
    provider.enqueue(CutBeforeHeaders(reset=reset))
    with pytest.raises(ProviderError, match="without an answer") as refused:
        ask(upstream(provider.base_url))
    assert refused.value.retryable


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header",
        b"\x16\x03\x01",
    ],
)
def test_what_is_not_http(answer: bytes) -> None:
    """Whatever a server sends in the place of HTTP is the provider's fault."""
    with RawServer(answer) as server, pytest.raises(ProviderError) as refused:
        ask(upstream(server.base_url))
    assert refused.value.status == 502


@pytest.mark.parametrize(
    "answer",
    [
        response(EVENTS[:-5], "Content-Length: 1000", length=False),
        response(b"5\r\ndata:\r\n", "Transfer-Encoding: chunked", length=False),
        response(b"zz\r\n", "Transfer-Encoding: chunked", length=False),
    ],
)
def test_a_body_that_is_cut(answer: bytes) -> None:
    """A body shorter than it was said to be is an error, not an end."""
    with RawServer(answer) as server, pytest.raises(ProviderError):
        ask(upstream(server.base_url))


def test_an_endless_line_is_bounded(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end takes so much memory and no more."""
    monkeypatch.setattr(upstream_module, "MAX_LINE", 100_000)
    provider.enqueue(RawStream(*([b"x" * 10_000] * 30)), RawStream(b"y" * 99_000 + b"\n", b"z" * 99_000))
    connections = upstream(provider.base_url)
    with pytest.raises(ProviderFault, match="a line of more than 100000 bytes"):
        ask(connections)
    assert [len(line) for line in ask(connections)] == [99_000, 99_000]


def test_an_errors_body_is_bounded(provider: ScriptedProvider) -> None:
    """Of an endless error page only the beginning is read, and the connection is closed."""
    provider.enqueue(Status(500, body=b"x" * 5_000_000))
    answer = upstream(provider.base_url).post("/chat/completions", b"{}")
    assert upstream_module.MAX_ERROR_BODY <= len(answer.body()) < 1_000_000
    answer.close()
    assert provider.requests[0].closed.wait(5)


def test_an_errors_body_is_not_waited_for(own_provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error page that drips is read for so many seconds in all, and not for so many after each byte."""
    monkeypatch.setattr(upstream_module, "ERROR_BODY_TIMEOUT", 0.3)
    head = b"HTTP/1.1 500 No\r\nContent-Length: 1000000\r\n\r\n"
    own_provider.default = Flood(b"x", head, pause=0.05)
    answer = upstream(own_provider.base_url).post("/chat/completions", b"{}")
    assert set(answer.body()) == {ord("x")}
    answer.close()


def test_an_errors_body_that_is_cut_is_what_came() -> None:
    """What can't be read of an error is left out, and the error stays the one it was."""
    with RawServer(response(b'{"error":', "Content-Length: 100", length=False, status="500 No")) as server:
        answer = upstream(server.base_url).post("/chat/completions", b"{}")
        assert (answer.status, answer.body()) == (500, b'{"error":')
        answer.close()


def test_trailing_bytes_do_not_reach_the_next_call() -> None:
    """What a provider sends after its answer is no part of another's."""
    with RawServer(response(EVENTS) + b"\r\n\r\n", close=False) as server:
        connections = upstream(server.base_url)
        assert ask(connections) == ask(connections)
    with RawServer(response(EVENTS) + b"junk", close=False) as server:
        connections = upstream(server.base_url)
        for _ in range(2):
            with pytest.raises(ProviderError):
                ask(connections)


def test_lines_are_without_their_ends(provider: ScriptedProvider) -> None:
    """Lines are split at LF, and a last one without its end is a line too."""
    provider.enqueue(RawStream(b"a\nb\r", b"\n\nc", b"d"))
    assert [line.rstrip(b"\r") for line in ask(upstream(provider.base_url))] == [b"a", b"b", b"", b"cd"]


def test_an_interim_answer_is_passed_over() -> None:
    """``100 Continue`` and early hints are not the answer."""
    with RawServer(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"data: x\n")) as server:
        assert ask(upstream(server.base_url)) == [b"data: x"]


def test_headers_are_read_whatever_their_case(provider: ScriptedProvider) -> None:
    """A header that comes twice is the first of them, an absent one is none."""
    with RawServer(response(b"", "RETRY-AFTER: 7", "Retry-After: 9")) as server:
        answer = upstream(server.base_url).post("/x", b"")
        assert (answer.header("Retry-After"), answer.header("x-none")) == ("7", None)
        answer.close()


def test_a_killed_call_leaves_nothing(provider: ScriptedProvider) -> None:
    """A greenlet that is killed while it waits for headers closes its connection and frees its place in the pool."""
    provider.enqueue(Hang())
    connections = upstream(provider.base_url)
    caller = gevent.spawn(ask, connections)
    until(lambda: provider.requests)
    caller.kill()
    assert provider.requests[0].closed.wait(0.5)
    assert connections._pool._semaphore.counter == upstream_module.MAX_CONNECTIONS


def test_failed_calls_use_up_no_places(provider: ScriptedProvider) -> None:
    """After errors of every kind the pool has all its places."""
    provider.enqueue(CutBeforeHeaders(), Status(500), Hang(), HangAfterHeaders(), RawStream(b"data: x\n"))
    connections = upstream(provider.base_url, timeout=0.05)
    for _ in range(4):
        try:
            ask(connections)
        except ProviderError:
            continue
    ask(connections)
    idle = connections._pool._socket_queue.qsize()
    # An idle connection holds no place.
    assert connections._pool._semaphore.counter == upstream_module.MAX_CONNECTIONS
    assert idle <= 2


def test_the_hub_goes_on_while_a_provider_is_slow(provider: ScriptedProvider) -> None:
    """Other greenlets work while a call waits."""
    provider.enqueue(Hang())
    caller = gevent.spawn(ask, upstream(provider.base_url))
    worked = Event()
    gevent.spawn(worked.set)
    assert worked.wait(5)
    caller.kill()


# The request.


@pytest.mark.parametrize("injected", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb"])
def test_a_header_cannot_bring_another(injected: str) -> None:
    """A line break in a header of the configuration is refused before anything is sent."""
    with pytest.raises(ValueError, match="line break"):
        upstream("http://127.0.0.1:1/v1", headers={"X-Own": injected})
    with pytest.raises(ValueError, match="line break"):
        upstream("http://127.0.0.1:1/v1", headers={injected: "a"})


def test_a_url_without_a_host_is_refused() -> None:
    """There is nobody to call."""
    with pytest.raises(ValueError, match="no host"):
        upstream("http:///v1")


def test_headers_and_path_are_sent(provider: ScriptedProvider) -> None:
    """The configured headers go with each call, a slash at the URL's end doubles nothing."""
    ask(upstream(provider.base_url + "/", headers={"Authorization": "Bearer k", "X-Own": "é"}))
    received = provider.requests[0]
    assert received.path == "/v1/chat/completions"
    assert received.headers["authorization"] == "Bearer k"
    assert received.headers["host"] == provider.base_url.split("/")[2]


@pytest.mark.parametrize(
    ("path", "line"),
    [("/my models/v1", "/my%20models/v1/x"), ("/mod%C3%A8les", "/mod%C3%A8les/x"), ("/☃", "/%E2%98%83/x"), ("", "/x")],
)
def test_a_path_is_sent_encoded_once(path: str, line: str) -> None:
    """Spaces and letters outside ASCII can't break the request line, and what is encoded stays as it is."""
    with RawServer(response(b"")) as server:
        read(upstream(f"http://127.0.0.1:{server.port}{path}").post("/x", b"{}"))
    assert server.requests[0].startswith(f"POST {line} HTTP/1.1\r\n".encode())


def test_a_large_body_is_sent_whole(provider: ScriptedProvider) -> None:
    """Megabytes reach the provider although no buffer holds them at once."""
    body = b'{"a":"' + b"x" * 5_000_000 + b'"}'
    read(upstream(provider.base_url).post("/chat/completions", body))
    assert provider.requests[0].raw == body


# Proxies.


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, name: str, scheme: str) -> None:
    """A plain HTTP call goes to the proxy, with the whole URL in its first line and the provider as its host."""
    with RawServer(response(b"data: proxied\n")) as proxy:
        monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
        assert ask(upstream("http://models.example:8080/v1", headers={"Authorization": "Bearer key"})) == [
            b"data: proxied"
        ]
    request = proxy.requests[0]
    assert request.startswith(b"POST http://models.example:8080/v1/chat/completions HTTP/1.1\r\n")
    assert b"\r\nHost: models.example:8080\r\n" in request
    assert b"\r\nProxy-" not in request


def test_a_proxy_is_told_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """User and password of the proxy's URL go to the proxy, decoded."""
    with RawServer(response(b"")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://us%40er:p%3Aw@127.0.0.1:{proxy.port}")
        ask(upstream("http://models.example/v1"))
    expected = base64.b64encode(b"us@er:p:w")
    assert b"\r\nProxy-Authorization: Basic " + expected + b"\r\n" in proxy.requests[0]


def test_https_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """An HTTPS call asks the proxy for a connection; a proxy that refuses is told as unreachable, with no secret."""
    with RawServer(b"HTTP/1.1 403 Forbidden\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter22@127.0.0.1:{proxy.port}")
        with pytest.raises(ProviderError, match="unreachable") as refused:
            ask(upstream("https://models.example/v1", headers={"Authorization": "Bearer key"}))
    assert proxy.requests[0].startswith(b"CONNECT models.example:443 HTTP/1.1\r\n")
    assert b"Bearer key" not in proxy.requests[0]
    assert "hunter22" not in refused.value.message


def test_a_proxy_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting is bounded as a whole: a proxy that always has one more byte of its answer holds no call for ever."""
    monkeypatch.setattr(upstream_module, "CONNECT_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.02)

        threading.Thread(target=drip, daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(ProviderTimeout, match="did not accept a connection"):
            ask(upstream("https://models.example/v1"))


@pytest.mark.parametrize("spared", ["127.0.0.1", "{authority}", "other.example,127.0.0.1", "*"])
def test_no_proxy_spares_a_host(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, spared: str) -> None:
    """Hosts of NO_PROXY are called directly, named alone, with their port, in a list, or all."""
    authority = provider.base_url.split("/")[2]
    with RawServer(response(b"data: proxied\n")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", spared.format(authority=authority))
        ask(upstream(provider.base_url))
    assert proxy.requests == []
    assert len(provider.requests) == 1


def test_a_direct_upstream_knows_no_proxy(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs beside the gateway is never called through a proxy, whatever the environment says."""
    with RawServer(response(b"")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        ask(upstream(provider.base_url, direct=True))
    assert proxy.requests == []
    assert len(provider.requests) == 1


# Secrets.


def test_what_is_secret() -> None:
    """The keys that the headers hold are secret, the longest first; short words are not."""
    headers = {"Authorization": "Bearer sk-123456789", "X-Api-Key": "another-secret-key", "X-Short": "ollama"}
    assert upstream("http://127.0.0.1:1", headers=headers).secrets == ("another-secret-key", "sk-123456789")
