from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.auth.proxies import Proxies

from .scene import request

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
FORWARDED = ["forwarded", "x_forwarded_for", "x_forwarded_proto", "x_forwarded_anything", "x_real_ip"]


@pytest.mark.parametrize(
    ("peer", "chain", "address"),
    [
        ("203.0.113.9", "1.1.1.1", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.7", "1.1.1.1"),
        ("10.0.0.1", "10.0.0.9,10.0.0.7", "10.0.0.9"),
        ("::ffff:10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("fd00::1", "2001:DB8::1", "2001:db8::1"),
        ("10.0.0.1", "1.1.1.1:4711", "1.1.1.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "fe80::1%eth0\n", "fe80::1"),
        ("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "garbage, 1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("", "1.1.1.1", "127.0.0.1"),
    ],
)
def test_client_address(peer, chain, address):
    """Only trusted proxies are believed, from the right; a malformed entry leaves the peer."""
    client = Proxies(TRUSTED).client(request(peer, x_forwarded_for=chain))
    assert client.address == address
    assert not client.local


@pytest.mark.parametrize(
    ("header", "value", "address"),
    [
        ("x_real_ip", "1.1.1.1", "1.1.1.1"),
        ("x_real_ip", " 2001:DB8::1 ", "2001:db8::1"),
        ("x_real_ip", "1.1.1.1,2.2.2.2", "10.0.0.1"),
        ("x_real_ip", "localhost", "10.0.0.1"),
        ("x_real_ip", "", "10.0.0.1"),
        ("forwarded", "for=1.1.1.1", "1.1.1.1"),
        ("forwarded", "For=1.1.1.1;proto=https;by=10.0.0.1", "1.1.1.1"),
        ("forwarded", 'proto=https; for="1.1.1.1:4711"', "1.1.1.1"),
        ("forwarded", 'for="[2001:db8::1]"', "2001:db8::1"),
        ("forwarded", 'for="[2001:db8::1]:4711"', "2001:db8::1"),
        ("forwarded", 'for="1.1\\.1.1"', "1.1.1.1"),
        ("forwarded", "for=6.6.6.6, for=1.1.1.1, for=10.0.0.7", "1.1.1.1"),
        ("forwarded", "for=6.6.6.6,for=1.1.1.1", "1.1.1.1"),
        ("forwarded", 'for="6.6.6.6, for=7.7.7.7", for=1.1.1.1', "1.1.1.1"),
        ("forwarded", "for=10.0.0.9, for=10.0.0.7", "10.0.0.9"),
        ("forwarded", "for=unknown", "10.0.0.1"),
        ("forwarded", "for=_hidden", "10.0.0.1"),
        ("forwarded", 'for="_hidden:80", for=10.0.0.7', "10.0.0.1"),
        ("forwarded", "for=1.1.1.1, proto=https", "10.0.0.1"),
        ("forwarded", "for=1.1.1.1;for=2.2.2.2", "10.0.0.1"),
        ("forwarded", 'for="6.6.6.6, for=1.1.1.1', "10.0.0.1"),
        ("forwarded", 'for="6.6.6.6, for="[2001:db8::1]"', "10.0.0.1"),
        ("forwarded", "1.1.1.1", "10.0.0.1"),
        ("forwarded", "for=1.1.1.1,", "10.0.0.1"),
        ("forwarded", "", "10.0.0.1"),
    ],
)
def test_every_header_of_a_proxy_names_the_client(header, value, address):
    """A proxy that sends only X-Real-IP or Forwarded is believed as one with X-Forwarded-For; what is odd isn't."""
    assert Proxies(TRUSTED).client(request("10.0.0.1", **{header: value})).address == address
    assert Proxies(TRUSTED).client(request("203.0.113.9", **{header: value})).address == "203.0.113.9"


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"x_forwarded_for": "1.1.1.1", "x_real_ip": "1.1.1.1", "forwarded": "for=1.1.1.1"}, "1.1.1.1"),
        ({"x_forwarded_for": "6.6.6.6, 1.1.1.1", "x_real_ip": "1.1.1.1"}, "1.1.1.1"),
        ({"x_forwarded_for": "1.1.1.1, 10.0.0.7", "x_real_ip": "10.0.0.7"}, "1.1.1.1"),
        ({"x_forwarded_for": "", "x_real_ip": "1.1.1.1"}, "1.1.1.1"),
        ({"x_forwarded_for": "1.1.1.1", "x_real_ip": "6.6.6.6"}, "10.0.0.1"),
        ({"x_forwarded_for": "6.6.6.6", "forwarded": "for=1.1.1.1"}, "10.0.0.1"),
        ({"x_forwarded_for": "nonsense", "x_real_ip": "1.1.1.1"}, "10.0.0.1"),
        ({"forwarded": "for=unknown", "x_real_ip": "1.1.1.1"}, "10.0.0.1"),
    ],
)
def test_headers_that_contradict_are_not_believed(headers, address):
    """One of them may be the client's own invention: the client is then the proxy, whose limit is its own."""
    assert Proxies(TRUSTED).client(request("10.0.0.1", **headers)).address == address


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""])
def test_loopback_is_local(peer):
    """A loopback peer or a unix socket is local while no forwarded header is there."""
    assert Proxies([]).client(request(peer, host="localhost")).local


@pytest.mark.parametrize("peer", ["10.0.0.1", "192.168.1.1", "::2", "nonsense", "127.0.0.1 "])
def test_others_are_not_local(peer):
    """No other peer is local, nor one that is no address."""
    assert not Proxies(TRUSTED).client(request(peer)).local


@pytest.mark.parametrize("header", FORWARDED)
def test_a_forwarded_header_is_never_local(header):
    """Any forwarded header, even an empty one, ends being local."""
    assert not Proxies([]).client(request("127.0.0.1", **{header: ""})).local
    assert not Proxies([ip_network("127.0.0.0/8")]).client(request("127.0.0.1", **{header: "127.0.0.1"})).local


@given(st.sampled_from(FORWARDED), st.text() | st.lists(st.ip_addresses()).map(lambda hops: ", ".join(map(str, hops))))
def test_no_chain_makes_a_stranger_local(header, value):
    """Whatever the forwarded headers say, the client is not local and its address is one."""
    for peer in ("127.0.0.1", "203.0.113.9", "10.0.0.1", "", "::1"):
        for trusted in ([], TRUSTED, [ip_network("127.0.0.0/8"), ip_network("::1")]):
            client = Proxies(trusted).client(request(peer, **{header: value}))
            assert not client.local
            assert ip_address(client.address)


def test_untrusted_proxy_is_logged_once(caplog):
    """Each untrusted peer with forwarded headers is named once, with the key to set."""
    proxies = Proxies([])
    for peer in ("10.0.0.1", "10.0.0.1", "10.0.0.2"):
        proxies.client(request(peer, x_real_ip="1.1.1.1"))
    assert [message.split()[0] for message in caplog.messages] == ["10.0.0.1", "10.0.0.2"]
    assert all("gateway.trustedProxies" in message for message in caplog.messages)


def test_strangers_do_not_fill_the_log(caplog):
    """However many peers send forwarded headers, the log grows by a bounded number of lines."""
    proxies = Proxies([])
    for number in range(1000):
        proxies.client(request(f"10.0.{number >> 8}.{number & 255}", x_real_ip="1.1.1.1"))
    assert len(caplog.records) == 256
