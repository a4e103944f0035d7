"""Random identifiers."""

from __future__ import annotations

import uuid

from app.ids import new_uuid


def test_it_is_a_uuid() -> None:
    """Version and variant are those of a random UUID, in the standard spelling, for every random variant digit."""
    for _ in range(200):
        text = new_uuid()
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)


def test_it_is_never_the_same() -> None:
    """A thousand are a thousand."""
    assert len({new_uuid() for _ in range(1000)}) == 1000
