"""Attachments of messages: images and text files reach the model, everything else is refused by its path."""

from __future__ import annotations

from typing import Any

import pytest

from app import text_files
from app.config.settings import Images
from app.errors import InvalidRequest
from app.gateway_ws.attachments import MAX_CHARACTERS, MOST, Attachments
from tests.conftest import StartGateway
from tests.gateway_ws.client import Refused, connected
from tests.images.scene import TYPES, base64_of, data_url, picture
from tests.live.gateway import Gateway
from tests.scripted import Reply, ScriptedProvider


def image(data: bytes, kind: str | None = "image/png", **more: Any) -> dict[str, Any]:
    return {"type": "image", "mimeType": kind, "content": base64_of(data), **more}


def file(text: str | bytes, name: str | None = "a.txt", kind: str | None = "text/plain") -> dict[str, Any]:
    data = text.encode() if isinstance(text, str) else text
    return {"type": "file", "mimeType": kind, "fileName": name, "content": base64_of(data)}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def shown(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def content(*given: dict[str, Any], message: str = "look") -> Any:
    return Attachments(given, Images()).content(message)


def refused(given: Any, rules: Images | None = None, field: str = "content") -> str:
    """Why the second of three is refused; the message begins with its path, which is the parameter too."""
    good = file("a")
    with pytest.raises(InvalidRequest) as error:
        Attachments([good, given, good], rules or Images())
    assert error.value.param == f"attachments[1].{field}"
    path, _, reason = error.value.message.partition(": ")
    assert path == error.value.param
    return reason


# What they become.


def test_a_message_alone() -> None:
    """Without attachments the content is the message as it is."""
    files = Attachments([], Images())
    assert files.content(" hi ") == " hi "
    assert files.preparation({"role": "user", "content": " hi "}) is None


def test_text_and_images_in_their_order() -> None:
    """The message comes first, then each attachment in its place: files as text with their names, images as URLs."""
    png, gif = picture(), picture("GIF")
    assert content(image(png), file("x = 1\n", "a.py"), image(gif, "image/gif")) == [
        said("look"),
        shown(data_url(png)),
        said("[Attached file a.py]\nx = 1\n"),
        shown(data_url(gif, "image/gif")),
    ]


def test_attachments_without_words() -> None:
    """A message of white space is no part: there are providers that refuse it."""
    assert content(file("a"), message=" \n") == [said("[Attached file a.txt]\na")]


def test_a_data_url() -> None:
    """Content may be a data: URL, whose type counts for more than the one beside it."""
    png = picture()
    assert content({"mimeType": "text/plain", "content": data_url(png)}) == [said("look"), shown(data_url(png))]
    text = {"content": "DATA:text/plain;charset=utf-8;BASE64," + base64_of(b"hi"), "fileName": "a"}
    assert content(text) == [said("look"), said("[Attached file a]\nhi")]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("told", [None, "application/octet-stream", "nonsense"])
def test_an_image_that_nobody_named(kind: str, told: str | None) -> None:
    """Where no type is told, an image is known by how it begins."""
    data = picture(TYPES[kind])
    assert content(image(data, told)) == [said("look"), shown(data_url(data, kind))]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (None, "text/x-anything"),
        (None, "Text/HTML; charset=utf-8"),
        (None, "application/json"),
        (None, "application/ld+json"),
        (None, "application/x-ndjson"),
        ("notes.MD", None),
        ("notes.md", "application/octet-stream"),
        ("index.ts", "video/mp2t"),
        ("Dockerfile", None),
        (".gitignore", ""),
    ],
)
def test_what_is_text(name: str | None, kind: str | None) -> None:
    """A file is text by its type, or by its name when the type is not known or not right."""
    assert content(file("ä\n", name, kind))[1]["text"].endswith("]\nä\n")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (None, "2"),
        ("", "2"),
        ("/home/a/b.txt", "b.txt"),
        ("C:\\a\\b c.txt", "b c.txt"),
        ("a]\n[Attached file b\u2028.txt", "aAttached file b.txt"),
        ("x" * 1000 + ".txt", "x" * 196 + ".txt"),
    ],
    ids=["absent", "empty", "path", "windows", "forged", "long"],
)
def test_the_name_of_a_file(name: str | None, told: str) -> None:
    """A name is one short line without folder or brackets; a file without one has its number."""
    assert content(file("b"), file("a", name))[2] == said(f"[Attached file {told}]\na")


def test_a_byte_order_mark() -> None:
    """The mark that some editors write before UTF-8 is none of the text."""
    assert content(file(b"\xef\xbb\xbfa"))[1] == said("[Attached file a.txt]\na")


# What is refused.


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "must be a string, the file in base64"),
        ({"content": None}, "must be a string, the file in base64"),
        ({"content": {"data": "AAAA"}}, "must be a string, the file in base64"),
        ({"content": " "}, "must not be empty"),
        ({"content": "data:text/plain;base64,"}, "must not be empty"),
        ({"content": "data:text/plain,hello"}, "must be in base64: data:<type>;base64,"),
        ({"content": "data:"}, "must be in base64: data:<type>;base64,"),
    ],
)
def test_no_content(given: dict[str, Any], reason: str) -> None:
    """An attachment without its file is refused, whatever it says of it."""
    assert refused({"mimeType": "text/plain", "fileName": "a.txt", "sizeBytes": 5, **given}) == reason


@pytest.mark.parametrize("kind", ["text/plain", "image/png"])
@pytest.mark.parametrize("block", [4, 256 * 1024])
@pytest.mark.parametrize(
    "encoded",
    ["a", "ab", "abc", "abcde", "a===", "====", "ab=c", "ab==cd==", "ab c", "aa\naa", "ab-_", "äöüß", "\ud800aaa"],
    ids=ascii,
)
def test_bad_base64(monkeypatch: pytest.MonkeyPatch, kind: str, block: int, encoded: str) -> None:
    """Base64 is strict: padded, without breaks, its own alphabet, wherever the fault stands."""
    monkeypatch.setattr(text_files, "BLOCK", block)
    assert refused({"mimeType": kind, "content": encoded}).startswith("is not base64: ")
    assert refused({"mimeType": kind, "content": f"AAAAAAAA{encoded}"}).startswith("is not base64: ")


@pytest.mark.parametrize(
    "kind", ["application/pdf", "audio/mpeg", "video/mp4", "application/zip", "application/vnd.ms-excel"]
)
def test_kinds_that_are_not_taken(kind: str) -> None:
    """Documents, audio and video are refused with what is taken instead."""
    images = "image/png, image/jpeg, image/gif, image/webp"
    assert refused(file(b"x", "a.bin", kind)) == f"is {kind}, which is not taken; images ({images}) and text files are"


@pytest.mark.parametrize("kind", [None, "", "application/octet-stream", "x", "a" * 1000 + "/b"], ids=range(5))
def test_a_kind_that_nobody_knows(kind: str | None) -> None:
    """A file whose kind neither type nor name nor beginning tell is not taken for text."""
    assert refused(file(b"x", "a.bin", kind)).startswith("is of unknown type, which is not taken; ")
    assert refused(file(b"x", None, kind)).startswith("is of unknown type, which is not taken; ")


@pytest.mark.parametrize("kind", ["image/svg+xml", "image/heic", "image/gif"])
def test_images_that_are_not_taken(kind: str) -> None:
    """The settings for images count here too."""
    rules = Images(allowed_mimes=("image/png",))
    assert refused(image(b"x", kind), rules) == f"is {kind}, which is not taken; types are image/png"


def test_the_size_of_an_image() -> None:
    """An image may be as large as the setting says, and not a byte larger."""
    data = picture()
    Attachments([image(data)], Images(max_bytes=len(data)))
    assert refused(image(data), Images(max_bytes=len(data) - 1)).startswith(
        f"must hold {len(data) - 1:,} bytes at most"
    )


@pytest.mark.parametrize("letter", ["a", "\N{GRINNING FACE}"], ids=["short", "long"])
def test_the_size_of_a_text(letter: str) -> None:
    """A text file may have 200,000 characters, however many bytes they take, and not one more."""
    assert content(file(letter * MAX_CHARACTERS))[1]["text"].endswith(f"]\n{letter * MAX_CHARACTERS}")
    for more in (1, MAX_CHARACTERS):
        assert refused(file(letter * (MAX_CHARACTERS + more))) == "must have 200,000 characters at most"


@pytest.mark.parametrize("data", [b"\xff\xfea\0", b"caf\xe9", picture()], ids=["utf-16", "latin-1", "image"])
def test_text_that_is_none(data: bytes) -> None:
    """A text file is UTF-8."""
    assert refused(file(data)) == "is no text in UTF-8"


@pytest.mark.parametrize("field", ["mimeType", "fileName"])
def test_fields_of_another_type(field: str) -> None:
    """What a file is called is a string."""
    assert refused({**file("a"), field: 1}, field=field) == "must be a string"


def test_how_many() -> None:
    """A message has eight attachments at most."""
    assert len(content(*[file("a")] * MOST)) == 1 + MOST
    with pytest.raises(InvalidRequest) as error:
        content(*[file("a")] * (MOST + 1))
    assert error.value.message == "attachments: must hold 8 at most"
    assert error.value.param == "attachments"


# Looking into images.


def prepared(*given: dict[str, Any]) -> Any:
    files = Attachments(given, Images())
    message: dict[str, Any] = {"role": "user", "content": files.content("look")}
    prepare = files.preparation(message)
    assert prepare is not None
    prepare()
    return message["content"]


def test_images_are_prepared_in_place() -> None:
    """The message that a run was given has each image under its registered type, and its texts as they were."""
    jpeg = picture("JPEG")
    assert prepared(file("a"), image(jpeg, "image/jpg")) == [
        said("look"),
        said("[Attached file a.txt]\na"),
        shown(data_url(jpeg, "image/jpeg")),
    ]


def test_text_needs_no_preparation() -> None:
    """Text files are ready as they are."""
    files = Attachments([file("a")], Images())
    assert files.preparation({"role": "user", "content": files.content("look")}) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (picture("GIF"), "says that it is image/png, but is image/gif"),
        (picture()[:200], "is broken, cut off or too large"),
    ],
    ids=["lies", "broken"],
)
def test_an_image_that_is_none(data: bytes, reason: str) -> None:
    """The image that is not what it says is named by its place among all attachments."""
    with pytest.raises(InvalidRequest) as error:
        prepared(image(picture()), file("a"), image(data))
    assert error.value.message == f"attachments[2].content: {reason}"
    assert error.value.param == "attachments[2].content"


# From the socket to the provider.


SEEING = {"models": {"providers": {"scripted": {"models": [{"id": "m", "input": ["text", "image"]}]}}}}


def test_a_model_gets_what_was_attached(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """chat.send brings images and files to the model with the message, which remembers them in the session."""
    provider.enqueue(Reply("Seen."), Reply("Still."))
    png = picture()
    with connected(start_gateway(**SEEING)) as client:
        for run, given in (("one", [image(png), file("x = 1", "a.py")]), ("two", [])):
            params = {"sessionKey": "eye", "message": run, "idempotencyKey": run, "attachments": given}
            assert client.call("chat.send", params)["status"] == "started"
            client.event("chat", runId=run, state="final")
    sent = [said("one"), shown(data_url(png)), said("[Attached file a.py]\nx = 1")]
    assert provider.requests[0].body["messages"][-1]["content"] == sent
    assert sent in [message["content"] for message in provider.requests[1].body["messages"]]


def test_an_attachment_that_is_refused(gateway: Gateway, provider: ScriptedProvider) -> None:
    """What can be said at once is the answer of chat.send, and no run begins."""
    given = [file("a"), file(b"%PDF-1.7", "a.pdf", "application/pdf")]
    params = {"sessionKey": "main", "message": "look", "idempotencyKey": "one", "attachments": given}
    with (
        connected(gateway) as client,
        pytest.raises(Refused, match=r"attachments\[1\]\.content: is application/pdf") as refusal,
    ):
        client.call("chat.send", params)
    assert refusal.value.code == "INVALID_REQUEST"
    assert provider.requests == []


def test_an_image_that_lies(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """What only decoding tells ends the run with an error that names the attachment."""
    params = {"sessionKey": "eye", "message": "", "idempotencyKey": "one", "attachments": [image(picture("GIF"))]}
    with connected(start_gateway(**SEEING)) as client:
        assert client.call("chat.send", params)["status"] == "started"
        told = client.event("chat", runId="one", state="error")["payload"]["errorMessage"]
    assert told == "attachments[0].content: says that it is image/png, but is image/gif"
    assert provider.requests == []
