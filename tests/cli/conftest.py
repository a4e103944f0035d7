"""Commands as the operator of a running gateway types them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.live.gateway import Gateway

Cli = Callable[..., Result]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own gateway in the environment."""
    for name in list(os.environ):
        if name.startswith("OPENCLAW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def cli(clean: None, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command against the shared gateway, with its configuration."""
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(gateway.state_dir))

    def run(*arguments: str, said: str | None = None) -> Result:
        return CliRunner().invoke(main, [*arguments, "--url", gateway.url], input=said, prog_name="python -m app")

    return run
