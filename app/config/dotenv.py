"""``.env``: lines of ``NAME=value`` for variables that the process itself doesn't have.

A value may stand in quotes, then also on several lines: in single ones it is what it is, in double ones ``\\n``,
``\\r``, ``\\t``, ``\\"``, ``\\$`` and ``\\\\`` are escapes. Without quotes it ends before `` #``; nothing is filled in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from app.config.faults import Fault
from app.config.reading import FilesRead, Unreadable, is_missing

FILE_NAME = ".env"

_MAX_BYTES = 65_536
_ALLOWED = "NAME=value"
_ENTRY = re.compile(
    r"""[ \t]*+(?:export[ \t]+)?(?P<name>[^\s=\#"']*+)[ \t]*+=[ \t]*+
    (?:"(?P<double>(?:[^"\\]|\\(?s:.))*+)"|'(?P<single>[^']*+)'|(?P<bare>(?!["'])[^\n]*+))""",
    re.VERBOSE,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NOTHING = re.compile(r"[ \t]*+(?:\#[^\n]*+)?(?:\n|\Z)")
_COMMENT = re.compile(r"(?:^|[ \t]++)\#.*")
_OPEN_QUOTE = re.compile(r"[^=#\"']*=[ \t]*[\"']")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


@dataclass(frozen=True, slots=True)
class Dotenv:
    """What the file says. faults: a line each, ``.env:3: …``, which never quote a value."""

    variables: dict[str, str] = field(default_factory=dict, repr=False)
    faults: tuple[Fault, ...] = ()


def read_dotenv(path: Path, files: FilesRead) -> Dotenv:
    """The file's variables; none when there is no file. Raises nothing: see ``Dotenv.faults``."""
    try:
        text = files.read_text(path, _MAX_BYTES)
    except Unreadable as error:
        return Dotenv() if is_missing(error) else Dotenv(faults=(Fault(str(path), str(error)),))
    return parse_dotenv(text)


def parse_dotenv(text: str) -> Dotenv:
    """The variables of a text. Of a name that stands twice the last counts; a line that can't be read is a fault."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    variables: dict[str, str] = {}
    faults: list[Fault] = []
    at = 0
    while at < len(text):
        if blank := _NOTHING.match(text, at):
            at = blank.end()
            continue
        entry = _ENTRY.match(text, at)
        rest = _NOTHING.match(text, entry.end()) if entry else None
        if entry and rest and _NAME.match(entry["name"]) and "\0" not in entry[0]:
            variables[entry["name"]] = _value(entry)
            at = rest.end()
        else:
            faults.append(Fault(f"{FILE_NAME}:{text.count(chr(10), 0, at) + 1}", _finding(text, at, entry)))
            at = text.find("\n", at) + 1 or len(text)
    return Dotenv(variables, tuple(faults))


def _value(entry: re.Match[str]) -> str:
    if entry["double"] is not None:
        return _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[0]), entry["double"])
    if entry["single"] is not None:
        return entry["single"]
    return _COMMENT.sub("", entry["bare"]).strip()


def _finding(text: str, at: int, entry: re.Match[str] | None) -> str:
    """What is wrong with the line that begins here, without a word of it: it may be a secret."""
    line = text[at : text.find("\n", at) + 1 or len(text)]
    if entry is None:
        found = "a line without =" if "=" not in line else "a name that is none"
        found = "a quote that is never closed" if _OPEN_QUOTE.match(line) else found
    elif not _NAME.match(entry["name"]):
        found = "a name that is none" if entry["name"] else "no name"
    elif "\0" in entry[0]:
        found = "a NUL"
    else:
        found = "more behind the closing quote"
    return f"found {found}; allowed: {_ALLOWED}"
