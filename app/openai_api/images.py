"""Images of a conversation: where they stand in the request, and how many there may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from app.config.settings import Images
from app.errors import InvalidRequest
from app.images.given import GivenImage, check
from app.openai_api.messages import Conversation
from app.providers.images import has_images
from app.providers.stream import Message
from app.web.network import INTERNET, Network

MOST_IN_LAST = 8
# With those that a caller sends again with the conversation.
MOST_IN_ALL = 100


def resolve(conversation: Conversation, rules: Images, *, network: Network = INTERNET) -> None:
    """Check every image of a request, and turn each into a ``data:`` URL of its real type, in the messages themselves.

    Cooperative. Raises InvalidRequest with the path of the first fault, and Overloaded when the images of others take
    too long.
    """
    if not has_images(conversation.messages):
        return
    found = list(_images(conversation))
    _check_counts(conversation, found)
    check(found, rules, all_of="messages", network=network)


def _images(conversation: Conversation) -> Iterator[GivenImage]:
    for place, message in zip(conversation.places, conversation.messages, strict=True):
        for index, image in _of(message):
            yield GivenImage(f"messages[{place}].content[{index}].image_url.url", image)


def _of(message: Message) -> list[tuple[int, dict[str, str]]]:
    content = message.get("content")
    parts = content if isinstance(content, list) else ()
    return [(index, part["image_url"]) for index, part in enumerate(parts) if part["type"] == "image_url"]


def _check_counts(conversation: Conversation, found: Sequence[GivenImage]) -> None:
    for place, message in zip(reversed(conversation.places), reversed(conversation.messages), strict=True):
        if message["role"] == "user":
            if len(_of(message)) > MOST_IN_LAST:
                where = f"messages[{place}].content"
                raise InvalidRequest(f"{where}: must hold {MOST_IN_LAST} images at most", param=where)
            break
    if len(found) > MOST_IN_ALL:
        raise InvalidRequest(f"messages: must hold {MOST_IN_ALL} images at most", param="messages")
