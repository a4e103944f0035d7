"""Text files in base64: what is one, what it says, and what a model reads of it."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.text_files import BadFile, is_text, media_type, shown, taken_apart, text


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_comes_back(said: str) -> None:
    """Whatever it says; a byte order mark at its beginning is no part of it."""
    assert text(encoded(said.encode("utf-8-sig")), 200) == said


@settings(deadline=None)
@given(st.binary(max_size=100).map(encoded) | st.text(max_size=50))
def test_anything_is_a_text_or_a_bad_file(data: str) -> None:
    """Nothing else happens, and the fault reads on from the path of the file."""
    try:
        said = text(data, 30)
    except BadFile as bad:
        assert str(bad).startswith(("is ", "must "))  # noqa: PT017
    else:
        assert len(said) <= 30


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("aGk=", ("", "aGk=")),
        (" data:text/plain;base64,aGk= ", ("text/plain;base64", "aGk=")),
        ("DATA:text/plain;charset=utf-8;BASE64,aGk=", ("text/plain;charset=utf-8;BASE64", "aGk=")),
    ],
)
def test_a_file_taken_apart(content: str, parts: tuple[str, str]) -> None:
    """Its type, where it has one, and its base64."""
    assert taken_apart(content) == parts


@pytest.mark.parametrize("content", [None, 5, "", "  ", "data:", "data:text/plain;base64,", "data:text/plain,hi"])
def test_what_is_no_file(content: object) -> None:
    """Nothing, and what is not in base64."""
    with pytest.raises(BadFile):
        taken_apart(content)


@pytest.mark.parametrize(
    ("said", "kind"),
    [("Text/Plain; charset=utf-8", "text/plain"), ("application/octet-stream", ""), ("nonsense", ""), ("", "")],
)
def test_a_media_type(said: str, kind: str) -> None:
    """Without its parameters, and none where it says nothing."""
    assert media_type(said) == kind


def test_what_is_text() -> None:
    """By its type or its name, whichever knows."""
    assert is_text("text/x-anything", "")
    assert is_text("video/mp2t", "a.ts")
    assert not is_text("application/pdf", "a.pdf")
    assert not is_text("", "txt.exe")


def test_the_name_of_a_file_can_not_be_taken_for_its_text() -> None:
    """It is one line without folders and brackets; a file without a name has a number."""
    assert shown("hi", "C:\\x\\[a]\n.txt", 1) == "[Attached file a.txt]\nhi"
    assert shown("hi", "[]\n", 2) == "[Attached file 2]\nhi"
