"""Secrets in files: a whole file, or what a JSON pointer finds in one. Each file is read once a load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson

from app.config.reading import FilesRead, Unreadable

_WHOLE_BYTES = 65_536
_JSON_BYTES = 1 << 20
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*\Z")
_INDEX = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")
_NOWHERE: Any = object()


class SecretFiles:
    """folder: what relative paths are relative to."""

    def __init__(self, folder: Path, files: FilesRead) -> None:
        self._folder = folder
        self._files = files
        self._parsed: dict[Path, Any] = {}

    def place(self, name: str) -> Path:
        """The file of this name, which may be absolute or begin with ``~``."""
        try:
            return self._folder / Path(name).expanduser()
        except RuntimeError:  # no such user, or no home folder: then it is a name as any other
            return self._folder / name

    def whole(self, name: str) -> str:
        """A file's text without the space around it. Raises Unreadable, whose message goes on after "a file that"."""
        try:
            text = self._files.read_text(self.place(name), _WHOLE_BYTES).strip()
        except Unreadable as error:
            raise Unreadable("is not a text file" if "UTF-8" in str(error) else str(error)) from None
        if not text:
            raise Unreadable("is empty")
        return text

    def at(self, name: str, pointer: str) -> str:
        """The text at a JSON pointer (RFC 6901) in a file. Raises Unreadable."""
        found = self._document(self.place(name))
        for step in pointer.split("/")[1:]:
            found = _below(found, step.replace("~1", "/").replace("~0", "~"))
        if found is _NOWHERE:
            raise Unreadable("has nothing there")
        if not isinstance(found, str):
            raise Unreadable("has no text there")
        if not found.strip():
            raise Unreadable("has an empty text there")
        return found.strip()

    def _document(self, path: Path) -> Any:
        if path not in self._parsed:
            text = self._files.read_text(path, _JSON_BYTES)
            try:
                self._parsed[path] = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise Unreadable(f"is not JSON at line {error.lineno}") from None
        return self._parsed[path]


def is_pointer(text: str) -> bool:
    """Whether a text is a JSON pointer to something within a document."""
    return text.startswith("/") and bool(_POINTER.match(text))


def _below(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step, _NOWHERE)
    if isinstance(value, list) and _INDEX.match(step) and int(step) < len(value):
        return value[int(step)]
    return _NOWHERE
