"""Random identifiers."""

from __future__ import annotations

import os


def new_uuid() -> str:
    """A random UUID (RFC 9562, version 4) as text, at a third of what the standard library's object costs.

    Each request needs three.
    """
    random = os.urandom(16).hex()
    variant = "89ab"[int(random[16], 16) & 3]
    return f"{random[:8]}-{random[8:12]}-4{random[13:16]}-{variant}{random[17:20]}-{random[20:]}"


def new_call_id() -> str:
    """An id for a tool call, where its model gave none. OpenAI takes 40 characters at most, and it has 37."""
    return f"call_{new_uuid().replace('-', '')}"
