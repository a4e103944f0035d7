from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth import Guard
from app.errors import Forbidden

from .scene import request, settings


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Box.lan")
    return Guard(
        settings(
            hosts=("Gateway.Example.", "with-port.example:8443"),
            public="https://public.example",
            cors=("https://app.example/", "http://dev.example:3000"),
            control_ui=("https://page.example:444",),
        )
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:18789",
        "LocalHost.:18789",
        "app.localhost",
        "127.0.0.1:18789",
        "192.168.1.7",
        "[::1]:18789",
        "[2001:DB8::1]",
        "box.lan",
        "box:18789",
        "host.docker.internal:18789",
        "gateway.example",
        "with-port.example",
        "public.example",
        "page.example:1",
    ],
)
def test_served_hosts(guard, host):
    """IP literals, the machine's names and the configured ones are served, whatever case, port or trailing dot."""
    guard.check_host(request(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        ".",
        "evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "xgateway.example",
        "app.example",
        "127.0.0.1.evil.example",
        "127.1",
        "0x7f000001",
        "::1",
        "[::1",
        "[localhost]",
        "localhost,evil.example",
        "localhost:18789:1",
        "localhost:port",
        "user@localhost",
        "localhost/",
        "localhost\n",
        "\u212adocker",
        "a" * 5000,
    ],
)
def test_other_hosts(guard, host):
    """Any other host, a malformed one or two of them are 403, and the message names the key."""
    with pytest.raises(Forbidden, match=r"gateway\.allowedHosts"):
        guard.check_host(request(host=host))


def test_missing_host(guard):
    """A request without Host is 403."""
    with pytest.raises(Forbidden, match=r"gateway\.allowedHosts"):
        guard.check_host(request())


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("", "x"),
        ("http://127.0.0.1:18789", "127.0.0.1:18789"),
        ("http://LOCALHOST:18789", "localhost:18789"),
        ("http://[::1]:18789", "[::1]:18789"),
        ("https://gateway.example", "gateway.example:443"),
        ("http://gateway.example", "gateway.example"),
        ("https://public.example", "127.0.0.1:18789"),
        ("https://page.example:444", "x"),
        ("https://app.example", "x"),
        ("https://App.Example:443", "x"),
        ("http://dev.example:3000", "x"),
    ],
)
def test_allowed_origins(guard, origin, host):
    """The same origin and those listed pass, compared without default ports and case."""
    guard.check_origin(request(origin=origin, host=host))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "localhost:18789"),
        ("http://localhost:3000", "localhost:18789"),
        ("http://localhost", "localhost:18789"),
        ("http://app.example", "x"),
        ("https://app.example.evil.example", "x"),
        ("https://page.example", "x"),
        ("*", "*"),
        ("null", "null"),
        ("ftp://localhost", "localhost"),
        ("file://", ""),
        ("http://a, http://b", "a, http://b"),
        ("http://user@localhost", "user@localhost"),
        ("http://localhost/", "localhost/"),
        ("http://localhost\n", "localhost\n"),
    ],
)
def test_foreign_origins(guard, origin, host):
    """Any other origin is 403, and the message names the keys to set."""
    with pytest.raises(Forbidden, match=r"gateway\.controlUi\.allowedOrigins.*gateway\.http\.cors\.allowedOrigins"):
        guard.check_origin(request(origin=origin, host=host))


def test_no_origin(guard):
    """A request without Origin is no page's and passes."""
    guard.check_origin(request(host="localhost"))


@pytest.mark.parametrize("entry", ["*", "null", "file://"])
def test_no_entry_allows_every_page(entry):
    """What is no origin of a page admits nobody, should it ever get into the lists."""
    guard = Guard(settings(cors=(entry,), control_ui=(entry,)))
    for origin in ("https://any.example", entry):
        with pytest.raises(Forbidden):
            guard.check_origin(request(origin=origin, host="localhost"))
        assert "Access-Control-Allow-Origin" not in guard.cors_headers(request(origin=origin))


@pytest.mark.parametrize(
    "origin", ["https://page.example:444", "https://public.example", "https://evil.example", "null", ""]
)
def test_cors_is_for_its_own_list(guard, origin):
    """Only an origin of ``cors.allowedOrigins`` gets CORS headers; caches learn that others got none."""
    sent = request(origin=origin, access_control_request_headers="x-title")
    assert guard.cors_headers(sent) == {"Vary": "Origin"}
    assert guard.preflight_headers(sent) == {}


def test_nothing_depends_on_the_origin_without_a_list():
    """Where no page is listed, answers are the same for all and say nothing of it."""
    assert Guard(settings()).cors_headers(request(origin="https://app.example")) == {}


def test_cors_echo(guard):
    """A listed origin is echoed exactly, and caches are told that the answer depends on it."""
    headers = guard.cors_headers(request(origin="https://App.example"))
    assert (headers["Access-Control-Allow-Origin"], headers["Vary"]) == ("https://App.example", "Origin")
    assert set(headers["Access-Control-Expose-Headers"].lower().split(", ")) >= {
        "x-request-id",
        "x-openclaw-session-key",
        "x-openclaw-run-id",
        "x-openclaw-ignored-fields",
        "retry-after",
    }


OWN = {"authorization", "content-type", "idempotency-key", "x-request-id"}


def allowed(guard, asked):
    """The headers that a preflight of a listed page is allowed, besides the API's own."""
    sent = request(origin="https://app.example", access_control_request_headers=asked)
    names = guard.preflight_headers(sent)["Access-Control-Allow-Headers"].split(", ")
    assert len(names) == len(set(names))
    return set(names) - OWN


def test_preflight(guard):
    """A preflight allows the methods and the headers that were asked for, and says what the answer depends on."""
    asked = "Authorization, X-OpenClaw-Agent-Id,x-stainless-os,\tHTTP-Referer , x-title, openai-beta, traceparent"
    headers = guard.preflight_headers(request(origin="https://app.example", access_control_request_headers=asked))
    assert headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert headers["Access-Control-Max-Age"] == "600"
    assert headers["Vary"] == "Origin, Access-Control-Request-Headers"
    others = {"x-openclaw-agent-id", "x-stainless-os", "http-referer", "x-title", "openai-beta", "traceparent"}
    assert set(headers["Access-Control-Allow-Headers"].split(", ")) == OWN | others


@pytest.mark.parametrize("asked", ["", ",", "x y", "x:y", "x\r\ny: z", "\u017f", "(x)", '"x"', "x" * 101])
def test_a_preflight_echoes_names_alone(guard, asked):
    """What is no name of a header, or a very long one, is left out; the rest of the list counts."""
    assert allowed(guard, f"{asked}, x-title") == {"x-title"}


def test_a_preflight_may_ask_for_a_hundred(guard):
    """What comes after is left out: an answer must not grow with the question."""
    assert allowed(guard, ",".join(f"x-{at}" for at in range(150))) == {f"x-{at}" for at in range(100)}


@given(st.text(), st.text() | st.just("https://app.example"), st.text())
def test_no_headers_break_the_guard(host, origin, asked):
    """Whatever a request's headers say, the guard passes or raises ``Forbidden``, and what it echoes is plain."""
    guard = Guard(settings(cors=("https://app.example",)))
    sent = request(host=host, origin=origin, access_control_request_headers=asked)
    for check in (guard.check_host, guard.check_origin):
        with suppress(Forbidden):
            check(sent)
    assert all(value.isprintable() and value.isascii() for value in guard.preflight_headers(sent).values())
