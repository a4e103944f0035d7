"""The system prompt: short, because it is paid for with every call."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

from app.config.settings import Agent

DEFAULT_PROMPT = "You are a helpful assistant."


def system_prompt(agent: Agent, instructions: str, today: date) -> str:
    """The agent's own prompt, the date, and what the request's system messages add."""
    own = agent.system_prompt or (
        f"You are {agent.name}, a helpful assistant." if agent.name != agent.id else DEFAULT_PROMPT
    )
    return "\n\n".join(part for part in (own, _date(today), instructions) if part)


@lru_cache(maxsize=1)
def _date(today: date) -> str:
    return f"Today is {today:%A, %d %B %Y}."
