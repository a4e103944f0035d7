import pytest

from app.cli.chat.display import complete


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ("", ""),
        ("one line", ""),
        ("a paragraph\n\nthe next", "a paragraph\n\n"),
        ("one\n\ntwo\n\n", "one\n\ntwo\n\n"),
        ("```\ncode\n\nmore", ""),
        ("```\ncode\n\nmore\n```\n\nbehind", "```\ncode\n\nmore\n```\n\n"),
        ("~~~~\n```\n\n~~~\n\n~~~~\n\nbehind", "~~~~\n```\n\n~~~\n\n~~~~\n\n"),
        ("before\n\n```py\nx\n\n", "before\n\n"),
        ("```\n``` no end\n\nx", ""),
    ],
)
def test_a_block_is_complete_at_an_empty_line(text: str, done: str) -> None:
    """What stands before it is drawn once; code may have empty lines."""
    assert text[: complete(text, 0)] == done


def test_only_what_is_new_is_looked_at() -> None:
    """The place is one in the whole text."""
    text = "one\n\ntwo\n\nthree"
    assert complete(text, 5) == 10
    assert complete(text, 10) == 10
