"""Reading a body: what counts as JSON, and where the limit is."""

from __future__ import annotations

import gzip
import json
from io import BytesIO
from typing import Any

import pytest
from gunicorn.http.errors import ChunkMissingTerminator
from werkzeug.test import EnvironBuilder

from app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType
from app.http.body import read_json


class Unreadable(BytesIO):
    """A body that nobody may read."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("the body was read")

    readinto = readline = read  # type: ignore[assignment]


def request(
    body: bytes | BytesIO = b"{}", content_type: str = "application/json", *, length: int | None = -1
) -> dict[str, Any]:
    """A request's environ; without a length its end is known by itself, as a chunked one's."""
    stream = BytesIO(body) if isinstance(body, bytes) else body
    environ = EnvironBuilder(method="POST", content_type=content_type, input_stream=stream).get_environ()
    environ.pop("CONTENT_LENGTH", None)
    if length is None:
        environ["wsgi.input_terminated"] = True
    else:
        environ["CONTENT_LENGTH"] = str(length if length >= 0 else len(stream.getvalue()))
    return environ


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.api+json",
        "application/problem+json",
    ],
)
def test_what_is_json_by_its_type(content_type: str) -> None:
    """JSON and every type built on it, whatever the case and the parameters."""
    assert read_json(request(b'{"a":1}', content_type), 100, 5) == {"a": 1}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/json",
        "image/svg+json",
        "json",
        "application/jsonp",
    ],
)
def test_what_is_not(content_type: str) -> None:
    """Whatever a page of another site can send without asking is refused, unread."""
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        read_json(request(Unreadable(), content_type, length=2), 100, 5)


@pytest.mark.parametrize("length", [-1, None])
def test_the_limit_belongs_to_what_is_allowed(length: int | None) -> None:
    """A body of exactly the limit passes, one byte more doesn't, whether its length is told or not."""
    body = b'{"a":"%b"}' % (b"x" * 92)
    assert len(body) == 100
    assert read_json(request(body, length=length), 100, 5)
    with pytest.raises(BodyTooLarge, match="100 bytes"):
        read_json(request(body + b" ", length=length), 100, 5)


def test_a_body_that_is_told_too_large_is_not_read() -> None:
    """The length alone is enough."""
    with pytest.raises(BodyTooLarge):
        read_json(request(Unreadable(), length=101), 100, 5)


def test_a_body_that_ends_early() -> None:
    """Fewer bytes than were told is the client's fault."""
    with pytest.raises(InvalidRequest, match="ended early"):
        read_json(request(b'{"a":', length=50), 100, 5)


def test_a_malformed_chunk() -> None:
    """What gunicorn finds wrong with the body while it is read is a bad request."""

    class Malformed(BytesIO):
        def read(self, *_: Any) -> bytes:
            raise ChunkMissingTerminator(b"zz")

        readinto = readline = read  # type: ignore[assignment]

    with pytest.raises(InvalidRequest, match="malformed request body"):
        read_json(request(Malformed(), length=None), 100, 5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a":NaN}',
        b"{'a':1}",
        b'{"a":1,}',
        b"\xff",
        b'{"a":"\\ud800","b":NaN}',
        b'{"a":"\\ud80"}',
        b"[" * 100_000,
        b'{"a":1}{',
    ],
    ids=lambda body: body[:10].decode(errors="replace"),
)
def test_malformed_json(body: bytes) -> None:
    """Whatever can't be read is a bad request that says so."""
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        read_json(request(body), 1_000_000, 5)


@pytest.mark.parametrize(("body", "where"), [(b"\xff", "0xff at 0"), (b'{"a":"\xed\xa0\xbd"}', "0xed at 6")])
def test_bytes_that_are_no_utf8(body: bytes, where: str) -> None:
    """They are named, not guessed at."""
    with pytest.raises(InvalidRequest, match=where):
        read_json(request(body), 100, 5)


def test_half_an_emoji() -> None:
    """A text that was cut in the middle of a pair costs that character, not the request."""
    body = b'{"a":"cut \\ud83d","\\ude00":["\\ud83d\\ude00"]}'
    assert read_json(request(body), 100, 5) == {"a": "cut \ufffd", "\ufffd": ["\U0001f600"]}


@pytest.mark.parametrize("value", [None, True, 5, "a", [], [{}]])
def test_other_json_than_an_object(value: Any) -> None:
    """A body is an object."""
    with pytest.raises(InvalidRequest, match="JSON object"):
        read_json(request(json.dumps(value).encode()), 100, 5)


def test_text_of_every_kind() -> None:
    """Emoji, NUL and long numbers are read as they are written."""
    assert read_json(request('{"a":"\U0001f600\\u0000","b":9007199254740993}'.encode()), 100, 5) == {
        "a": "\U0001f600\x00",
        "b": 9007199254740993,
    }


# Packed bodies.


def packed_request(body: bytes, coding: str, *, length: int | None = -1) -> dict[str, Any]:
    return request(body, length=length) | {"HTTP_CONTENT_ENCODING": coding}


@pytest.mark.parametrize("length", [-1, None])
def test_a_packed_body(length: int | None) -> None:
    """It is read as what it was before, whether its length is told or not."""
    assert read_json(packed_request(gzip.compress(b'{"a":1}'), "gzip", length=length), 100, 5) == {"a": 1}


@pytest.mark.parametrize("coding", ["", "identity", " Identity , "])
def test_a_body_that_says_that_it_is_not_packed(coding: str) -> None:
    """It is read as it is."""
    assert read_json(packed_request(b"{}", coding), 100, 5) == {}


def test_an_unknown_coding_is_refused_unread() -> None:
    """The answer names it, and what may be sent, in the header that is meant for it."""
    with pytest.raises(UnsupportedMediaType, match="'br'") as refused:
        read_json(packed_request(b"", "br") | {"wsgi.input": Unreadable()}, 100, 5)
    assert refused.value.headers == {"Accept-Encoding": "gzip, deflate, identity"}


def test_the_limit_is_for_what_was_packed() -> None:
    """As many bytes as are allowed may come out, and not one more."""
    body = b'{"a":"%b"}' % (b"x" * 92)
    assert read_json(packed_request(gzip.compress(body), "gzip"), 100, 5)
    with pytest.raises(BodyTooLarge, match="100 bytes"):
        read_json(packed_request(gzip.compress(body + b" "), "gzip"), 100, 5)
