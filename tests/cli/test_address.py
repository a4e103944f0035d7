import json
from pathlib import Path

import click
import pytest

from app.cli.address import Address, websocket_url
from app.config import Environment, read_environment

SECRET = "configured-secret-0123"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    config = tmp_path / "openclaw.json"
    config.write_text(json.dumps({"gateway": {"port": 4000, "auth": {"token": SECRET}}}))
    return read_environment({"OPENCLAW_STATE_DIR": str(tmp_path)})


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ws://127.0.0.1:1", "ws://127.0.0.1:1"),
        ("http://localhost:1/", "ws://localhost:1"),
        ("https://example.com/gateway/", "wss://example.com/gateway"),
        ("WSS://example.com", "wss://example.com"),
        ("127.0.0.1:18789", "ws://127.0.0.1:18789"),
        ("[::1]:18789", "ws://[::1]:18789"),
        ("ws://host/path?token=x#y", "ws://host/path"),
    ],
)
def test_an_address_may_be_written_in_many_ways(given: str, meant: str) -> None:
    """HTTP's address is the WebSocket's, too."""
    assert websocket_url(given) == meant


@pytest.mark.parametrize("given", ["", "ftp://x", "ws://", "ws://host:port", "ws://host:70000", "ws://me:pw@host"])
def test_what_is_no_address_is_refused(given: str) -> None:
    """As a wrong argument, without what may be a password in it."""
    with pytest.raises(click.BadParameter, match="address") as caught:
        websocket_url(given)
    assert "pw" not in str(caught.value)


def test_the_configured_gateway_is_the_default(environment: Environment) -> None:
    """Address and secret are those of the file."""
    assert Address().resolve(environment) == ("ws://127.0.0.1:4000", SECRET)


def test_a_token_that_is_given_wins(environment: Environment) -> None:
    """Whatever the address."""
    assert Address(token="other").resolve(environment) == ("ws://127.0.0.1:4000", "other")
    assert Address("wss://example.com", "other").resolve(environment) == ("wss://example.com", "other")


@pytest.mark.parametrize("url", ["ws://127.0.0.1:5000", "http://localhost:6000", "ws://127.9.9.9:1", "ws://[::1]:2"])
def test_gateways_of_this_machine_get_the_configured_secret(environment: Environment, url: str) -> None:
    """On any port: it is the operator who says where."""
    assert Address(url).resolve(environment)[1] == SECRET


@pytest.mark.parametrize("url", ["wss://example.com", "ws://10.0.0.7:4000", "ws://127.0.0.1.example.com:4000"])
def test_other_machines_do_not_get_the_configured_secret(environment: Environment, url: str) -> None:
    """Nor the one of the environment, which is the configured one, too."""
    assert Address(url).resolve(environment)[1] is None
    variables = {**environment.variables, "OPENCLAW_GATEWAY_TOKEN": SECRET}
    assert Address(url).resolve(read_environment(variables))[1] is None


def test_the_address_that_is_listened_on_is_this_machine(tmp_path: Path) -> None:
    """With bind custom that is no loopback address."""
    gateway = {"bind": "custom", "customBindHost": "10.0.0.7", "port": 4000, "auth": {"token": SECRET}}
    (tmp_path / "openclaw.json").write_text(json.dumps({"gateway": gateway}))
    environment = read_environment({"OPENCLAW_STATE_DIR": str(tmp_path)})
    assert Address("ws://10.0.0.7:4000").resolve(environment)[1] == SECRET


def test_no_configuration_is_needed_for_another_gateway(tmp_path: Path) -> None:
    """On a machine that has none, --url alone will do; without it every fault is told."""
    environment = read_environment({"OPENCLAW_STATE_DIR": str(tmp_path)})
    assert Address("wss://example.com").resolve(environment) == ("wss://example.com", None)
    with pytest.raises(click.ClickException, match="onboard"):
        Address().resolve(environment)
