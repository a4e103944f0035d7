"""Images of a conversation: where they stand in the request, and how many there may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.config.settings import ChatCompletions
from app.errors import InvalidRequest
from app.images.given import GivenImage, check
from app.openai_api.messages import Conversation
from app.providers.images import has_images
from app.providers.stream import Message
from app.web.network import INTERNET, Network

# With those that a caller sends again with the conversation, unless the operator lets the last message have more.
MOST_IN_ALL = 100

_KEY = "gateway.http.endpoints.chatCompletions"


def resolve(conversation: Conversation, rules: ChatCompletions, *, network: Network = INTERNET) -> None:
    """Check every image of a request, and turn each into a ``data:`` URL of its real type, in the messages themselves.

    Cooperative. Raises InvalidRequest with the path of the first fault, and Overloaded when the images of others take
    too long.
    """
    if not has_images(conversation.messages):
        return
    found = _images(conversation)
    _check_counts(found, rules.max_image_parts)
    most = (rules.max_total_image_bytes, f"{_KEY}.maxTotalImageBytes")
    check(found, rules.images, all_of="messages", most=most, network=network)


def _images(conversation: Conversation) -> list[GivenImage]:
    users = [place for place, message in _placed(conversation) if message["role"] == "user"]
    return [
        GivenImage(f"messages[{place}].content[{index}].image_url.url", image, users[-1:] == [place])
        for place, message in _placed(conversation)
        for index, image in _of(message)
    ]


def _placed(conversation: Conversation) -> Iterator[tuple[int, Message]]:
    return zip(conversation.places, conversation.messages, strict=True)


def _of(message: Message) -> list[tuple[int, dict[str, str]]]:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return [(index, part["image_url"]) for index, part in enumerate(parts) if part["type"] == "image_url"]


def _check_counts(found: Sequence[GivenImage], most_in_last: int) -> None:
    in_last = [given for given in found if given.in_last]
    if len(in_last) > most_in_last:
        reason = f"the message must hold {most_in_last} images at most ({_KEY}.maxImageParts)"
        raise in_last[most_in_last].refused(reason)
    most = max(MOST_IN_ALL, most_in_last)
    if len(found) > most:
        raise InvalidRequest(f"messages: must hold {most} images at most", param="messages")
