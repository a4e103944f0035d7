"""Images of a conversation: found wherever they may stand, counted, and named by their path when they are refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import ChatCompletions, Images
from app.errors import InvalidRequest
from app.openai_api.images import resolve
from app.openai_api.messages import Conversation, Messages
from app.providers.images import has_images, without_images
from tests.images.scene import data_url, picture
from tests.web.scene import Web, reply, web_in

KEY = "gateway.http.endpoints.chatCompletions"
URLS = ChatCompletions(images=Images(allow_url=True))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with web_in(tmp_path) as web:
        yield web


def part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def asked(*urls: str) -> Conversation:
    """One user message, after a system message that leaves the conversation, with a text before the images."""
    parts = [{"type": "text", "text": "look"}, *map(part, urls)]
    return loaded({"role": "system", "content": "s"}, {"role": "user", "content": parts})


def loaded(*messages: Any) -> Conversation:
    result = Messages().deserialize(list(messages))
    assert isinstance(result, Conversation)
    return result


def refused(conversation: Conversation, rules: ChatCompletions = URLS, web: Web | None = None, *, where: str) -> str:
    """Why it is refused; the message begins with the path, which is the parameter too."""
    with pytest.raises(InvalidRequest) as error:
        resolve(conversation, rules, **({"network": web.network()} if web else {}))
    assert error.value.param == where
    path, _, reason = error.value.message.partition(": ")
    assert path == error.value.param
    return reason


# Where they stand.


def test_images_of_all_messages(web: Web) -> None:
    """Each image of a request becomes a data: URL of its real type in the message where it stands; texts stay."""
    data, fetched = picture("JPEG"), picture("WEBP")
    web.answers["/a"] = reply(fetched)
    conversation = loaded(
        {"role": "user", "content": [part(data_url(data, "image/jpg")), {"type": "text", "text": "a"}]},
        {
            "role": "tool",
            "tool_call_id": "c",
            "content": [{"type": "text", "text": "b"}, part("http://public.example/a")],
        },
        {"role": "user", "content": "c"},
    )
    resolve(conversation, URLS, network=web.network())
    assert [message["content"] for message in conversation.messages] == [
        [part(data_url(data, "image/jpeg")), {"type": "text", "text": "a"}],
        [{"type": "text", "text": "b"}, part(data_url(fetched, "image/webp"))],
        "c",
    ]


@pytest.mark.parametrize("url", ["x", "http://127.0.0.1/a", "data:image/png;base64,AAAA"], ids=["form", "web", "data"])
def test_the_path_of_a_fault(web: Web, url: str) -> None:
    """The one at fault is named as it stands in the request, whatever was wrong, also among good ones."""
    good = data_url(picture())
    refused(asked(good, url, good), web=web, where="messages[1].content[2].image_url.url")


# How many there may be.


def test_the_number_in_the_last_user_message() -> None:
    """Eight images may be asked about; those of earlier messages don't count."""
    url = data_url(picture())
    resolve(asked(*[url] * 8), URLS)
    reason = refused(asked(*[url] * 9), where="messages[1].content[9].image_url.url")
    assert reason == f"the message must hold 8 images at most ({KEY}.maxImageParts)"
    earlier = {"role": "user", "content": [part(url)] * 9}
    resolve(loaded(earlier, {"role": "user", "content": [part(url)] * 8}), URLS)


@pytest.mark.parametrize("most", [0, 1, 2, 9])
def test_the_number_that_the_operator_sets(most: int) -> None:
    """So many images may be asked about and not one more, fewer than usual or more, and the first too many is named."""
    rules, url = ChatCompletions(max_image_parts=most), data_url(picture(size=(2, 2)))
    resolve(asked(*[url] * most), rules)
    reason = refused(asked(*[url] * (most + 1)), rules, where=f"messages[1].content[{most + 1}].image_url.url")
    assert reason == f"the message must hold {most} images at most ({KEY}.maxImageParts)"


def test_the_number_in_other_messages() -> None:
    """The operator's number is for the last message of the user, whatever the conversation holds before and after."""
    url = data_url(picture(size=(2, 2)))
    others = {"role": "user", "content": [part(url)] * 3}, {"role": "user", "content": [part(url)]}
    tool = {"role": "tool", "tool_call_id": "c", "content": [part(url)] * 3}
    resolve(loaded(*others, tool), ChatCompletions(max_image_parts=1))


def test_the_bytes_in_the_last_user_message() -> None:
    """So many decoded bytes together as the operator sets, to the byte; those of other messages don't count."""
    data = picture()
    url = data_url(data)
    resolve(asked(url, url), ChatCompletions(max_total_image_bytes=2 * len(data)))
    less = ChatCompletions(max_total_image_bytes=2 * len(data) - 1)
    reason = refused(asked(url, url), less, where="messages[1].content[2].image_url.url")
    limit = f"more than {2 * len(data) - 1:,} bytes together ({KEY}.maxTotalImageBytes)"
    assert reason == f"up to here the message's images hold {limit}"
    earlier, tool = {"role": "user", "content": [part(url)] * 3}, {"role": "tool", "tool_call_id": "c", "content": []}
    tool["content"] = [part(url)] * 3
    resolve(loaded(earlier, {"role": "user", "content": [part(url)]}, tool), less)


def test_the_bytes_of_images_by_url(web: Web) -> None:
    """What was fetched counts too."""
    data = picture("WEBP")
    web.answers["/a"] = reply(data)
    rules = ChatCompletions(images=Images(allow_url=True), max_total_image_bytes=2 * len(data) - 1)
    url = "http://public.example/a"
    resolve(asked(url), rules, network=web.network())
    assert "bytes together" in refused(asked(url, url), rules, web, where="messages[1].content[2].image_url.url")


def test_the_number_in_all() -> None:
    """A conversation that is sent again may hold a hundred."""
    message = {"role": "tool", "tool_call_id": "c", "content": [part(data_url(picture(size=(2, 2))))] * 50}
    resolve(loaded(message, message), URLS)
    assert refused(loaded(message, message, message), where="messages") == "must hold 100 images at most"


def test_the_number_of_urls(web: Web) -> None:
    """A request has the gateway fetch sixteen images at most."""
    messages = [
        {"role": "tool", "tool_call_id": "c", "content": [part(f"http://public.example/{at}")]} for at in range(17)
    ]
    assert refused(loaded(*messages), URLS, web, where="messages") == "must hold 16 images by URL at most"
    assert web.requests == []


# The rest of the gateway.


def test_nothing_is_decoded_here() -> None:
    """The gateway itself never loads a decoder, also when it sees images."""
    program = (
        "import sys; import app.openai_api.images as images; from app.config.settings import ChatCompletions;"
        "from app.openai_api.messages import Messages;"
        "part = {'type': 'image_url', 'image_url': {'url': sys.argv[1]}};"
        "images.resolve(Messages().deserialize([{'role': 'user', 'content': [part]}]), ChatCompletions());"
        "sys.exit('PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, data_url(picture())], timeout=30).returncode == 0


def test_whether_there_are_images() -> None:
    """Only image parts count."""
    text = {"role": "user", "content": [{"type": "text", "text": "image_url"}]}
    assert not has_images([])
    assert not has_images([{"role": "user", "content": "a"}, text, {"role": "assistant", "content": None}])
    assert has_images([text, {"role": "user", "content": [part("x")]}])


def test_a_message_for_who_can_not_see() -> None:
    """Each image becomes a word; the message that was given stays as it is, and one without images is itself."""
    text = {"type": "text", "text": "a"}
    message = {"role": "user", "name": "n", "content": [text, part("x"), part("y")]}
    word = {"type": "text", "text": "[image]"}
    assert without_images(message) == {"role": "user", "name": "n", "content": [text, word, word]}
    assert message["content"] == [text, part("x"), part("y")]
    for plain in (
        {"role": "user", "content": "a"},
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": None},
    ):
        assert without_images(plain) is plain
