"""The system prompt: short, because it is paid for with every call."""

from __future__ import annotations

import os
import time
from datetime import date
from functools import lru_cache
from pathlib import Path

from app.agents.context import BYTES_PER_TOKEN
from app.agents.tools.workspace import Workspace
from app.agents.tools.workspace_walk import PathRefused
from app.concurrency.threads import aside
from app.config.settings import Agent

DEFAULT_PROMPT = "You are a helpful assistant."

# Files of the workspace that tell the agent who it is and how to work, in the order in which it reads them.
FILES = ("AGENTS.md", "SOUL.md", "IDENTITY.md", "USER.md", "TOOLS.md")
# Characters of one file, and of all.
MAX_FILE = 8_000
MAX_FILES = 24_000
# The share of a model's window that they may take.
FILES_SHARE = 0.25
# Seconds that they are taken for unchanged.
FRESH = 1.0

_read: dict[Path, tuple[float, tuple[tuple[str, str, int], ...]]] = {}


def system_prompt(agent: Agent, instructions: str, today: date, window: int | None = None) -> str:
    """The agent's own prompt, the date, its workspace's files, and what the request's system messages add.

    window: tokens of the model's context window, where known.
    """
    named = agent.name != agent.id
    own = agent.system_prompt or (f"You are {agent.name}, a helpful assistant." if named else DEFAULT_PROMPT)
    known = _date(today) + (f" Your name is {agent.name}." if named and agent.system_prompt else "")
    return "\n\n".join(part for part in (own, known, _files(agent, window), instructions) if part)


@lru_cache(maxsize=1)
def _date(today: date) -> str:
    return f"Today is {today:%A, %d %B %Y}."


def _files(agent: Agent, window: int | None) -> str:
    at, found = _read.get(agent.workspace, (0.0, ()))
    now = time.monotonic()
    if now - at > FRESH or at == 0.0:
        found = aside(_look, Workspace(agent.workspace, agent.private))
        _read[agent.workspace] = now, found
    room = MAX_FILES if window is None else min(MAX_FILES, int(window * FILES_SHARE * BYTES_PER_TOKEN))
    parts = []
    for name, text, size in found:
        shown = text[: min(MAX_FILE, room)]
        room -= len(shown)
        if len(shown) < size:
            shown += f"\n[{name} is cut here: {len(shown)} of {size} characters]"
        parts.append(f"# {name}\n{shown}")
    return "\n\n".join(parts)


def _look(workspace: Workspace) -> tuple[tuple[str, str, int], ...]:
    """(name, beginning, characters in all) of each file that is there and says something."""
    # Reading would make the folder.
    if not os.path.isdir(workspace.root):  # also where the gateway may not look: an agent without files still answers
        return ()
    found = []
    for name in FILES:
        try:
            content = workspace.read(name, MAX_FILE * 4)
        except PathRefused:
            continue  # a link out of the workspace, a folder: nothing that an agent should read at every call
        text = content.data.decode("utf-8", "replace").strip() if content else ""
        if content and text:
            size = len(text) if content.size <= len(content.data) else content.size
            found.append((name, text[:MAX_FILE], size))
    return tuple(found)
