"""A model's reasoning in the messages of OpenAI-compatible servers: each has names and rules of its own for it.

Sources: https://api-docs.deepseek.com/guides/thinking_mode, https://openrouter.ai/docs/use-cases/reasoning-tokens,
https://docs.vllm.ai/en/latest/features/reasoning_outputs.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.providers.sse import checked
from app.providers.state import Block, Keeper

# The members of a delta that hold it as text; the first that a server fills is read, since some fill two with the same.
_NAMES = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
REASONING = (*_NAMES, "reasoning_details")
_WANTED_BACK = frozenset({"reasoning_content", "reasoning_text"})
# Members of an item of ``reasoning_details`` that come in pieces.
_PIECES = ("text", "summary", "data")


class Thoughts:
    """The reasoning of one answer.

    What goes back to the server with its answer, as long as the turn lasts: ``reasoning_content``, which DeepSeek and
    Kimi refuse a tool's result without, ``reasoning_details``, in which OpenRouter keeps signatures and encrypted
    thoughts, and Copilot's ``reasoning_text`` with ``reasoning_opaque``. A caller sees the text only.
    """

    def __init__(self, kept: Keeper) -> None:
        self._kept = kept
        self._texts: dict[str, list[str]] = {}
        self._details: list[dict[str, Any]] = []

    def read(self, delta: Mapping[str, Any]) -> str:
        """The text that a delta adds. Raises TypeError, AttributeError for an unknown shape."""
        text = ""
        for name in _NAMES:
            if value := delta.get(name):
                if isinstance(value, Mapping):
                    value = value.get("content") or value.get("text") or ""
                text = checked(value)
                if name in _WANTED_BACK and self._kept.grow(len(text)):
                    self._texts.setdefault(name, []).append(text)
                break
        if (opaque := delta.get("reasoning_opaque")) and self._kept.grow(len(checked(opaque))):
            self._texts["reasoning_opaque"] = [opaque]
        if details := delta.get("reasoning_details"):
            told = "".join([self._add(detail) for detail in details])
            text = text or told
        return text

    def block(self) -> Block | None:
        """What goes back, as members of the message; None when there is nothing."""
        fields: dict[str, Any] = {name: "".join(texts) for name, texts in self._texts.items()}
        if self._details:
            fields["reasoning_details"] = self._details
        return {"type": "reasoning", "fields": fields} if fields else None

    def _add(self, detail: dict[str, Any]) -> str:
        """Put an item, or a piece of the latest one, to the others. Its text."""
        text = checked(detail.get("text") or detail.get("summary") or "")
        if not self._kept.grow(len(orjson.dumps([[[[[[[[detail]]]]]]]]))):  # as deep as it stands where it is kept
            return text
        latest = self._details[-1] if self._details else {}
        if latest and all(latest.get(key) == detail.get(key) for key in ("type", "index")):
            for key, value in detail.items():
                if key in _PIECES and isinstance(latest.get(key), str) and isinstance(value, str):
                    latest[key] += value
                elif value is not None:
                    latest[key] = value
        else:
            self._details.append(dict(detail))
        return text
