"""What a model calls the tools of MCP servers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import sha256

# Characters, as OpenAI and Anthropic allow them.
MAX_NAME = 64
MAX_SERVER = 24
DIGEST = 8

_OTHERS = re.compile(r"[^A-Za-z0-9_-]")


def tool_names(tools: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A name for each (server, tool): ``<server>__<tool>``, with ``_`` for what models may not write.

    No two are the same. One that is too long or taken is shortened and ends with a digest of what it stands for.
    """
    taken: set[str] = set()
    for server, tool in tools:
        name = _OTHERS.sub("_", f"{server}__{tool}")
        if len(name) > MAX_NAME or name in taken:
            name = _shortened(server, tool, taken)
        taken.add(name)
        yield name


def _shortened(server: str, tool: str, taken: set[str]) -> str:
    digest = sha256(f"{server}\0{tool}".encode()).hexdigest()
    start = _OTHERS.sub("_", f"{server[:MAX_SERVER]}__{tool}")[: MAX_NAME - DIGEST - 1]
    names = (f"{start}_{digest[i : i + DIGEST]}" for i in range(len(digest) - DIGEST))
    return next(name for name in names if name not in taken)
