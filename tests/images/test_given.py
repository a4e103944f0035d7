"""Images of a request: taken when they are what they say, refused by their path when they aren't."""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import gevent
import pytest

from app.config.settings import Images
from app.errors import InvalidRequest
from app.images import decoder, given
from app.images.given import GivenImage
from app.web.network import INTERNET, Network
from tests.images.scene import TYPES, base64_of, data_url, picture
from tests.web.scene import Web, reply, sent_to, web_in

URLS = Images(allow_url=True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with web_in(tmp_path) as web:
        yield web


def asked(*urls: str) -> list[GivenImage]:
    return [GivenImage(f"images[{index}]", {"url": url}) for index, url in enumerate(urls)]


def urls_of(images: Sequence[GivenImage]) -> list[str]:
    return [each.image["url"] for each in images]


def check(images: Sequence[GivenImage], rules: Images, network: Network = INTERNET) -> None:
    given.check(images, rules, all_of="all", network=network)


def refused(
    images: Sequence[GivenImage], rules: Images = URLS, web: Web | None = None, where: str = "images[0]"
) -> str:
    """Why one is refused; the message begins with the path, which is the parameter too."""
    with pytest.raises(InvalidRequest) as error:
        check(images, rules, web.network() if web else INTERNET)
    assert error.value.param == where
    path, _, reason = error.value.message.partition(": ")
    assert path == error.value.param
    return reason


# data: URLs.


def test_what_is_taken() -> None:
    """PNG, JPEG, GIF and WebP pass as they are, animated ones too."""
    urls = [data_url(picture(name), kind) for kind, name in TYPES.items()]
    urls += [data_url(picture(TYPES[kind], frames=3), kind) for kind in TYPES if kind != "image/jpeg"]
    images = asked(*urls)
    check(images, Images())
    assert urls_of(images) == urls


def test_the_type_as_many_write_it() -> None:
    """image/jpg and capitals are brought to the registered type."""
    data = picture("JPEG")
    images = asked(data_url(data, "image/jpg"), "DATA:Image/JPEG;Base64," + base64_of(data))
    check(images, Images())
    assert urls_of(images) == [data_url(data, "image/jpeg")] * 2


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
    assert refused(asked(good, url, good), where="images[1]") == reason


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
    monkeypatch.setattr(decoder, "MAX_ALL_PIXELS", 2 * 40 * 30)
    url = data_url(picture())
    check(asked(url, url), URLS)
    reason = refused(asked(url, url, url), where="images[2]")
    assert reason == "up to here the images have more than 2,400 pixels together"


@pytest.mark.parametrize("more", [0, 1, 2, 3])
def test_the_size_of_one(more: int) -> None:
    """An image may be as large as the setting says, and not a byte larger."""
    data = picture()
    check(asked(data_url(data)), Images(max_bytes=len(data)))
    larger = data + bytes(more)
    if more:
        assert "bytes at most" in refused(asked(data_url(larger)), Images(max_bytes=len(data)))


def test_the_size_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images have a bound together too."""
    data = picture()
    monkeypatch.setattr(given, "MAX_ALL_BYTES", 2 * len(data) + 10)
    url = data_url(data)
    check(asked(url, url), URLS)
    assert "bytes together" in refused(asked(url, url, url), where="images[2]")


def test_a_larger_bound_of_the_last_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last message may hold more than all images usually may, the request may too."""
    data = picture()
    monkeypatch.setattr(given, "MAX_ALL_BYTES", len(data))
    images = [each._replace(in_last=True) for each in asked(data_url(data), data_url(data))]
    given.check(images, URLS, all_of="all", most=(2 * len(data), "key"))


# URLs of the web.


def test_urls_are_off() -> None:
    """By default nothing is fetched, and the message names the key."""
    reason = refused(asked("https://public.example/a.png"), Images())
    assert "gateway.http.endpoints.chatCompletions.images.allowUrl" in reason


def test_an_image_by_url(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of the web becomes a data: URL of its real type, fetched once however often it is there."""
    data = picture("WEBP")
    monkeypatch.setattr(given, "BLOCK", 3 * 5)
    web.answers["/a"] = reply(data, kind="application/octet-stream")
    images = asked("http://public.example/a", "http://public.example/a")
    check(images, URLS, network=web.network())
    assert urls_of(images) == [data_url(data, "image/webp")] * 2
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
        check(asked(f"http://{host}/a"), rules, network=web.network())
    else:
        assert "not among the hosts" in refused(asked(f"http://{host}/a"), rules, web)
        assert web.looked_up == []


def test_the_number_of_urls(web: Web) -> None:
    """A request has the gateway fetch sixteen images at most; it is a fault of all of them."""
    images = asked(*[f"http://public.example/{at}" for at in range(17)])
    assert refused(images, URLS, web, where="all") == "must hold 16 images by URL at most"
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
    check(asked(*[f"http://public.example/{at}" for at in range(4)]), URLS, network=web.network())
    assert arrived == 4
