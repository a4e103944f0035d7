from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scripted import ScriptedProvider


@pytest.fixture
def own_provider() -> Iterator[ScriptedProvider]:
    """A provider of the test's own, for those that count open connections."""
    with ScriptedProvider() as provider:
        yield provider
