import pytest

from app.config import Auth, Gateway


@pytest.mark.parametrize(
    ("mode", "secret"), [("token", "t"), ("password", "p"), ("trusted-proxy", "p"), ("none", None)]
)
def test_the_secret_in_force(mode: str, secret: str | None) -> None:
    """The mode decides which of two secrets counts."""
    assert Auth(mode=mode, token="t", password="p").secret == secret


def test_a_secret_may_be_missing() -> None:
    """Under trusted-proxy there may be no password."""
    assert Auth(mode="trusted-proxy", token="t").secret is None


@pytest.mark.parametrize(
    ("gateway", "address", "url"),
    [
        (Gateway(), "127.0.0.1:18789", "http://127.0.0.1:18789"),
        (Gateway(bind="lan", port=80), "0.0.0.0:80", "http://127.0.0.1:80"),
        (Gateway(bind="custom", custom_bind_host="10.0.0.2"), "10.0.0.2:18789", "http://10.0.0.2:18789"),
        (Gateway(bind="custom", custom_bind_host="::"), "[::]:18789", "http://[::1]:18789"),
        (Gateway(bind="custom", custom_bind_host="fd00::2"), "[fd00::2]:18789", "http://[fd00::2]:18789"),
    ],
)
def test_where_to_listen_and_to_call(gateway: Gateway, address: str, url: str) -> None:
    """IPv6 stands in brackets, and an address of every interface is called on loopback."""
    assert (gateway.address, gateway.url) == (address, url)
