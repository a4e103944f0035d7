"""Who is let in, over a real socket: hosts and origins, secrets, the limiter, proxies, scopes, and no back door."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import MagicMock

import pytest

from app import create_app
from app.config import LiveSettings, load, read_environment
from tests.live.expect import exchange, expect_error, head, post
from tests.live.gateway import TOKEN, Answer, Config, Gateway, chat_body, config_for
from tests.scripted import ScriptedProvider

CHAT = "/v1/chat/completions"
OPEN = {"/health", "/healthz", "/ready", "/readyz"}
PAGE = "https://page.example"
STRANGER = {"X-Forwarded-For": "203.0.113.9"}

Door = Callable[[str], Gateway]

PROXY = {"userHeader": "X-Forwarded-User", "requiredHeaders": ["X-Proxy"], "allowLoopback": True}
DOORS: dict[str, tuple[Config, dict[str, str]]] = {
    "limited": ({"auth": {"rateLimit": {"maxAttempts": 3}}}, {}),
    "locked": ({"auth": {"rateLimit": {"maxAttempts": 3}}}, {}),
    "proxied": ({"auth": {"rateLimit": {"maxAttempts": 2}}, "trustedProxies": ["127.0.0.1"]}, {}),
    "password": ({"auth": {"mode": "password", "password": "from the file"}}, {}),
    "environment": ({}, {"OPENCLAW_GATEWAY_TOKEN": "from-the-environment"}),
    "proxy": (
        {
            "auth": {
                "mode": "trusted-proxy",
                "trustedProxy": PROXY | {"allowUsers": ["ann", "bob", "Zo\u00eb"]},
                "password": "for-this-machine",
            },
            "trustedProxies": ["127.0.0.1"],
        },
        {},
    ),
    "none": ({"auth": {"mode": "none"}}, {}),
    "page": (
        {
            "http": {"cors": {"allowedOrigins": [PAGE]}},
            "allowedHosts": ["gateway.example"],
            "controlUi": {"allowedOrigins": ["https://control.example"]},
        },
        {},
    ),
}


@pytest.fixture(scope="module")
def _doors(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Door]:
    running: dict[str, Gateway] = {}

    def open_door(name: str) -> Gateway:
        if name not in running:
            changes, env = DOORS[name]
            config = config_for(_shared_provider.base_url, gateway=changes)
            if changes.get("auth", {}).get("mode"):
                del config["gateway"]["auth"]["token"]
            running[name] = Gateway(tmp_path_factory.mktemp(name) / "state", config, env=env)
            running[name].wait_until_up()
        return running[name]

    yield open_door
    for gateway in running.values():
        gateway.kill()


@pytest.fixture
def door(_doors: Door, provider: ScriptedProvider) -> Door:
    """``door(name)`` is the running gateway of that entry in DOORS."""
    return _doors


def models(gateway: Gateway, headers: dict[str, str] | None = None, token: str | None = TOKEN) -> Answer:
    return gateway.call("/v1/models", method="GET", headers=headers, token=token)


# Hosts and origins.

GOOD_HOSTS = ["127.0.0.1", "127.0.0.1:18789", "[::1]:80", "192.168.1.7", "localhost:1", "LOCALHOST", "app.localhost"]


@pytest.mark.parametrize("host", [*GOOD_HOSTS, socket.gethostname(), "host.docker.internal", "gateway.example:443"])
def test_a_known_host_is_served(door: Door, host: str) -> None:
    """Addresses, this machine's names and the configured ones need no more."""
    assert models(door("page"), {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "[::1"]
)
@pytest.mark.parametrize("path", [CHAT, "/healthz", "/nope"])
def test_a_foreign_host_is_refused_before_all_else(door: Door, host: str, path: str) -> None:
    """A name that was bent to this address reaches nothing, and the answer says which key to set."""
    answer = door("page").call(path, b"", headers={"Host": host, "Content-Type": "text/plain"}, token=None)
    assert "gateway.allowedHosts" in expect_error(answer, 403, "forbidden")


def test_a_request_without_a_host_is_refused(gateway: Gateway) -> None:
    """HTTP/1.0 without Host can't be told from a bent name."""
    expect_error(exchange(gateway, b"GET /v1/models HTTP/1.0\r\n\r\n"), 403, "forbidden")


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "file://", "https://page.example.x"]
)
@pytest.mark.parametrize("path", [CHAT, "/healthz"])
def test_a_foreign_page_is_refused_before_all_else(door: Door, origin: str, path: str) -> None:
    """A page of another origin gets 403 with or without the secret, and no header that lets it read the answer."""
    for token in (TOKEN, None):
        answer = door("page").call(path, chat_body(), headers={"Origin": origin}, token=token)
        assert "allowedOrigins" in expect_error(answer, 403, "forbidden")
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_gateways_own_page_is_served(gateway: Gateway) -> None:
    """Same origin is no other origin."""
    assert models(gateway, {"Origin": gateway.url}).status == 200


@pytest.mark.parametrize("token", [TOKEN, None])
def test_a_listed_page_may_read_answers_and_errors(door: Door, token: str | None) -> None:
    """An origin in cors.allowedOrigins gets the headers that its browser wants to see, on errors too."""
    answer = models(door("page"), {"Origin": PAGE}, token)
    assert answer.status == (200 if token else 401)
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "x-request-id" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers["Vary"] == "Origin"


def test_the_control_pages_origin_is_no_cors_origin(door: Door) -> None:
    """controlUi.allowedOrigins may call; only cors.allowedOrigins may read."""
    answer = models(door("page"), {"Origin": "https://control.example"})
    assert answer.status == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


def test_a_preflight_needs_no_credential(door: Door) -> None:
    """A listed page's browser may ask what it may send, with any header, before it has shown a secret."""
    names = {"authorization", "content-type", "x-stainless-lang", "x-openclaw-agent-id", "http-referer", "x-title"}
    asked = ",".join(sorted(names))
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    answer = door("page").call(CHAT, method="OPTIONS", headers=headers, token=None)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    allowed = set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert names <= allowed
    assert answer.headers["Vary"] == "Origin, Access-Control-Request-Headers"


def test_a_preflight_opens_nothing_that_is_not_there(door: Door) -> None:
    """An unknown path has no preflight either."""
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    expect_error(door("page").call("/nope", method="OPTIONS", headers=headers, token=None), 404, "not_found_error")


def test_a_foreign_page_has_no_preflight(door: Door) -> None:
    """What may not call is told so at once."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    expect_error(door("page").call(CHAT, method="OPTIONS", headers=headers, token=None), 403, "forbidden")


# Secrets.


def test_the_environments_token_wins(door: Door) -> None:
    """OPENCLAW_GATEWAY_TOKEN comes before the file's token, which then opens nothing."""
    assert models(door("environment"), token="from-the-environment").status == 200
    assert models(door("environment"), token=TOKEN).status == 401


def test_a_password_is_a_bearer_secret(door: Door) -> None:
    """Mode password takes gateway.auth.password, spaces and all, and nothing else."""
    assert models(door("password"), token="from the file").status == 200
    answer = models(door("password"), token="from")
    assert expect_error(answer, 401, "unauthorized", code="invalid_api_key") == "Unauthorized"


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
def test_the_scheme_has_no_case(gateway: Gateway, scheme: str) -> None:
    """Bearer is a token of HTTP, which knows no case there."""
    assert models(gateway, {"Authorization": f"{scheme} {TOKEN}"}, token=None).status == 200


def test_a_secret_makes_a_full_operator(gateway: Gateway) -> None:
    """A scopes header takes nothing from a caller who has the secret."""
    assert gateway.chat(headers={"x-openclaw-scopes": ""}).status == 200


# The limiter.


def test_this_machine_is_never_locked_out(door: Door) -> None:
    """A local caller's wrong secrets are not counted, so no web page can lock the owner out."""
    for _ in range(5):
        assert models(door("limited"), token="wrong").status == 401
    assert models(door("limited")).status == 200


def test_a_missing_secret_is_no_attempt(door: Door) -> None:
    """Who sends no secret guesses at none."""
    for _ in range(5):
        assert models(door("limited"), STRANGER, token=None).status == 401
    assert models(door("limited"), STRANGER).status == 200


def test_a_right_secret_forgives(door: Door) -> None:
    """A success forgets the failures before it."""
    for secret in ("wrong", "wrong", TOKEN, "wrong", "wrong", TOKEN):
        assert models(door("limited"), STRANGER, token=secret).status == (200 if secret == TOKEN else 401)


def test_a_stranger_is_locked_out(door: Door) -> None:
    """After too many wrong secrets even the right one is a 429 with Retry-After, whatever address the header claims."""
    gateway = door("locked")
    for _ in range(3):
        assert models(gateway, STRANGER, token="wrong").status == 401
    for headers in (STRANGER, {"X-Forwarded-For": "198.51.100.1"}, {"Forwarded": "for=x"}, {"X-Real-IP": "::1"}):
        answer = models(gateway, headers)
        expect_error(answer, 429, "rate_limited")
        assert 0 < int(answer.headers["Retry-After"]) <= 300
        expect_error(gateway.call(body=chat_body(), headers=headers), 429, "rate_limited")
    assert models(gateway).status == 200
    assert gateway.call("/healthz", method="GET", headers=STRANGER).status == 200
    assert "gateway.trustedProxies" in gateway.log


@pytest.mark.parametrize(
    ("header", "value"),
    [("X-Forwarded-For", "{}"), ("X-Real-IP", "{}"), ("Forwarded", 'for="[{}]:4711";proto=https')],
    ids=["x-forwarded-for", "x-real-ip", "forwarded"],
)
def test_a_proxys_clients_are_locked_out_one_by_one(door: Door, header: str, value: str) -> None:
    """Whichever header the proxy knows: one client's wrong secrets are not the others'."""
    gateway = door("proxied")
    network = f"2001:db8:0:{ord(header[-1]):x}"
    one, other = ({header: value.format(f"{network}{number}::1")} for number in (1, 2))
    for _ in range(2):
        assert models(gateway, one, token="wrong").status == 401
    assert models(gateway, one).status == 429
    assert models(gateway, other).status == 200


# Trusted proxies, and no auth at all.


def by(user: str, **more: str) -> dict[str, str]:
    """What the proxy sends for a user."""
    return {"X-Forwarded-User": user, "X-Proxy": "1", **{name.replace("_", "-"): text for name, text in more.items()}}


def test_a_proxys_user_is_let_in(door: Door) -> None:
    """The proxy's word is enough, and without a scopes header its users have all of them."""
    headers = by("ann", x_openclaw_session_key="agent:main:notes")
    answer = door("proxy").call(body=chat_body(), headers=headers, token=None)
    assert answer.status == 200
    assert answer.headers["x-openclaw-session-key"] == "agent:main:notes"


@pytest.mark.parametrize(
    "headers", [{}, {"X-Proxy": "1"}, {"X-Forwarded-User": "ann"}, {**by(""), "X-Forwarded-User": " "}]
)
def test_a_request_past_the_proxy_is_refused(door: Door, headers: dict[str, str]) -> None:
    """Without the user or a header that the proxy must send nobody comes in, with any secret."""
    expect_error(models(door("proxy"), headers), 401, "unauthorized", code="invalid_api_key")


def test_the_password_lets_this_machine_past_the_proxy(door: Door) -> None:
    """A same-host caller with the password needs no proxy, unless a forwarded header shows that it came through one."""
    assert models(door("proxy"), token="for-this-machine").status == 200
    assert models(door("proxy"), STRANGER, token="for-this-machine").status == 401


def test_a_user_who_is_not_listed_is_refused(door: Door) -> None:
    """allowUsers is all there are."""
    expect_error(models(door("proxy"), by("eve"), token=None), 403, "forbidden")


SCOPES: list[tuple[str, int, int, str]] = [
    ("operator.admin", 200, 200, ""),
    ("operator.write", 200, 200, ""),
    ("operator.read", 200, 403, "operator.write"),
    ("operator.approvals, operator.read", 200, 403, "operator.write"),
    ("operator.root", 403, 403, "operator."),
    ("", 403, 403, "operator."),
]


@pytest.mark.parametrize("mode", ["proxy", "none"])
@pytest.mark.parametrize(("scopes", "reading", "writing", "missing"), SCOPES)
def test_scopes_bound_what_a_caller_may_do(
    door: Door, mode: str, scopes: str, reading: int, writing: int, missing: str
) -> None:
    """Reading and writing need their scopes; a refusal names the missing one, whatever the body is."""
    headers = (by("ann") if mode == "proxy" else {}) | {"x-openclaw-scopes": scopes}
    assert models(door(mode), headers, token=None).status == reading
    assert door(mode).call(body=chat_body(), headers=headers, token=None).status == writing
    if writing == 403:
        refused = door(mode).call(CHAT, b"{", headers=headers, token=None)
        assert expect_error(refused, 403, "forbidden").startswith(f"missing scope: {missing}")


@pytest.mark.parametrize("mode", ["proxy", "none"])
def test_scopes_given_twice_are_refused(door: Door, mode: str) -> None:
    """Two scopes headers could be the proxy's and an attacker's: neither is believed."""
    user = ("X-Forwarded-User: ann", "X-Proxy: 1") if mode == "proxy" else ()
    lines = (*user, "x-openclaw-scopes: operator.read", "X-OpenClaw-Scopes: operator.admin")
    answer = exchange(door(mode), head(door(mode), "GET /v1/models HTTP/1.1", *lines, token=None))
    assert "x-openclaw-scopes" in expect_error(answer, 400, "invalid_request_error")


def test_a_user_given_twice_is_refused(door: Door) -> None:
    """Nor is anybody two users."""
    lines = ("X-Forwarded-User: ann", "X-Forwarded-User: ann", "X-Proxy: 1")
    answer = exchange(door("proxy"), post(door("proxy"), chat_body(), *lines, token=None))
    assert "x-forwarded-user" in expect_error(answer, 400, "invalid_request_error")


def test_a_session_key_behind_a_proxy_needs_admin(door: Door) -> None:
    """Only an admin may name a session: it could be another user's."""
    headers = by("ann", x_openclaw_scopes="operator.write", x_openclaw_session_key="notes")
    answer = door("proxy").call(body=chat_body(), headers=headers, token=None)
    assert expect_error(answer, 403, "forbidden") == "missing scope: operator.admin"


def test_users_of_a_proxy_never_share_a_session(door: Door, provider: ScriptedProvider) -> None:
    """A derived key carries the proxy's user, so the same ``user`` of two people is two sessions."""
    keys = []
    for user in ("ann", "bob", "Zo\u00eb".encode().decode("latin-1")):
        answer = door("proxy").call(body=chat_body(f"I am {user}", user="me"), headers=by(user), token=None)
        keys.append(answer.headers["x-openclaw-session-key"])
    assert keys == [f"agent:main:openai-user:{user}/me" for user in ("ann", "bob", "Zo%C3%AB")]
    assert "I am ann" not in str(provider.requests[1].body["messages"])


def test_without_auth_this_machine_is_served(door: Door) -> None:
    """Mode none asks a local caller for nothing."""
    assert door("none").call(body=chat_body(), token=None).text == "Hello world"


@pytest.mark.parametrize("headers", [STRANGER, {"Forwarded": "for=127.0.0.1"}, {"X-Real-IP": "127.0.0.1"}])
def test_without_auth_nobody_is_served_through_a_proxy(door: Door, headers: dict[str, str]) -> None:
    """A forwarded request may come from anywhere; the answer says how a known proxy is named."""
    assert "gateway.trustedProxies" in expect_error(models(door("none"), headers, token=None), 403, "forbidden")


# No back door.


def _routes() -> list[tuple[str, str]]:
    """(method, path) of every route that the application has, whatever its configuration switches on."""
    settings = load(read_environment({"OPENCLAW_STATE_DIR": "/nowhere", "OPENCLAW_GATEWAY_TOKEN": TOKEN}))
    services: Any = MagicMock(live=LiveSettings(settings))
    routes = []
    for rule in create_app(services).url_map.iter_rules():
        path = rule.build(dict.fromkeys(rule.arguments, "x"), append_unknown=False)
        assert path is not None
        routes += [(method, path[1]) for method in sorted(rule.methods or ())]
    return routes


def test_the_routes_are_known() -> None:
    """The list that the next test goes through is the application's own."""
    assert ("POST", CHAT) in _routes()
    assert {path for _, path in _routes()} >= OPEN


@pytest.mark.parametrize(("method", "path"), _routes())
def test_every_route_but_the_open_ones_asks_for_a_credential(gateway: Gateway, method: str, path: str) -> None:
    """A route that somebody adds is closed until it is said to be open."""
    status = gateway.call(path, method=method, token=None).status
    assert status == (200 if path in OPEN else 401)
