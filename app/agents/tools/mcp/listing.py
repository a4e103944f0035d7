"""What a server lists as its tools, sifted before the SDK sees it: to the SDK one bad tool makes the whole list bad."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mcp_types.methods import validate_server_result
from pydantic import ValidationError

from app.agents.tools.mcp.sdk import JSONRPCDispatcher, ReadStream, SessionMessage, WriteStream

METHOD = "tools/list"
# Version of the protocol whose rules hold until another is agreed on.
OLDEST = "2025-11-25"
# Levels of a schema. What model APIs are told must be written as JSON, which has fewer than are read.
MAX_DEPTH = 100


class Dispatcher(JSONRPCDispatcher[Any]):
    """left_out: (why, how it is called) of each tool that was taken out since ``begin``."""

    def __init__(self, read: ReadStream[SessionMessage | Exception], write: WriteStream[SessionMessage]) -> None:
        super().__init__(read, write)
        self.left_out: list[tuple[str, str]] = []
        self._version = OLDEST

    def begin(self, version: str | None) -> None:
        """A listing begins. version: that of the protocol, as agreed on."""
        self.left_out = []
        self._version = version or OLDEST

    async def send_raw_request(self, method: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        raw = await super().send_raw_request(method, *arguments, **options)
        if method == METHOD and isinstance(raw.get("tools"), list):
            return {**raw, "tools": list(self._sifted(raw))}
        return raw

    def _sifted(self, raw: Mapping[str, Any]) -> Iterator[Any]:
        for number, tool in enumerate(raw["tools"]):
            if (why := self._fault(tool, raw)) is None:
                yield tool
            else:
                name = tool.get("name") if isinstance(tool, dict) else None
                self.left_out.append((why, repr(name) if name and isinstance(name, str) else f"number {number + 1}"))

    def _fault(self, tool: Any, raw: Mapping[str, Any]) -> str | None:
        """What keeps a tool from being used, None for nothing."""
        if not isinstance(tool, dict):
            return "no object"
        if not (isinstance(tool.get("name"), str) and tool["name"].strip()):
            return "no name"
        schema = tool.get("inputSchema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            return 'an inputSchema without "type": "object"'
        if not _can_be_written(tool):
            return f"what JSON has not, or deeper than {MAX_DEPTH} levels"
        try:
            validate_server_result(METHOD, self._version, {**raw, "tools": [tool]})
        except ValidationError as error:
            where = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in where["loc"][2:])
            return f"{place}: {where['msg']}" if place else None  # of the list itself, which the SDK says
        except (KeyError, ValueError):
            return None  # a version that this SDK doesn't check
        return None


def _can_be_written(tool: dict[str, Any]) -> bool:
    """Whether it can be told on: NaN and halves of surrogate pairs are read, but no JSON has them."""
    try:
        json.dumps(tool, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return _depth(tool) <= MAX_DEPTH


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [inner for each in level if isinstance(each, dict | list) for inner in _parts(each)]:
        depth += 1
    return depth


def _parts(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return iter(value.values() if isinstance(value, dict) else value)
