"""A configuration in a folder of its own: write a file, load it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.config import ConfigError, Environment, Settings, load, read_environment

TOKEN = "a-token-that-must-never-show"


class Place:
    """A state dir with a config file; ``variables`` are the whole environment."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder
        self.file = folder / "openclaw.json"

    def environment(self, **variables: str) -> Environment:
        return read_environment({"OPENCLAW_STATE_DIR": str(self.state_dir), **variables})

    def write(self, document: Any) -> None:
        text = document if isinstance(document, str) else json.dumps(document)
        self.file.write_text(text, "utf-8")
        self.file.chmod(0o600)

    def load(self, document: Any, **variables: str) -> Settings:
        """Load a document; unless the environment is given, the token comes from there."""
        self.write(document)
        return self.load_written(**variables)

    def load_written(self, **variables: str) -> Settings:
        """Load what is there already."""
        return load(self.environment(**(variables or {"OPENCLAW_GATEWAY_TOKEN": TOKEN})))

    def faults(self, document: Any, **variables: str) -> list[str]:
        """The fault lines of a document that must be refused."""
        with pytest.raises(ConfigError) as refused:
            self.load(document, **variables)
        return [str(fault) for fault in refused.value.faults]

    def outcome(self, document: Any, **variables: str) -> list[str]:
        """The fault lines of a document that may be refused or not."""
        try:
            self.load(document, **variables)
        except ConfigError as error:
            return [str(fault) for fault in error.faults]
        return []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def refused(place: Place) -> Callable[..., str]:
    """The one fault line of a document."""

    def only(document: Any, **variables: str) -> str:
        (line,) = place.faults(document, **variables)
        return line

    return only
