"""Tool calls as OpenAI-compatible servers stream them: each server has its own reading of the format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from app.ids import new_call_id
from app.providers.sse import checked
from app.providers.stream import ToolCallDelta


class _Call(NamedTuple):
    """One call. index: ours. place: the index that the server gave it."""

    index: int  # type: ignore[assignment]  # of the call, not tuple's method
    place: int | None


class ToolCalls:
    """The calls of one answer, from fragments ``{index, id, function: {name, arguments}}``.

    Understood besides OpenAI's own way: id and name repeated in each fragment, no index, no id, one index for several
    calls with ids of their own, one id for several calls with indexes of their own, arguments as an object.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_id: dict[str, _Call] = {}
        self._by_place: dict[int, _Call] = {}

    def read(self, fragments: Any) -> Iterator[ToolCallDelta]:
        """What the ``tool_calls`` of one chunk add. Raises AttributeError or TypeError for an unknown shape."""
        for fragment in fragments:
            function = fragment.get("function") or {}
            id, place = checked(fragment.get("id") or ""), fragment.get("index")
            name, arguments = checked(function.get("name") or ""), _text(function.get("arguments"))
            known = self._by_id.get(id)
            if known is not None and place not in (None, known.place):
                known, id = None, ""
            if known is None and not id:
                known = self._unnamed(place, name)
            if known is None:
                # OpenAI takes an id of 40 characters at most.
                id = id or new_call_id()
                yield ToolCallDelta(self._begin(id, place), id, name, arguments)
            elif arguments:
                yield ToolCallDelta(known.index, arguments=arguments)

    def _unnamed(self, place: int | None, name: str) -> _Call | None:
        """The call that a fragment without an id of its own goes on with."""
        if place is not None:
            return self._by_place.get(place)
        return self._calls[-1] if self._calls and not name else None

    def _begin(self, id: str, place: int | None) -> int:
        call = _Call(len(self._calls), place)
        self._calls.append(call)
        self._by_id[id] = call
        if place is not None:
            self._by_place[place] = call
        return call.index


def _text(arguments: Any) -> str:
    if arguments is None:
        return ""
    return orjson.dumps(arguments).decode() if isinstance(arguments, dict) else checked(arguments)
