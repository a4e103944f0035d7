import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth import ADMIN, ALL_SCOPES, READ, WRITE, AttemptLimiter
from app.config.settings import Auth, RateLimit, TrustedProxyAuth
from app.errors import Forbidden, GatewayError, InvalidRequest, TooManyAttempts, Unauthorized

from .scene import Clock, authenticator, request

TOKEN = Auth(mode="token", token="right", rate_limit=RateLimit(max_attempts=3))
PROXY = TrustedProxyAuth(user_header="X-User", required_headers=("X-Via",))
BY_PROXY = Auth(mode="trusted-proxy", password="pass", trusted_proxy=PROXY)
NONE = Auth(mode="none")


def from_proxy(peer="10.0.0.1", **headers):
    return request(peer, **({"x_user": "ann", "x_via": "sso", "x_forwarded_for": "1.1.1.1"} | headers))


@pytest.mark.parametrize(("mode", "identity"), [("token", "token"), ("password", "password")])
def test_right_secret_is_a_full_operator(mode, identity):
    """The mode's own secret admits a full operator, and the other mode's secret doesn't."""
    auth = authenticator(Auth(mode=mode, **{mode: "right", "token" if mode == "password" else "password": "other"}))
    caller = auth.authenticate(request("192.0.2.1", bearer="right", x_openclaw_scopes=""))
    assert (caller.identity, caller.scopes, caller.address) == (identity, ALL_SCOPES, "192.0.2.1")
    assert caller.person is None  # whoever has the secret
    assert (caller.local, caller.mode) == (False, mode)
    with pytest.raises(Unauthorized):
        auth.authenticate(request(bearer="other"))


@pytest.mark.parametrize("header", ["Bearer right", "bearer right", "BEARER   right ", "  Bearer right"])
def test_scheme_in_any_case(header):
    """The scheme's case and the spaces around the secret don't matter."""
    assert authenticator(TOKEN).authenticate(request(authorization=header)).local


@pytest.mark.parametrize(
    "header",
    [
        "",
        "right",
        "Bearer",
        "Bearer ",
        "Basic right",
        "Bearer wrong",
        "Bearer righ",
        "Bearer right right",
        "Bearer RIGHT",
    ],
)
def test_anything_else_is_unauthorized(header):
    """A missing or wrong secret is 401 with the challenge, and the text says no more."""
    with pytest.raises(Unauthorized) as raised:
        authenticator(TOKEN).authenticate(request(authorization=header))
    assert raised.value.headers == {"WWW-Authenticate": "Bearer"}
    assert raised.value.message == "Unauthorized"


def test_no_header_is_unauthorized():
    """No Authorization header is 401."""
    with pytest.raises(Unauthorized):
        authenticator(TOKEN).authenticate(request())


@pytest.mark.parametrize("secret", ["schlüssel☃", "voilà", "…", "\U0001f511"])
def test_non_ascii_secret(secret):
    """A secret beyond ASCII is compared as the UTF-8 bytes that a client sends."""
    auth = authenticator(Auth(token=secret))
    assert auth.authenticate(request(bearer=secret.encode().decode("latin-1")))
    with pytest.raises(Unauthorized):
        auth.authenticate(request(bearer="schlüssel"))


@pytest.mark.parametrize("secret", [None, ""])
@pytest.mark.parametrize("mode", ["token", "password"])
def test_no_configured_secret_admits_nobody(mode, secret):
    """Without a configured secret every credential is refused."""
    auth = authenticator(Auth(mode=mode, token=secret, password=secret))
    for header in ("Bearer ", "Bearer None", ""):
        with pytest.raises(Unauthorized):
            auth.authenticate(request(authorization=header))


def test_locked_also_for_the_right_secret():
    """After too many wrong secrets even the right one waits out the lock, under new settings too."""
    clock = Clock()
    limiter = AttemptLimiter(clock=clock)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            authenticator(TOKEN, limiter=limiter).authenticate(request("192.0.2.1", bearer="wrong"))
    right = request("192.0.2.1", bearer="right")
    with pytest.raises(TooManyAttempts):
        authenticator(TOKEN, limiter=limiter).authenticate(right)
    clock.now += 300
    assert authenticator(TOKEN, limiter=limiter).authenticate(right)


def test_missing_secret_does_not_count():
    """Only wrong secrets count towards the lock."""
    auth = authenticator(TOKEN)
    for _ in range(10):
        with pytest.raises(Unauthorized):
            auth.authenticate(request("192.0.2.1"))
    assert auth.authenticate(request("192.0.2.1", bearer="right"))


@pytest.mark.parametrize(
    ("exempt", "headers", "locks"),
    [(True, {}, False), (True, {"x_forwarded_for": "127.0.0.1"}, True), (False, {}, True)],
)
def test_loopback_exemption(exempt, headers, locks):
    """Truly local callers are exempt while the config says so; a proxy on loopback never is."""
    auth = authenticator(Auth(token="right", rate_limit=RateLimit(max_attempts=3, exempt_loopback=exempt)))
    for _ in range(3):
        with pytest.raises(Unauthorized):
            auth.authenticate(request(bearer="wrong", **headers))
    if locks:
        with pytest.raises(TooManyAttempts):
            auth.authenticate(request(bearer="right", **headers))
    else:
        assert auth.authenticate(request(bearer="right", **headers)).local


def test_clients_behind_a_trusted_proxy_are_counted_apart():
    """One client's failures don't lock its neighbour behind the same trusted proxy."""
    auth = authenticator(TOKEN, "10.0.0.0/8")
    for _ in range(3):
        with pytest.raises(Unauthorized):
            auth.authenticate(request("10.0.0.1", bearer="wrong", x_forwarded_for="1.1.1.1"))
    assert auth.authenticate(request("10.0.0.1", bearer="right", x_forwarded_for="2.2.2.2")).address == "2.2.2.2"
    with pytest.raises(TooManyAttempts):
        auth.authenticate(request("10.0.0.1", bearer="right", x_forwarded_for="1.1.1.1"))


def test_secrets_are_never_logged(caplog):
    """Neither the right nor a wrong secret reaches the log."""
    caplog.set_level("DEBUG")
    auth = authenticator(Auth(token="s3cret-right", rate_limit=RateLimit(max_attempts=1)))
    with pytest.raises(Unauthorized):
        auth.authenticate(request("192.0.2.1", bearer="s3cret-wrong", x_real_ip="1.1.1.1"))
    assert caplog.records
    assert "s3cret" not in caplog.text


def test_proxy_names_the_user():
    """A trusted proxy's user header is the identity, and such a caller is never local."""
    caller = authenticator(BY_PROXY, "10.0.0.0/8").authenticate(from_proxy(x_user=" ann "))
    assert (caller.identity, caller.address, caller.local, caller.mode) == ("ann", "1.1.1.1", False, "trusted-proxy")
    assert caller.person == "ann"


@pytest.mark.parametrize(
    "refused",
    [
        from_proxy("192.0.2.1"),
        from_proxy(x_user=""),
        from_proxy(x_user=" "),
        from_proxy(x_via=""),
        request("10.0.0.1", x_user="ann"),
        request("10.0.0.1", x_via="sso"),
        request("10.0.0.1", bearer="pass"),
        from_proxy("127.0.0.1"),
        from_proxy("192.0.2.1", bearer="pass"),
    ],
)
def test_proxy_identity_needs_everything(refused):
    """Untrusted peers, missing headers, loopback without allowLoopback, a distant password: all are 401."""
    with pytest.raises(Unauthorized):
        authenticator(BY_PROXY, "10.0.0.0/8", "127.0.0.1").authenticate(refused)


def test_allow_loopback():
    """With allowLoopback a trusted proxy on this machine may name the user."""
    proxy = TrustedProxyAuth(user_header="x-user", allow_loopback=True)
    auth = authenticator(Auth(mode="trusted-proxy", trusted_proxy=proxy), "127.0.0.1")
    caller = auth.authenticate(request("127.0.0.1", x_user="ann"))
    assert (caller.identity, caller.local) == ("ann", False)
    with pytest.raises(Unauthorized):
        auth.authenticate(request("::1", x_user="ann"))


def test_allow_users():
    """With allowUsers only those listed come in, letter for letter."""
    proxy = TrustedProxyAuth(user_header="x-user", allow_users=("ann",))
    auth = authenticator(Auth(mode="trusted-proxy", trusted_proxy=proxy), "10.0.0.0/8")
    assert auth.authenticate(request("10.0.0.1", x_user="ann")).identity == "ann"
    for other in ("bob", "Ann", "ann,bob"):
        with pytest.raises(Forbidden, match="allowUsers"):
            auth.authenticate(request("10.0.0.1", x_user=other))


def test_user_beyond_ascii():
    """A user's name is read as the UTF-8 that the proxy sent."""
    proxy = TrustedProxyAuth(user_header="x-user", allow_users=("jörg",))
    auth = authenticator(Auth(mode="trusted-proxy", trusted_proxy=proxy), "10.0.0.0/8")
    assert auth.authenticate(request("10.0.0.1", x_user="jörg".encode().decode("latin-1"))).identity == "jörg"


def test_user_header_twice():
    """A user header that comes twice is 400: a client's own could stand beside the proxy's."""
    twice = request("10.0.0.1", ("x-user",), x_user="ann,bob", x_via="sso")
    with pytest.raises(InvalidRequest, match="x-user"):
        authenticator(BY_PROXY, "10.0.0.0/8").authenticate(twice)


def test_local_password_beside_a_proxy():
    """Under trusted-proxy the password admits a same-host caller without forwarded headers, and no other."""
    auth = authenticator(BY_PROXY, "10.0.0.0/8")
    caller = auth.authenticate(request("127.0.0.1", bearer="pass"))
    assert (caller.identity, caller.scopes, caller.local, caller.mode) == ("password", ALL_SCOPES, True, "password")
    for refused in (request(bearer="wrong"), request(), request(bearer="pass", x_real_ip="127.0.0.1")):
        with pytest.raises(Unauthorized):
            auth.authenticate(refused)


def test_no_local_password_unless_set():
    """Under trusted-proxy without a password local callers aren't admitted, nor by a stray token."""
    auth = authenticator(Auth(mode="trusted-proxy", token="right", trusted_proxy=PROXY), "10.0.0.0/8")
    with pytest.raises(Unauthorized):
        auth.authenticate(request(bearer="right"))


@pytest.mark.parametrize(
    ("header", "scopes"),
    [
        ({}, ALL_SCOPES),
        ({"x_openclaw_scopes": ""}, set()),
        ({"x_openclaw_scopes": " "}, set()),
        ({"x_openclaw_scopes": "operator.read"}, {READ}),
        ({"x_openclaw_scopes": " operator.read , operator.write,"}, {READ, WRITE}),
        ({"x_openclaw_scopes": "operator.admin"}, ALL_SCOPES),
        ({"x_openclaw_scopes": "everything"}, set()),
    ],
)
def test_scopes_header(header, scopes):
    """Proxy users and open callers have the scopes they list: all when absent, none when empty."""
    assert authenticator(NONE).authenticate(request(**header)).scopes == scopes
    assert authenticator(BY_PROXY, "10.0.0.0/8").authenticate(from_proxy(**header)).scopes == scopes


def test_scopes_header_twice():
    """A scopes header that comes twice is 400, in both modes that read it."""
    twice = {"repeated": ("x-openclaw-scopes",), "x_openclaw_scopes": "operator.read,operator.admin"}
    for auth, sent in (
        (authenticator(NONE), request(**twice)),
        (authenticator(BY_PROXY, "10.0.0.0/8"), from_proxy(**twice)),
    ):
        with pytest.raises(InvalidRequest, match="x-openclaw-scopes"):
            auth.authenticate(sent)


def test_open_mode():
    """In mode none a local caller comes in without identity, whatever it sends as a secret."""
    caller = authenticator(NONE).authenticate(request(bearer="anything"))
    assert (caller.identity, caller.local, caller.mode) == (None, True, "none")
    caller.require(ADMIN)


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        (request(x_forwarded_for="127.0.0.1"), "gateway.trustedProxies"),
        (request("192.0.2.1", forwarded=""), "gateway.trustedProxies"),
        (request("192.0.2.1"), "gateway.auth.mode"),
    ],
)
def test_open_mode_serves_no_strangers(sent, key):
    """In mode none a forwarded request of an unknown proxy, or one from elsewhere, is 403 naming the key to set."""
    with pytest.raises(Forbidden, match=key):
        authenticator(NONE, "10.0.0.0/8").authenticate(sent)


def test_open_mode_behind_a_trusted_proxy():
    """In mode none a trusted proxy may forward strangers."""
    caller = authenticator(NONE, "127.0.0.1").authenticate(request(x_forwarded_for="1.1.1.1"))
    assert (caller.address, caller.local) == ("1.1.1.1", False)


NAMES = ["authorization", "forwarded", "x-forwarded-for", "x-openclaw-scopes", "x-user", "x-via"]


@given(st.dictionaries(st.sampled_from(NAMES), st.text()), st.text(), st.frozensets(st.sampled_from(NAMES)))
def test_no_headers_break_it(headers, peer, repeated):
    """Whatever a request carries, the answer is a caller or an error of the tree, and no stranger is admitted."""
    sent = {name.replace("-", "_"): value for name, value in headers.items()}
    for auth in (TOKEN, Auth(mode="password", password="ü"), BY_PROXY, NONE):
        for address in (peer, "127.0.0.1", "10.0.0.1"):
            try:
                caller = authenticator(auth, "10.0.0.0/8").authenticate(request(address, tuple(repeated), **sent))
            except GatewayError:
                continue
            assert caller.mode in ("none", "trusted-proxy")
