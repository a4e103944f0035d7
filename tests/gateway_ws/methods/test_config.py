"""config.*: the file over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import TOKEN, Gateway, config_for, wait_until
from tests.scripted import ScriptedProvider

REDACTED = "__OPENCLAW_REDACTED__"


@pytest.fixture(scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[tuple[Gateway, str]]:
    gateway = Gateway(tmp_path_factory.mktemp("own") / "state", config_for(_shared_provider.base_url))
    try:
        yield gateway.wait_until_up(), "// mine, do not lose\n" + gateway.config_path.read_text()
    finally:
        gateway.stop()


@pytest.fixture
def own(_own: tuple[Gateway, str]) -> Gateway:
    """A gateway whose file has comments, and is as it was in the beginning."""
    gateway, text = _own
    gateway.config_path.write_text(text)
    return gateway


def refused(client: Client, method: str, **params: Any) -> Refused:
    with pytest.raises(Refused) as refusal:
        client.call(method, params)
    return refusal.value


def test_what_is_read_has_no_secret(own: Gateway) -> None:
    """Neither the text nor the parsed document; comments are there."""
    with connected(own, scopes=("operator.read",)) as client:
        read = client.call("config.get", {})
        assert read["path"] == str(own.config_path)
        assert (read["exists"], read["valid"], read["issues"]) == (True, True, [])
        assert read["raw"].startswith("// mine, do not lose")
        assert read["parsed"]["gateway"]["auth"]["token"] == REDACTED
        assert read["parsed"]["models"]["providers"]["scripted"]["apiKey"] == REDACTED
        assert TOKEN not in json.dumps(read)


def test_writing_needs_admin(own: Gateway) -> None:
    """Reading is for readers, and that is all."""
    with connected(own, scopes=("operator.write",)) as client:
        for method in ("config.set", "config.patch", "config.apply"):
            error = refused(client, method, raw="{}", baseHash="x").error
            assert (error["code"], error["details"]["missingScope"]) == ("FORBIDDEN", "operator.admin")


def test_a_text_that_was_read_can_be_written_back(own: Gateway) -> None:
    """Redacted values keep their secrets, comments stay, and the change is in force a moment later."""
    with connected(own) as client:
        read = client.call("config.get", {})
        raw = read["raw"].replace('"enabled": true', '"enabled": false')
        assert raw != read["raw"]
        written = client.call("config.set", {"raw": raw, "baseHash": read["hash"]})
        assert written["ok"] is True
        assert written["config"]["gateway"]["auth"]["token"] == REDACTED
        assert client.call("config.get", {})["hash"] == written["hash"] != read["hash"]
        client.event("config.changed")
        wait_until(lambda: own.chat().status == 404, "the endpoint is off")
    text = own.config_path.read_text()
    assert TOKEN in text
    assert "// mine, do not lose" in text
    assert own.config_path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("method", ["config.set", "config.apply", "config.patch"])
def test_a_change_of_what_has_changed_is_refused(own: Gateway, method: str) -> None:
    """``baseHash`` must be that of the file as it is."""
    with connected(own) as client:
        read = client.call("config.get", {})
        own.config_path.write_text(own.config_path.read_text() + "\n// another was here\n")
        error = refused(client, method, raw=read["raw"], baseHash=read["hash"]).error
        assert error["details"]["code"] == "STALE_CONFIG"
        assert "baseHash" in refused(client, method, raw=read["raw"]).error["message"]
    assert "another was here" in own.config_path.read_text()


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        ("{gateway: {port: 'x'}}", "gateway.port"),
        ("{gatway: {}}", "gatway"),
        ("{", "openclaw.json:1"),
        ("[]", "openclaw.json"),
        (f"{{gateway: {{auth: {{password: '{REDACTED}'}}}}}}", "gateway.auth.password"),
    ],
    ids=["value", "key", "syntax", "list", "unknown-secret"],
)
def test_a_wrong_text_is_refused_whole(own: Gateway, raw: str, where: str) -> None:
    """Each fault has its path, and the file is as it was."""
    before = own.config_path.read_text()
    with connected(own) as client:
        base = client.call("config.get", {})["hash"]
        error = refused(client, "config.set", raw=raw, baseHash=base).error
        assert error["code"] == "INVALID_REQUEST"
        assert any(where in issue["path"] for issue in error["details"]["issues"])
        assert str(own.state_dir) not in error["message"]
    assert own.config_path.read_text() == before
    # A caller's mistake is no fault of the gateway's.
    assert "Traceback" not in own.log


def test_a_patch_changes_what_it_names(own: Gateway) -> None:
    """Agents merge by id, null removes, the rest of the text stays as it is."""
    before = own.config_path.read_text()
    with connected(own) as client:
        base = client.call("config.get", {})["hash"]
        patch = {"agents": {"list": [{"id": "beta", "name": "Second"}]}, "gateway": {"maxRuns": 7}}
        patched = client.call("config.patch", {"raw": json.dumps(patch), "baseHash": base})
        assert patched["config"]["agents"]["list"][1]["name"] == "Second"
        assert patched["config"]["agents"]["list"][1]["model"] == "scripted/m"
        again = client.call("config.patch", {"raw": "{gateway: {maxRuns: null}}", "baseHash": patched["hash"]})
        assert "maxRuns" not in again["config"]["gateway"]
    after = own.config_path.read_text()
    assert after.startswith("// mine, do not lose")
    assert before.replace('"id": "beta"', "") != after


def test_a_broken_file_is_told_without_its_text(own: Gateway) -> None:
    """The issues name the place; a broken text might hide a secret where none is looked for."""
    own.config_path.write_text("{ gateway: { auth: { token: 'very-secret-token' ")
    with connected(own) as client:
        read = client.call("config.get", {})
        assert (read["valid"], read["exists"]) == (False, True)
        assert read["raw"] is None
        assert "openclaw.json:1" in read["issues"][0]["path"]
        assert "very-secret-token" not in json.dumps(read)


def test_the_schema_describes_the_file(gateway: Gateway) -> None:
    """Editors can check a document before it is sent."""
    with connected(gateway) as client:
        told = client.call("config.schema", {})
        assert "gateway" in told["schema"]["properties"]
        assert told["version"]
