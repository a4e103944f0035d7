"""Random identifiers."""

from __future__ import annotations

import os

# The two highest bits of this digit are 10.
_VARIANTS = {f"{digit:x}": "89ab"[digit & 3] for digit in range(16)}


def new_uuid() -> str:
    """A random UUID (RFC 9562, version 4) as text, at a third of what the standard library's object costs.

    Each request needs three.
    """
    random = os.urandom(16).hex()
    return f"{random[:8]}-{random[8:12]}-4{random[13:16]}-{_VARIANTS[random[16]]}{random[17:20]}-{random[20:]}"


def new_call_id() -> str:
    """An id for a tool call, where its model gave none. OpenAI takes 40 characters at most, and it has 37."""
    return f"call_{new_uuid().replace('-', '')}"
