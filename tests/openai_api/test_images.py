"""Images of a request: taken when they are what they say, refused by their path when they aren't."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import gevent
import pytest
from PIL import Image

from app.config.settings import Images
from app.errors import InvalidRequest
from app.openai_api import image_decoder
from app.openai_api import images as images_module
from app.openai_api.images import resolve
from app.openai_api.messages import Conversation, Messages
from app.providers.images import has_images, without_images
from tests.web.scene import Web, reply, sent_to, web_in

TYPES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}
URLS = Images(allow_url=True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with web_in(tmp_path) as web:
        yield web


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), frames: int = 1) -> bytes:
    """A picture with something in it, so that cutting it takes something away."""
    drawn = [Image.effect_mandelbrot(size, (-2, -1 - at, 1, 1), 50).convert("RGB") for at in range(frames)]
    written = io.BytesIO()
    drawn[0].save(written, kind, **({"save_all": True, "append_images": drawn[1:]} if frames > 1 else {}))
    return written.getvalue()


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def asked(*urls: str) -> Conversation:
    """One user message, after a system message that leaves the conversation, with a text before the images."""
    parts = [{"type": "text", "text": "look"}, *map(part, urls)]
    loaded = Messages().deserialize([{"role": "system", "content": "s"}, {"role": "user", "content": parts}])
    assert isinstance(loaded, Conversation)
    return loaded


def urls_of(conversation: Conversation) -> list[str]:
    parts = [part for message in conversation.messages for part in message["content"] if isinstance(part, dict)]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def refused(conversation: Conversation, rules: Images = URLS, web: Web | None = None, where: str | None = None) -> str:
    """Why it is refused; the message begins with the path, which is the parameter too."""
    with pytest.raises(InvalidRequest) as error:
        resolve(conversation, rules, **({"network": web.network()} if web else {}))
    assert error.value.param == (where or "messages[1].content[1].image_url.url")
    path, _, reason = error.value.message.partition(": ")
    assert path == error.value.param
    return reason


# data: URLs.


def test_what_is_taken() -> None:
    """PNG, JPEG, GIF and WebP pass as they are, animated ones too."""
    urls = [data_url(picture(name), kind) for kind, name in TYPES.items()]
    urls += [data_url(picture(TYPES[kind], frames=3), kind) for kind in TYPES if kind != "image/jpeg"]
    conversation = asked(*urls)
    resolve(conversation, Images())
    assert urls_of(conversation) == urls


def test_the_type_as_many_write_it() -> None:
    """image/jpg and capitals are brought to the registered type."""
    data = picture("JPEG")
    conversation = asked(data_url(data, "image/jpg"), "DATA:Image/JPEG;Base64," + base64.b64encode(data).decode())
    resolve(conversation, Images())
    assert urls_of(conversation) == [data_url(data, "image/jpeg")] * 2


@pytest.mark.parametrize(("said", "kind"), [*pairwise([*TYPES, "image/png"])])
def test_a_type_that_lies(said: str, kind: str) -> None:
    """An image of another type than it says is refused with both."""
    reason = refused(asked(data_url(picture(TYPES[kind]), said)))
    assert reason == f"says that it is {said}, but is {kind}"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:image/png;base64,äöü=", "is not base64: Only base64 data is allowed"),
        ("data:image/png;base64,", "is broken, or not PNG, JPEG, GIF or WebP"),
        (data_url(picture()[:200]), "is broken, cut off or too large"),
    ],
)
def test_what_is_no_image(url: str, reason: str) -> None:
    """An image that is none is named, also among good ones."""
    good = data_url(picture())
    assert refused(asked(good, url, good), where="messages[1].content[2].image_url.url") == reason


@pytest.mark.parametrize(
    "url", ["data:image/png,abc", "data:;base64,AAAA", "data:image/png;x=y;base64,AA==", "ftp://a/b", "x"]
)
def test_urls_of_another_form(url: str) -> None:
    """Only base64 data and the web are taken."""
    assert refused(asked(url)) == "must begin with data:<type>;base64, or with http:// or https://"


def test_a_type_that_is_not_allowed() -> None:
    """The setting says which types are taken; those that can't be checked never are."""
    rules = Images(allowed_mimes=("image/heic", "image/png"))
    for kind in ("image/jpeg", "image/heic", "text/html"):
        assert refused(asked(data_url(b"x", kind)), rules) == f"is {kind}, which is not taken; types are image/png"


# Bounds.


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is so large; one grey pixel of it is there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", binascii.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(10_000, 5_001), (10_000, 10_000), (60_000, 60_000)])
def test_a_bomb(size: tuple[int, int]) -> None:
    """An image of more pixels than are taken is refused by its header, before anything is unpacked."""
    assert refused(asked(data_url(png_of(*size)))) == f"has {size[0] * size[1]:,} pixels; 50,000,000 are the most"


def test_all_pixels_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images have a bound together too; the first beyond it is named."""
    monkeypatch.setattr(image_decoder, "MAX_ALL_PIXELS", 2 * 40 * 30)
    url = data_url(picture())
    resolve(asked(url, url), URLS)
    reason = refused(asked(url, url, url), where="messages[1].content[3].image_url.url")
    assert reason == "up to here the images have more than 2,400 pixels together"


@pytest.mark.parametrize("more", [0, 1, 2, 3])
def test_the_size_of_one(more: int) -> None:
    """An image may be as large as the setting says, and not a byte larger."""
    data = picture()
    resolve(asked(data_url(data)), Images(max_bytes=len(data)))
    larger = data + bytes(more)
    if more:
        assert "bytes at most" in refused(asked(data_url(larger)), Images(max_bytes=len(data)))


def test_the_size_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images have a bound together too."""
    data = picture()
    monkeypatch.setattr(images_module, "MAX_ALL_BYTES", 2 * len(data) + 10)
    url = data_url(data)
    resolve(asked(url, url), URLS)
    assert "bytes together" in refused(asked(url, url, url), where="messages[1].content[3].image_url.url")


def test_the_number_in_the_last_user_message() -> None:
    """Eight images may be asked about; those of earlier messages don't count."""
    url = data_url(picture())
    resolve(asked(*[url] * 8), URLS)
    assert refused(asked(*[url] * 9), where="messages[1].content") == "must hold 8 images at most"
    earlier = {"role": "user", "content": [part(url)] * 9}
    loaded: Any = Messages().deserialize([earlier, {"role": "user", "content": [part(url)] * 8}])
    resolve(loaded, URLS)


def test_the_number_in_all() -> None:
    """A conversation that is sent again may hold a hundred."""
    message = {"role": "tool", "tool_call_id": "c", "content": [part(data_url(picture(size=(2, 2))))] * 50}
    resolve(loaded(message, message), URLS)
    assert refused(loaded(message, message, message), where="messages") == "must hold 100 images at most"


def loaded(*messages: Any) -> Conversation:
    result = Messages().deserialize(list(messages))
    assert isinstance(result, Conversation)
    return result


# URLs of the web.


def test_urls_are_off() -> None:
    """By default nothing is fetched, and the message names the key."""
    reason = refused(asked("https://public.example/a.png"), Images())
    assert "gateway.http.endpoints.chatCompletions.images.allowUrl" in reason


def test_an_image_by_url(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of the web becomes a data: URL of its real type, fetched once however often it is there."""
    data = picture("WEBP")
    monkeypatch.setattr(images_module, "BLOCK", 3 * 5)
    web.answers["/a"] = reply(data, kind="application/octet-stream")
    conversation = asked("http://public.example/a", "http://public.example/a")
    resolve(conversation, URLS, network=web.network())
    assert urls_of(conversation) == [data_url(data, "image/webp")] * 2
    assert len(web.requests) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://inside.example/a", "inside.example resolves to an address that is not public"),
        ("http://127.0.0.1/a", "127.0.0.1 resolves to an address that is not public"),
        ("http://public.example/to-inside", "169.254.169.254 resolves to an address that is not public"),
        ("http://public.example/none", "the server answers 404"),
        ("http://public.example/page", "is broken, or not PNG, JPEG, GIF or WebP"),
        ("http://public.example/large", "must hold 5,000 bytes at most"),
        ("http://public.example/gif", "is image/gif, which is not taken; types are image/png"),
        ("http://public.example/circle", "redirects more than 1 times"),
    ],
)
def test_urls_that_give_no_image(web: Web, url: str, reason: str) -> None:
    """What is not public, not there, no image, too large or not allowed is refused at its path."""
    web.names["inside.example"] = ["10.0.0.1"]
    web.answers |= {
        "/to-inside": sent_to("http://169.254.169.254/"),
        "/page": reply(b"<p>hello", kind="image/png"),
        "/large": reply(picture(size=(200, 200)) + bytes(5000)),
        "/gif": reply(picture("GIF"), kind="image/png"),
        "/circle": sent_to("/circle"),
    }
    rules = Images(allow_url=True, max_bytes=5000, max_redirects=1, allowed_mimes=("image/png",))
    assert reason in refused(asked(url), rules, web)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("example.com", True),
        ("EXAMPLE.com.", True),
        ("a.example.com", False),
        ("img.example.net", True),
        ("a.b.example.net", True),
        ("example.net", False),
        ("badexample.net", False),
        ("example.com.evil.org", False),
    ],
)
def test_the_list_of_hosts(web: Web, host: str, allowed: bool) -> None:
    """A name in the list is that host, a wildcard every host below; nothing else is asked for."""
    for name in (host.lower().removesuffix("."), host):
        web.names[name] = ["8.8.8.8"]
    web.answers["/a"] = reply(picture())
    rules = Images(allow_url=True, url_allowlist=("Example.com", "*.example.net"))
    if allowed:
        resolve(asked(f"http://{host}/a"), rules, network=web.network())
    else:
        assert "not among the hosts" in refused(asked(f"http://{host}/a"), rules, web)
        assert web.looked_up == []


def test_the_number_of_urls(web: Web) -> None:
    """A request has the gateway fetch sixteen images at most."""
    messages = [
        {"role": "tool", "tool_call_id": "c", "content": [part(f"http://public.example/{at}")]} for at in range(17)
    ]
    assert refused(loaded(*messages), URLS, web, where="messages") == "must hold 16 images by URL at most"
    assert web.requests == []


def test_urls_are_fetched_beside_each_other(web: Web) -> None:
    """Four at once; the first fault in the request's order is told."""
    arrived = 0
    all_here = gevent.event.Event()

    def answer() -> Iterator[bytes]:
        nonlocal arrived
        arrived += 1
        if arrived == 4:
            all_here.set()
        assert all_here.wait(10)
        yield reply(picture())

    web.answers |= {f"/{at}": answer for at in range(4)}
    resolve(asked(*[f"http://public.example/{at}" for at in range(4)]), URLS, network=web.network())
    assert arrived == 4


# The rest of the gateway.


def test_nothing_is_decoded_here() -> None:
    """The gateway itself never loads a decoder, also when it sees images."""
    program = (
        "import sys; import app.openai_api.images as images; from app.config.settings import Images;"
        "from app.openai_api.messages import Messages;"
        "part = {'type': 'image_url', 'image_url': {'url': sys.argv[1]}};"
        "images.resolve(Messages().deserialize([{'role': 'user', 'content': [part]}]), Images());"
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
