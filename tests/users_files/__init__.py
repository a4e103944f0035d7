"""Files as users of OpenClaw have them: combinations of keys from the field, with invented values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def user_file(name: str) -> dict[str, Any]:
    """The document of the file whose name begins so, such as ``07``."""
    (path,) = FOLDER.glob(f"{name}*.json")
    document: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return document
