from __future__ import annotations

import random

import pytest

KILLS = 100
# Seconds for each of them, on a busy machine.
EACH = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=KILLS, help=f"how often the gateway is killed ({KILLS})")
    parser.addoption("--seed", type=int, default=None, help="what the kills and turns depend on; as printed by a run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "kills" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(60 + EACH * config.getoption("--kills", KILLS)))


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    number: int = request.config.getoption("--kills", KILLS)
    return number


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given: int | None = request.config.getoption("--seed", None)
    return random.SystemRandom().randrange(1_000_000) if given is None else given
