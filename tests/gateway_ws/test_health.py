"""The state of the gateway: what it says, when it counts, and when it is another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event as Gate

from app.config import load, read_environment
from app.gateway_ws import health as health_module
from app.gateway_ws.health import Health
from app.providers.local import LocalModel
from app.services import Services
from tests.agents.scene import until
from tests.gateway_ws.contract import check_result

CONFIG = """{
  gateway: { auth: { token: "test-token-0123456789" } },
  agents: { list: [{ id: "main", model: "p/m", name: "Main" }, { id: "beta", model: "p/m" }] },
  models: { providers: { p: { baseUrl: "http://127.0.0.1:1/v1" } } },
}"""


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    (tmp_path / "openclaw.json").write_text(CONFIG)
    environment = read_environment({"OPENCLAW_STATE_DIR": str(tmp_path), "HOME": str(tmp_path)})
    services = Services(environment, load(environment), LocalModel())
    yield services
    with gevent.Timeout(10):
        services.close()


@pytest.fixture
def health(services: Services) -> Health:
    return Health(services)


def test_agents_and_their_sessions(services: Services, health: Health) -> None:
    """In the published shape, the latest sessions first, with those of agents that are not configured any more."""
    for key, agent in (("agent:main:a", "main"), ("agent:main:b", "main"), ("agent:gone:c", "gone")):
        services.sessions.create(key, agent)
    payload = health.payload()
    check_result("health", payload)
    assert payload["ok"] is True
    assert payload["defaultAgentId"] == "main"
    main, beta = payload["agents"]
    assert (main["agentId"], main["name"], main["isDefault"]) == ("main", "Main", True)
    assert (beta["agentId"], beta["isDefault"], beta["sessions"]["count"]) == ("beta", False, 0)
    assert [each["key"] for each in main["sessions"]["recent"]] == ["agent:main:b", "agent:main:a"]
    assert payload["sessions"]["count"] == 3
    assert [each["key"] for each in payload["sessions"]["recent"]] == ["agent:gone:c", "agent:main:b", "agent:main:a"]
    assert payload["sessions"]["path"].endswith("gateway.sqlite3")


def test_sessions_are_counted_once_in_a_while(
    services: Services, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks in between gets what was counted; afterwards it is counted anew."""
    assert health.payload()["sessions"]["count"] == 0
    services.sessions.create("agent:main:a", "main")
    assert health.payload()["sessions"]["count"] == 0
    monkeypatch.setattr(health_module, "FRESH", 0)
    assert health.payload()["sessions"]["count"] == 1


def test_one_counts_and_the_others_have_what_is_known(
    services: Services, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow database keeps one waiting; before anything is known, all."""
    count, gate, asked = services.sessions.overview, Gate(), []

    def slow(recent: int) -> Any:
        asked.append(recent)
        gate.wait()
        return count(recent)

    monkeypatch.setattr(services.sessions, "overview", slow)
    monkeypatch.setattr(health_module, "FRESH", 0)
    first = [gevent.spawn(health.payload) for _ in range(3)]
    until(lambda: asked)
    gate.set()
    assert all(each.get(timeout=10)["ok"] for each in first)
    assert len(asked) == 1
    gate.clear()
    waiting = gevent.spawn(health.payload)
    until(lambda: len(asked) == 2)
    assert health.payload()["ok"] is True
    gate.set()
    assert waiting.get(timeout=10)["ok"] is True


def test_its_version_counts_what_matters(services: Services, health: Health) -> None:
    """A drain and other agents are news; another session is none."""
    services.sessions.create("agent:main:a", "main")
    health.payload()
    health.look()
    assert health.version == 1
    services.runs.draining = True
    health.look()
    assert health.version == 2
    assert "ok" not in health.payload()
    settings = services.live.current
    services.live.replace(replace(settings, agents={"main": settings.agents["main"]}))
    health.look()
    health.look()
    assert health.version == 3


def test_a_database_that_fails_is_told(
    services: Services, health: Health, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With what was known before, and once in the log, until it is well again."""
    services.sessions.create("agent:main:a", "main")
    health.payload()
    monkeypatch.setattr(health_module, "FRESH", 0)

    def broken(_recent: int) -> Any:
        raise OSError("disk I/O error")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(services.sessions, "overview", broken)
        for _ in range(2):
            payload = health.payload()
            assert "ok" not in payload
            assert payload["sessions"]["count"] == 1
        assert health.failing() == ["sessions"]
        assert health.version == 2
    assert health.payload()["ok"] is True
    assert caplog.text.count("the sessions could not be counted") == 1
