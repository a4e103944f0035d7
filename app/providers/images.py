"""Images in messages: whether there are any, and what a model that can't see reads in their place."""

from __future__ import annotations

from collections.abc import Iterable

from app.providers.stream import Message

PLACEHOLDER = "[image]"


def has_images(messages: Iterable[Message]) -> bool:
    """Whether any message holds an image part."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, list) and any(part["type"] == "image_url" for part in content):
            return True
    return False


def without_images(message: Message) -> Message:
    """The message with a text part in place of each image; itself when it holds none."""
    if not has_images((message,)):
        return message
    text = {"type": "text", "text": PLACEHOLDER}
    return {**message, "content": [text if part["type"] == "image_url" else part for part in message["content"]]}
