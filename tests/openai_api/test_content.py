"""Parts of content in the forms of other APIs, and files that are text."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from marshmallow import ValidationError

from app.http.fields import first_fault
from app.openai_api.content import MAX_FILE, content_of


def content(*parts: Any, shows: bool = True) -> Any:
    return content_of({"content": list(parts)}, shows=shows)


def refusal(part: Any, *, shows: bool = True) -> tuple[str, str]:
    """The path below the part, and the reason."""
    with pytest.raises(ValidationError) as refused:
        content({"type": "text", "text": "a"}, part, shows=shows)
    path, reason = first_fault(refused.value.messages)
    assert path.startswith("content[1]")
    return path.removeprefix("content[1]"), reason


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def encoded(data: bytes | str) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def data_url(data: bytes | str, kind: str = "text/plain") -> str:
    return f"data:{kind};base64,{encoded(data)}"


def file(data: Any, name: Any = "notes.txt", **more: Any) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, "filename": name, **more}}


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text"])
@pytest.mark.parametrize("shows", [False, True])
def test_texts_of_both_apis(kind: str, shows: bool) -> None:
    """They are the same, in every role, whatever else stands beside the text."""
    assert content({"type": kind, "text": "a", "annotations": [], "logprobs": None}, shows=shows) == [text("a")]


@pytest.mark.parametrize(
    ("part", "image"),
    [
        ({"image_url": "data:x"}, {"url": "data:x"}),
        ({"image_url": "data:x", "detail": "high", "file_id": None}, {"url": "data:x", "detail": "high"}),
        ({"image_url": "data:x", "detail": None}, {"url": "data:x"}),
        ({"image_url": {"url": "data:x"}}, {"url": "data:x"}),
    ],
)
def test_an_image_of_the_responses_api(part: Any, image: Any) -> None:
    """Its URL stands in it as it is, the detail beside it."""
    assert content({"type": "input_image", **part}) == [{"type": "image_url", "image_url": image}]


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({}, ".image_url"),
        ({"image_url": 5}, ".image_url"),
        ({"image_url": "data:x", "detail": "huge"}, ".image_url.detail"),
        ({"file_id": "file-1"}, ".file_id"),
    ],
)
def test_an_image_that_is_none(part: Any, path: str) -> None:
    """The fault stands where it is, and a kept file is told that there is none."""
    assert refusal({"type": "input_image", **part})[0] == path


@pytest.mark.parametrize(
    ("data", "name", "shown"),
    [
        (data_url("hi"), "notes.txt", "[Attached file notes.txt]\nhi"),
        (data_url("hi"), None, "[Attached file 1]\nhi"),
        (data_url("# é", "text/markdown; charset=utf-8"), "", "[Attached file 1]\n# é"),
        (data_url("{}", "application/json"), "a.json", "[Attached file a.json]\n{}"),
        (data_url("a,b", "application/octet-stream"), "a.csv", "[Attached file a.csv]\na,b"),
        (encoded("\ufeffa,b"), "../x/[a].csv", "[Attached file a.csv]\na,b"),
    ],
)
def test_a_text_file_is_text(data: str, name: str | None, shown: str) -> None:
    """By its type or its name; the model reads what it is called, and what it says."""
    assert content(file(data, name, file_id=None)) == [text(shown)]
    assert content({"type": "input_file", "file_data": data, "filename": name, "file_url": None}) == [text(shown)]


def test_how_large_a_file_may_be() -> None:
    """A megabyte of text."""
    assert content(file(data_url("x" * MAX_FILE)))
    assert refusal(file(data_url("x" * (MAX_FILE + 1)))) == (
        ".file.file_data", "must have 1,048,576 characters at most",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("part", "path", "reason"),
    [
        (file(data_url("%PDF", "application/pdf"), "a.pdf"), ".file.file_data", "is application/pdf"),
        (file(data_url(b"\x89PNG", "image/png"), "a"), ".file.file_data", "is image/png"),
        (file(encoded("hi"), None), ".file.file_data", "is of unknown type"),
        (file(data_url(b"\xff\xfe")), ".file.file_data", "UTF-8"),
        (file("data:text/plain,hi"), ".file.file_data", "must be in base64"),
        (file("data:text/plain;base64,h!=="), ".file.file_data", "not base64"),
        (file(""), ".file.file_data", "must not be empty"),
        (file(None), ".file.file_data", "must be a string"),
        (file(None, file_id="file-1"), ".file.file_id", "send it in file_data"),
        (file(data_url("hi"), 5), ".file.filename", "must be a string"),
        ({"type": "file"}, ".file", "must be an object"),
        ({"type": "file", "file": "hi"}, ".file", "must be an object"),
        ({"type": "input_file", "file_url": "https://a/b"}, ".file_url", "send it in file_data"),
        ({"type": "input_file", "file_id": "file-1"}, ".file_id", "send it in file_data"),
    ],
)
def test_a_file_that_is_not_taken(part: Any, path: str, reason: str) -> None:
    """The path leads to what is wrong, and the reason says what to do."""
    found, said = refusal(part)
    assert found == path
    assert reason in said


@pytest.mark.parametrize("kind", ["file", "input_file", "image_url", "input_image"])
def test_who_can_not_show(kind: str) -> None:
    """The assistant and the system speak; they show nothing."""
    assert "user and tool alone" in refusal({"type": kind}, shows=False)[1]


@pytest.mark.parametrize("kind", ["input_audio", "audio", "video_url", "input_video"])
@pytest.mark.parametrize("shows", [False, True])
def test_what_nobody_hears_or_sees(kind: str, shows: bool) -> None:
    """Sound and moving pictures are refused with what to send instead."""
    assert "send" in refusal({"type": kind}, shows=shows)[1]
