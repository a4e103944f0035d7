"""The tools that read and change files of a workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

from app.agents.tools.tool import Tool, ToolFailed
from app.agents.tools.workspace import MAX_ENTRIES, Workspace
from app.agents.tools.workspace_walk import cleaned, shown
from app.concurrency.threads import aside

if TYPE_CHECKING:
    from app.agents.run import Run

# Bytes of a file that is read or changed here; a larger one is a matter for commands.
MAX_FILE = 4 * 1024 * 1024
# Of one call of read. The bytes leave room for a note below the 50,000 characters that a result may have.
MAX_LINES = 2000
MAX_TEXT = 48 * 1024
# Bytes in which a NUL says that a file is not text.
SNIFFED = 8 * 1024
# Bytes whose line ends are counted at once: all threads wait for each other's Python, so of four million lines
# not every one may take a step.
BLOCK = 4 * 1024
# Names of one call of ls.
MAX_NAMES = 500
# Places where a text occurs that are named, and characters of a line that is quoted.
MAX_PLACES = 10
MAX_QUOTE = 160

BOM = b"\xef\xbb\xbf"

Work = Callable[[Workspace, dict[str, Any]], str]


def file_tools(workspace: Workspace) -> list[Tool]:
    """``read``, ``write``, ``edit`` and ``ls`` for the files of one workspace."""

    def tool(
        name: str, description: str, parameters: dict[str, Any], work: Work, *, required: int, changes: bool
    ) -> Tool:
        def in_thread(run: Run, arguments: dict[str, Any]) -> str:
            return aside(work, workspace, arguments)

        schema = {
            "type": "object",
            "properties": parameters,
            "required": list(parameters)[:required],
            "additionalProperties": False,
        }
        return Tool(name, description, schema, in_thread, concurrent=not changes, changes=changes)

    path = {"type": "string", "description": "Relative to the workspace."}
    text = {"type": "string"}
    number = {"type": "integer", "minimum": 1}
    return [
        tool(
            "read",
            f"Read a text file: at most {MAX_LINES} lines or {MAX_TEXT // 1024} KB at once; offset reads on.",
            {
                "path": path,
                "offset": {**number, "description": "First line, counted from 1."},
                "limit": {**number, "description": "Number of lines."},
            },
            _read,
            required=1,
            changes=False,
        ),
        tool(
            "write",
            "Create a file, or replace all of its content. Missing folders are made.",
            {"path": path, "content": text},
            _write,
            required=2,
            changes=True,
        ),
        tool(
            "edit",
            "Replace a text that occurs exactly once in a file.",
            {
                "path": path,
                "oldText": {**text, "minLength": 1, "description": "Exactly as in the file, with all spaces."},
                "newText": text,
            },
            _edit,
            required=3,
            changes=True,
        ),
        tool(
            "ls",
            "List a folder: folders end in /, symbolic links in @.",
            {"path": {**path, "default": "."}},
            _list,
            required=0,
            changes=False,
        ),
    ]


def _read(workspace: Workspace, arguments: dict[str, Any]) -> str:
    path = arguments["path"]
    # A JSON Schema takes 1.0 for an integer.
    first, count = int(arguments.get("offset", 1)), int(arguments.get("limit", MAX_LINES))
    content = workspace.read(path, MAX_FILE)
    if content is None:
        raise ToolFailed(f"{shown(path)}: there is no such file")
    data, size = content
    if b"\0" in data[:SNIFFED]:
        return f"[{shown(path)} is a binary file of {size} bytes]"
    if not data:
        return f"[{shown(path)} is empty]"
    total = data.count(b"\n") + (not data.endswith(b"\n"))
    if first > total:
        raise ToolFailed(f"{shown(path)} has {total} lines{_beyond(size)}: there is no line {first}")

    stream = BytesIO(data)
    stream.seek(_line_start(data, first))
    kept, last, notes = bytearray(), first - 1, []
    for line in islice(stream, min(count, MAX_LINES)):
        if kept and len(kept) + len(line) > MAX_TEXT:
            break
        kept += line
        last += 1
    if len(kept) > MAX_TEXT:
        notes.append(f"line {last} is cut, it has {len(kept)} bytes")
        del kept[MAX_TEXT:]
    if first > 1 or last < total or size > len(data):
        notes.append(f"lines {first}-{last} of {total}{_beyond(size)}")
    if last < total:
        notes.append(f"read on with offset {last + 1}")
    text = kept.removeprefix(BOM).decode(errors="replace")
    return "\n".join([text.removesuffix("\n"), f"[{'; '.join(notes)}]"]) if notes else text


def _beyond(size: int) -> str:
    return (
        f" in the first {MAX_FILE} of its {size} bytes, which are all that this tool reads" if size > MAX_FILE else ""
    )


def _write(workspace: Workspace, arguments: dict[str, Any]) -> str:
    path, data = arguments["path"], _encoded("content", arguments["content"])
    new = workspace.write(path, data)
    return f"{'created' if new else 'replaced'} {shown(path)}: {len(data)} bytes"


def _edit(workspace: Workspace, arguments: dict[str, Any]) -> str:
    path = arguments["path"]
    old, new = (_with_plain_ends(_encoded(name, arguments[name])) for name in ("oldText", "newText"))
    if not old:
        raise ToolFailed("oldText is empty; write replaces a whole file")
    if old == new:
        raise ToolFailed("oldText and newText are the same: there is nothing to change")
    content = workspace.read(path, MAX_FILE)
    if content is None:
        raise ToolFailed(f"{shown(path)}: there is no such file; write makes one")
    if content.size > MAX_FILE:
        raise ToolFailed(f"{shown(path)} has {content.size} bytes; edit changes files of at most {MAX_FILE}")

    body = content.data.removeprefix(BOM)
    # Compared without regard to the kind of line ends, which the model does not see.
    text = body.replace(b"\r\n", b"\n")
    places = list(islice(_places(text, old), MAX_PLACES + 1))
    if not places:
        raise ToolFailed(f"oldText does not occur in {shown(path)}, nothing was changed; {_near(text, old)}")
    lines = [text.count(b"\n", 0, place) + 1 for place in places]
    if len(places) > 1:
        many = f"more than {MAX_PLACES} times" if len(places) > MAX_PLACES else f"{len(places)} times"
        where = ", ".join(map(str, lines[:MAX_PLACES]))
        raise ToolFailed(
            f"oldText occurs {many} in {shown(path)}, at lines {where}; nothing was changed. "
            "Give more of the text around the one that is meant"
        )
    crlf = len(body) - len(text)
    if crlf * 2 > text.count(b"\n"):
        new = new.replace(b"\n", b"\r\n")
    begin, end = (_in_original(body, text, place) for place in (places[0], places[0] + len(old)))
    mark = content.data[: len(content.data) - len(body)]
    workspace.write(path, mark + body[:begin] + new + body[end:])
    return f"edited {shown(path)} at line {lines[0]}"


def _list(workspace: Workspace, arguments: dict[str, Any]) -> str:
    path = arguments.get("path", ".")
    names, more, complete = workspace.listing(path, MAX_NAMES)
    if not names:
        return f"[{shown(path)} is an empty folder]"
    if not complete:
        note = f"[some of the more than {MAX_ENTRIES:,} names in this folder; find searches them all]"
        return "\n".join([*names, note])
    return "\n".join(names) + (f"\n[and {more} more]" if more else "")


def _encoded(name: str, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ToolFailed(f"{name} is not valid Unicode at character {error.start}") from None
    if len(data) > MAX_FILE:
        raise ToolFailed(f"{name} has {len(data)} bytes; at most {MAX_FILE} are written")
    return data


def _with_plain_ends(text: bytes) -> bytes:
    return text.removeprefix(BOM).replace(b"\r\n", b"\n")


def _places(text: bytes, wanted: bytes) -> Iterator[int]:
    """Where ``wanted`` begins, overlapping ones too: they are just as ambiguous."""
    place = text.find(wanted)
    while place >= 0:
        yield place
        place = text.find(wanted, place + 1)


def _in_original(original: bytes, text: bytes, place: int) -> int:
    """The place in ``original`` of a place in ``text``, which is the same with LF where original has CRLF."""
    column = place - (text.rfind(b"\n", 0, place) + 1)
    return _line_start(original, text.count(b"\n", 0, place) + 1) + column


def _line_start(data: bytes, number: int) -> int:
    """Where a line begins that is there, counted from 1."""
    place, ahead = 0, number - 1
    while (ends := data.count(b"\n", place, place + BLOCK)) < ahead:
        place += BLOCK
        ahead -= ends
    for _ in range(ahead):
        place = data.index(b"\n", place) + 1
    return place


def _near(text: bytes, wanted: bytes) -> str:
    """What helps to get it right: where its first line stands, but for the spaces around it."""
    begin = next((line.strip() for line in wanted.split(b"\n") if line.strip()), b"")
    place = text.find(begin) if begin else -1
    if place < 0:
        return "read the file and copy the text exactly"
    number = text.count(b"\n", 0, place) + 1
    line = text[text.rfind(b"\n", 0, place) + 1 :].split(b"\n", 1)[0]
    quote = cleaned(line[: MAX_QUOTE * 4].decode(errors="replace")[:MAX_QUOTE])
    return f"its first line is like line {number}: {quote!r}. Read there and copy the text exactly, with all spaces"
