"""Fixtures that many tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.live.gateway import Config, Gateway, config_for
from tests.scripted import ScriptedProvider

# How fast examples are made and tried says how busy the machine is, not whether a promise holds.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell that runs something in the background has it ignore Ctrl-C, and so would all that is started here.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def _shared_provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as provider:
        yield provider


@pytest.fixture
def provider(_shared_provider: ScriptedProvider) -> ScriptedProvider:
    """The provider behind every gateway of the test, with nothing scripted yet."""
    _shared_provider.reset()
    return _shared_provider


@pytest.fixture(scope="session")
def _shared_gateway(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path_factory.mktemp("gateway") / "state", config_for(_shared_provider.base_url))
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.stop()


@pytest.fixture
def gateway(_shared_gateway: Gateway, provider: ScriptedProvider) -> Gateway:
    """A running gateway with the usual configuration, shared by tests: use session keys of your own."""
    return _shared_gateway


StartGateway = Callable[..., Gateway]


@pytest.fixture
def start_gateway(tmp_path: Path, provider: ScriptedProvider) -> Iterator[StartGateway]:
    """Starts a gateway of the test's own: ``start_gateway(agents={...})`` changes the usual configuration.

    config: a whole configuration instead. options: gunicorn's. env: further variables. up=False doesn't wait for it.
    """
    started: list[Gateway] = []

    def start(
        *options: str,
        config: Config | None = None,
        env: dict[str, str] | None = None,
        up: bool = True,
        state_dir: Path | None = None,
        **changes: Any,
    ) -> Gateway:
        chosen = config if config is not None else config_for(provider.base_url, **changes)
        gateway = Gateway(state_dir or tmp_path / "state", chosen, *options, env=env)
        started.append(gateway)
        return gateway.wait_until_up() if up else gateway

    yield start
    for gateway in started:
        gateway.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Captured output may hold half a surrogate pair, which a worker can't send to the process that prints it."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "replace").decode()) for name, text in report.sections]
    return report
