"""The tools that search a workspace. A child process does the searching: see ``search_program``."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gevent.lock import BoundedSemaphore

from app import children
from app.agents.tools.tool import Tool, ToolFailed
from app.agents.tools.workspace import Workspace
from app.agents.tools.workspace_walk import cleaned, identities, shown
from app.concurrency.threads import aside
from app.config.environment import environment_of_children

if TYPE_CHECKING:
    from app.agents.run import Run

log = logging.getLogger("gateway.tools")

PROGRAM = Path(__file__).with_name("search_program.py")
# Searches at once, for all runs: each may take a core.
AT_ONCE = 4
# Seconds: of one search, and for those of others before it.
TIME_LIMIT = 20.0
QUEUE_TIMEOUT = 20.0
# Of one answer. The characters leave room for notes below the 50,000 that a result may have.
MAX_MATCHES = 200
MAX_TEXT = 48_000
# Bytes of an answer as JSON, which writes a character in at most 12.
MAX_OUTPUT = 1024 * 1024

_places = BoundedSemaphore(AT_ONCE)


def search_tools(workspace: Workspace) -> list[Tool]:
    """``find`` and ``grep`` for the files of one workspace."""

    def tool(kind: str, description: str, pattern: str, path: str) -> Tool:
        def work(run: Run, arguments: dict[str, Any]) -> str:
            if not _places.acquire(timeout=QUEUE_TIMEOUT):
                raise ToolFailed("too many searches go on at once; try again later")
            try:
                return _search(workspace, kind, arguments["pattern"], arguments.get("path", "."))
            finally:
                _places.release()

        schema = {
            "type": "object",
            "properties": {
                "pattern": {"type": "string", "minLength": 1, "description": pattern},
                "path": {"type": "string", "default": ".", "description": path},
            },
            "required": ["pattern"],
            "additionalProperties": False,
        }
        return Tool(kind, description, schema, work, concurrent=True, changes=False)

    return [
        tool(
            "find",
            f"Find files and folders by name; at most {MAX_MATCHES}.",
            "A glob: *.py matches names at any depth, src/**/*.{js,ts} paths below path.",
            "Folder to search in.",
        ),
        tool(
            "grep",
            f"Find lines of text files, shown as path:line:text; at most {MAX_MATCHES}.",
            "A regular expression of Python, matched against each line.",
            "Folder or file to search in.",
        ),
    ]


def _search(workspace: Workspace, kind: str, pattern: str, path: str) -> str:
    with ExitStack() as held:
        start = aside(held.enter_context, workspace.opened(path))
        is_folder = stat.S_ISDIR(os.fstat(start).st_mode)
        if kind == "find" and not is_folder:
            raise ToolFailed(f"{shown(path)} is a file; find searches a folder")
        request = {
            "kind": kind,
            "pattern": pattern,
            "start": start,
            "hidden": list(identities(workspace.hidden)),
            "prefix": _prefix(path) if is_folder else path,
            "matches": MAX_MATCHES,
            "characters": MAX_TEXT,
        }
        outcome = children.run(
            [sys.executable, "-I", "-S", "-E", str(PROGRAM)],
            environment=environment_of_children(),
            timeout=TIME_LIMIT,
            max_output=MAX_OUTPUT,
            given=json.dumps(request).encode(),
            keep_open=(start,),
        )
    if outcome.timed_out:
        raise ToolFailed(
            f"the search took longer than {TIME_LIMIT:g} s and was ended; use a simpler pattern or a narrower path"
        )
    if outcome.code != 0:
        log.error("search ended with %s: %s", outcome.code, outcome.output[-2000:].decode(errors="replace"))
        raise ToolFailed("the search broke off without a result; use a simpler pattern or a narrower path")
    answer = json.loads(outcome.output)
    if "fault" in answer:
        raise ToolFailed(cleaned(answer["fault"]))
    return "\n".join([*map(cleaned, answer["lines"]), *_notes(answer)])


def _prefix(path: str) -> str:
    """What makes of a path below ``path`` one that the other tools take."""
    path = path.rstrip("/")
    return "" if path in ("", ".") else f"{path}/"


def _notes(answer: dict[str, Any]) -> list[str]:
    notes = []
    if answer["more"]:
        notes.append(f"[the first {len(answer['lines'])} matches; there are more: use a narrower pattern or path]")
    elif not answer["lines"]:
        notes.append("[no matches]")
    if answer["skipped"]:
        names = cleaned(", ".join(answer["skipped"]))
        notes.append(f"[not searched: {names}; give one as path to search it]")
    if answer["cut"]:
        notes.append(f"[too large, searched in part: {answer['cut']} files]")
    return notes
