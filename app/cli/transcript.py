"""What the protocol tells of a session, as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click
import orjson

from app.cli.screen import age, plain

# Characters of a tool's arguments and of its result.
MAX_SHOWN = 200

Message = dict[str, Any]


def print_messages(messages: Iterable[Message]) -> None:
    """Who said what; what tools did is a dim line each, and a turn that failed says why."""
    for message in messages:
        role = message["role"]
        if role == "toolResult":
            click.secho(f"  ⎿ {short(text_of(message))}", dim=True)
            continue
        if role == "user":
            click.secho(f"\nyou · {age(message.get('timestamp')) or ''}", bold=True)
        text = plain(text_of(message)).strip()
        if text:
            click.echo(text if role == "user" else f"\n{text}")
        for call in tool_calls(message):
            click.secho(tool_line(call.get("name", ""), call.get("arguments")), dim=True)
        if message.get("stopReason") == "error":
            click.secho(f"\nfailed: {plain(message.get('errorMessage') or 'the gateway does not say why')}", fg="red")


def model_of(row: dict[str, Any]) -> str | None:
    """``provider/model`` of a session, or of what sessions have that chose nothing."""
    return f"{row['modelProvider']}/{row['model']}" if row.get("model") else None


def text_of(message: Message) -> str:
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or f"[{part.get('type')}]" for part in content if part.get("type") != "toolCall")


def tool_calls(message: Message) -> Iterator[dict[str, Any]]:
    content = message.get("content")
    if isinstance(content, list):
        yield from (part for part in content if part.get("type") == "toolCall")


def tool_line(name: str, arguments: Any) -> str:
    given = arguments if isinstance(arguments, str) else orjson.dumps(arguments or {}).decode()
    return f"⏺ {plain(name)} {short(given)}"


def short(text: str) -> str:
    """One line of it, clipped."""
    line = " ".join(plain(text).split())
    return line if len(line) <= MAX_SHOWN else f"{line[:MAX_SHOWN]}…"
