"""Fetching: only from public addresses, one look at each name, everything bounded."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.server import StreamServer

from app.web.fetch import Fetched, FetchError, fetch
from app.web.network import INTERNET
from tests.web.scene import PUBLIC, Web, reply, sent_to


def get(web: Web, url: str = "http://public.example/", **options: Any) -> Fetched:
    bounds = {"max_bytes": 1000, "timeout": 10.0, "max_redirects": 3, **options}
    return fetch(url, network=web.network(), **bounds)


def refused(web: Web, url: str = "http://public.example/", **options: Any) -> str:
    with pytest.raises(FetchError) as error:
        get(web, url, **options)
    return str(error.value)


# What is asked and answered.


def test_a_page(web: Web) -> None:
    """The body comes with its place, status and type; the request says who asks, and nothing about the machine."""
    web.answers["/a?b=c"] = reply(b"hello", kind='Text/Plain; Charset="UTF-8"')
    found = get(web, "http://public.example:80/a?b=c#d", accept="text/*")
    assert found == Fetched("http://public.example/a?b=c", 200, 'Text/Plain; Charset="UTF-8"', b"hello", False)
    assert (found.media_type, found.charset) == ("text/plain", "UTF-8")
    assert web.requests == [
        "GET /a?b=c HTTP/1.1\r\nHost: public.example\r\nUser-Agent: openclaw-gateway\r\nAccept: text/*\r\n"
        "Accept-Encoding: gzip, deflate\r\nConnection: close\r\n\r\n"
    ]


@pytest.mark.parametrize("status", ["201 Created", "204 No Content", "304 Not Modified", "404 Not Found", "500 Oh"])
def test_any_status_is_an_answer(web: Web, status: str) -> None:
    """What a status means is the caller's."""
    web.answers["/"] = reply(b"", status=status)
    assert get(web).status == int(status[:3])


@pytest.mark.parametrize("own", ["public.example", "93.184.216.34"])
def test_a_redirect_to_this_machine(web: Web, own: str) -> None:
    """Its own public address is refused wherever it comes up; nothing is connected to, and nothing shows it."""
    web.names["other.example"] = ["93.184.216.35"]
    web.answers["/"] = sent_to(f"http://{own}/")
    web.own = {PUBLIC}
    assert refused(web, f"http://{own}/") == f"{own} resolves to an address of this machine"
    assert web.connected == []
    assert refused(web, "http://other.example/") == f"{own} resolves to an address of this machine"
    assert web.connected == [("93.184.216.35", 80)]


def test_environment_proxies_are_not_used(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would look names up again, and reach what it likes."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    web.answers["/"] = reply(b"direct")
    assert get(web).body == b"direct"


# Where it connects to.


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        ["10.0.0.1"],
        [PUBLIC, "127.0.0.1"],
        ["fd00::1", PUBLIC],
        ["fe80::1%lo"],
    ],
)
def test_a_name_with_any_address_that_is_not_public(web: Web, addresses: list[str]) -> None:
    """One address that is not public is enough, nothing is connected to, and the message does not show it."""
    web.names["public.example"] = addresses
    message = refused(web)
    assert message == "public.example resolves to an address that is not public"
    assert web.connected == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0", "localhost",
     "localhost.", "LOCALHOST", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
     "169.254.169.254"],
)  # fmt: skip
def test_loopback_in_every_writing(host: str) -> None:
    """Whatever the machine's own resolver makes of a host is what is checked."""
    with pytest.raises(FetchError, match=r"not public|no host named"):
        fetch(f"http://{host}/", max_bytes=1, timeout=10, max_redirects=0)


def test_a_name_that_changes_its_mind(web: Web) -> None:
    """A name that is public first and loopback then is looked up once, and reached where it was seen."""
    web.names["public.example"] = [[PUBLIC], ["127.0.0.1"]]
    web.answers["/"] = reply(b"hello")
    assert get(web).body == b"hello"
    assert web.looked_up == ["public.example"]
    assert web.connected == [(PUBLIC, 80)]


def test_a_name_that_changes_its_mind_before_a_redirect(web: Web) -> None:
    """A redirect to the same name is a new look, and refused when that is loopback."""
    web.names["public.example"] = [[PUBLIC], ["127.0.0.1"]]
    web.answers["/"] = sent_to("/again")
    assert "not public" in refused(web)
    assert web.connected == [(PUBLIC, 80)]


def test_the_next_address_when_one_does_not_answer(web: Web) -> None:
    """A host with several addresses is tried at each, up to a bound."""
    web.names["public.example"] = ["8.8.4.4", PUBLIC, "1.1.1.1"]
    web.answers["/"] = reply(b"hello")
    network = web.network()
    tried = []

    def connect(address: str, port: int) -> Any:
        tried.append(address)
        if address != PUBLIC:
            raise ConnectionRefusedError
        return network.connect(address, port)

    found = fetch(
        "http://public.example/", max_bytes=9, timeout=9, max_redirects=0, network=network._replace(connect=connect)
    )
    assert (found.body, tried) == (b"hello", ["8.8.4.4", PUBLIC])


def test_a_host_that_refuses(web: Web) -> None:
    """A host that can't be connected to is named, its addresses are not."""

    def connect(address: str, port: int) -> Any:
        raise ConnectionRefusedError(111, f"{address} refused")

    with pytest.raises(FetchError) as error:
        fetch(
            "http://public.example/",
            max_bytes=9,
            timeout=9,
            max_redirects=0,
            network=web.network()._replace(connect=connect),
        )
    assert str(error.value) == "public.example does not accept connections at port 80"


def test_a_name_that_nobody_has(web: Web) -> None:
    """A name that is not found is said to be so."""
    assert refused(web, "http://nobody.example/") == "no host named nobody.example was found"


def test_only_hosts_that_are_allowed(web: Web) -> None:
    """The caller's rule is asked for every host, the target of a redirect too, before it is looked up."""
    web.names["other.example"] = [PUBLIC]
    web.answers["/"] = sent_to("http://OTHER.example./x")
    assert "other.example is not among" in refused(web, hosts_allowed=lambda host: host == "public.example")
    assert web.looked_up == ["public.example"]


# Redirects.


def test_redirects_are_followed(web: Web) -> None:
    """Each redirect is a new request, and the last place is the one that is told."""
    web.answers |= {"/": sent_to("/b", "301 Moved"), "/b": sent_to("c", "308 Moved"), "/c": reply(b"here")}
    assert get(web) == Fetched("http://public.example/c", 200, "text/plain", b"here", False)


def test_so_many_redirects(web: Web) -> None:
    """A circle ends at the bound."""
    web.answers["/"] = sent_to("/")
    assert "more than 3 times" in refused(web)
    assert len(web.requests) == 4


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/latest/meta-data", "http://inside.example/",
     "//10.0.0.1/", "http://127.0.0.1:22/", "file:///etc/passwd", "http://u:p@public.example/"],
)  # fmt: skip
def test_redirects_inwards(web: Web, target: str) -> None:
    """A redirect reaches nothing that could not be asked for at once."""
    web.names["inside.example"] = ["192.168.1.1"]
    web.answers["/"] = sent_to(target)
    refused(web)
    assert web.connected == [(PUBLIC, 80)]


# TLS.


def test_https(web: Web) -> None:
    """A certificate for the host is accepted, though the connection goes to an address."""
    web.answers["/"] = reply(b"hello")
    assert get(web, "https://public.example/").body == b"hello"
    assert web.connected == [(PUBLIC, 443)]


def test_a_certificate_of_another_host(web: Web) -> None:
    """A certificate that names another host is refused, and nothing is sent."""
    web.names["other.example"] = [PUBLIC]
    assert "certificate of other.example is not valid" in refused(web, "https://other.example/")
    assert web.requests == []


def test_a_certificate_that_nobody_trusts(web: Web) -> None:
    """The usual context trusts the usual authorities alone."""
    with pytest.raises(FetchError, match="is not valid: self"):
        fetch(
            "https://public.example/",
            max_bytes=9,
            timeout=9,
            max_redirects=0,
            network=web.network()._replace(tls=INTERNET.tls),
        )


def test_https_is_not_left(web: Web) -> None:
    """A redirect from https to http is not followed; the other way is."""
    web.answers |= {
        "/": sent_to("http://public.example/b"),
        "/up": sent_to("https://public.example/b"),
        "/b": reply(b"x"),
    }
    assert "from https to http" in refused(web, "https://public.example/")
    assert get(web, "http://public.example/up").url == "https://public.example/b"


def test_no_tls_at_the_other_end(web: Web) -> None:
    """A server that answers in the clear where TLS is expected is a fault, not a page."""
    server = StreamServer(("127.0.0.1", 0), lambda sock, _peer: sock.sendall(b"SSH-2.0\r\n" * 10))
    server.start()
    network = web.network()._replace(
        connect=lambda _address, _port: gevent.socket.create_connection(("127.0.0.1", server.server_port))
    )
    try:
        with pytest.raises(FetchError, match="does not speak https"):
            fetch("https://public.example/", max_bytes=9, timeout=9, max_redirects=0, network=network)
    finally:
        server.stop(timeout=0)


# Bounds.


def test_a_body_is_cut_at_the_bound(web: Web) -> None:
    """What is longer is cut and said to be; what just fits is not."""
    web.answers |= {"/long": reply(b"a" * 1001), "/fits": reply(b"a" * 1000)}
    assert get(web, "http://public.example/long") == Fetched(
        "http://public.example/long", 200, "text/plain", b"a" * 1000, True
    )
    assert not get(web, "http://public.example/fits").truncated


def endless(first: bytes, block: bytes) -> Iterator[bytes]:
    yield first
    while True:
        yield block


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "first",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"],
)
def test_an_endless_body(web: Web, first: bytes) -> None:
    """A body without an end is read to the bound, and the connection closed."""
    web.answers["/"] = lambda: endless(first, b"a" * 4096)
    found = get(web)
    assert (found.truncated, len(found.body)) == (True, 1000)


def test_chunks(web: Web) -> None:
    """A chunked body is put together, and cut at the bound."""
    web.answers |= {"/": CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"}
    assert get(web).body == b"abcde"
    web.answers["/"] = lambda: endless(CHUNKED, b"4\r\nabcd\r\n" * 100)
    assert get(web).body == b"abcd" * 250


@pytest.mark.parametrize(
    ("first", "block"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 4096 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 4096),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (CHUNKED + b"0\r\n", b"X-A: b\r\n" * 100),
        (CHUNKED, b"1;" + b"x" * 4000 + b"\r\na\r\n"),
        # A deflate stream of empty blocks: bytes that never become content.
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n", b"\x00\x00\x00\xff\xff" * 1000),
    ],
    ids=["headers", "one header", "interim answers", "trailers", "chunk extensions", "empty packed blocks"],
)
def test_endless_bytes_that_are_no_content(web: Web, first: bytes, block: bytes) -> None:
    """Whatever stands around the content is bounded as well, by size and not by the clock."""
    web.answers["/"] = lambda: endless(first, block)
    assert "within" not in refused(web)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: endless(b"", b""),
        lambda: endless(b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
        lambda: endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    ],
    ids=["silence", "body", "headers"],
)
def test_drips(web: Web, answer: Any) -> None:
    """The time is that of the whole: a byte now and then does not prolong it."""

    def dripping() -> Iterator[bytes]:
        for block in answer():
            yield block
            gevent.sleep(0.02)

    web.answers["/"] = dripping
    assert refused(web, timeout=0.3) == "http://public.example/ did not answer in full within 0.3 s"


def test_a_slow_name(web: Web) -> None:
    """The look-up is part of the time."""

    def resolve(_host: str, _port: int) -> list[str]:
        gevent.sleep(30)
        return [PUBLIC]

    with pytest.raises(FetchError, match="within"):
        fetch(
            "http://public.example/",
            max_bytes=9,
            timeout=0.1,
            max_redirects=0,
            network=web.network()._replace(resolve=resolve),
        )


def test_a_timeout_of_the_caller_is_not_taken_for_its_own(web: Web) -> None:
    """A deadline around the fetch ends it as what it is."""
    web.answers["/"] = lambda: (gevent.sleep(30) for _ in range(1))  # type: ignore[misc]
    outer = gevent.Timeout(0.05)
    with pytest.raises(gevent.Timeout) as over, outer:
        get(web)
    assert over.value is outer


# Packing.


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
def test_a_packed_body(web: Web, encoding: str, pack: Any) -> None:
    """gzip and both kinds of deflate are unpacked, at any place where the network cuts them."""
    text = bytes(range(256)) * 3
    packed = pack(text)
    for size in (1, 7, len(packed)):
        web.answers["/"] = (
            lambda size=size: iter(  # type: ignore[misc]
                [f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n".encode()]
                + [packed[at : at + size] for at in range(0, len(packed), size)]
            )
        )
        assert get(web).body == text


def test_gzip_in_pieces(web: Web) -> None:
    """Several gzip members behind each other are one body."""
    web.answers["/"] = reply(gzip.compress(b"one ", mtime=0) + gzip.compress(b"two"), "Content-Encoding: gzip")
    assert get(web).body == b"one two"


@pytest.mark.parametrize("size", [64 * 1024, 128 * 1024, 64 * 1024 + 1])
def test_what_unpacks_to_whole_steps(web: Web, size: int) -> None:
    """Nothing is lost where the unpacked size meets the size of a step."""
    text = bytes(at * 7 % 251 for at in range(size))
    web.answers["/"] = reply(gzip.compress(text, mtime=0), "Content-Encoding: gzip")
    assert get(web, max_bytes=200_000).body == text


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
def test_a_bomb(web: Web, pack: Any) -> None:
    """A few kilobytes that unpack to a hundred megabytes give the bound, and not more."""
    web.answers["/"] = reply(
        pack(bytes(100_000_000)), f"Content-Encoding: {'gzip' if pack is gzip.compress else 'deflate'}"
    )
    found = get(web)
    assert (found.body, found.truncated) == (bytes(1000), True)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_packing_that_was_not_asked_for(web: Web, encoding: str) -> None:
    """What the request does not offer is not unpacked."""
    web.answers["/"] = reply(b"x", f"Content-Encoding: {encoding}")
    assert "was not asked for" in refused(web)


# Faults.


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"a" * 999, mtime=0)[:-9],
        reply(b"not packed", "Content-Encoding: gzip"),
    ],
)
def test_an_answer_that_is_none(web: Web, answer: bytes) -> None:
    """What is cut or is not HTTP is an error with the host's name, and never half a body."""
    web.answers["/"] = answer
    assert "public.example" in refused(web) or "said to be" in refused(web)


def test_others_go_on_meanwhile(web: Web) -> None:
    """A server that always has more to read does not hold up the hub."""
    web.answers["/"] = lambda: endless(b"HTTP/1.1 200 OK\r\n\r\n", b"a" * 65536)
    ticks = []

    def tick() -> None:
        while True:
            ticks.append(1)
            gevent.sleep(0)

    ticking = gevent.spawn(tick)
    try:
        get(web, max_bytes=5_000_000)
    finally:
        ticking.kill()
    assert len(ticks) > 50
