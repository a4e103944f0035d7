"""Tools and results of a server, as far as a model can use them. Their form: https://modelcontextprotocol.io/specification"""

from __future__ import annotations

import json
from collections.abc import Iterable

import mcp_types as types

from app.agents.tools.mcp.wire import (
    MAX_DESCRIPTION,
    MAX_DETAIL,
    MAX_NAME,
    MAX_RESULT,
    MAX_SCHEMA,
    MAX_SCHEMAS,
    MAX_TOOLS,
    Listed,
    cut,
)


def usable(tools: Iterable[types.Tool], left_out: Iterable[tuple[str, str]]) -> tuple[list[Listed], list[str]]:
    """The tools that can be offered, and of the others which are left out, and why.

    left_out: (why, how it is called) of those that were no tools.
    """
    listed: dict[str, Listed] = {}
    refused: dict[str, list[str]] = {}
    for why, called in left_out:
        refused.setdefault(why, []).append(cut(called, MAX_NAME))
    total = 0
    for tool in tools:
        name = cut(tool.name, MAX_NAME)
        size = len(json.dumps(tool.input_schema))
        if len(tool.name) > MAX_NAME:
            why = f"a name longer than {MAX_NAME} characters"
        elif size > MAX_SCHEMA:
            why = f"an inputSchema larger than {MAX_SCHEMA:,} bytes"
        elif name in listed:
            why = "listed twice"
        elif len(listed) == MAX_TOOLS:
            why = f"more than {MAX_TOOLS} tools"
        elif total + size > MAX_SCHEMAS:
            why = f"all schemas together larger than {MAX_SCHEMAS:,} bytes"
        else:
            # Servers leave them out for a tool without arguments; model APIs insist on them.
            schema = {"properties": {}, **tool.input_schema}
            reads_only = bool(tool.annotations and tool.annotations.read_only_hint)
            description = cut(_sound(tool.description or tool.title or ""), MAX_DESCRIPTION)
            listed[name] = Listed(name, description, schema, reads_only)
            total += size
            continue
        refused.setdefault(why, []).append(repr(name))
    return list(listed.values()), [cut(f"{why}: {', '.join(names)}", MAX_DETAIL) for why, names in refused.items()]


def text_of(result: types.CallToolResult) -> str:
    """What a model reads of a result, at most ``MAX_RESULT`` characters and a mark."""
    parts = [_text(block) for block in result.content]
    if result.structured_content is not None and not any(block.type == "text" for block in result.content):
        parts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return cut(_sound("\n".join(parts)), MAX_RESULT)


def _text(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent(text=text):
            return text
        case types.ImageContent(mime_type=kind, data=data):
            return f"[image {kind}, {_size(data)}]"
        case types.AudioContent(mime_type=kind, data=data):
            return f"[audio {kind}, {_size(data)}]"
        case types.ResourceLink(uri=uri, mime_type=kind):
            return f"[resource {uri} {kind or ''}".rstrip() + "]"
        case types.EmbeddedResource(resource=resource):
            return _resource(resource)


def _resource(resource: types.TextResourceContents | types.BlobResourceContents) -> str:
    label = f"{resource.uri} {resource.mime_type or ''}".rstrip()
    if isinstance(resource, types.TextResourceContents):
        return f"[resource {label}]\n{resource.text}"
    return f"[resource {label}, {_size(resource.blob)}]"


def _size(base64: str) -> str:
    return f"{len(base64.rstrip('=')) * 3 // 4:,} bytes"


def _sound(text: str) -> str:
    """Without halves of surrogate pairs, which no UTF-8 can hold."""
    return text.encode("utf-8", "replace").decode()
