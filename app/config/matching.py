"""Names in policies, and their patterns."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Behind a program's name: ``3.11`` of python3.11, ``-2.1.0-beta3`` of luajit-2.1.0-beta3.
_VERSION = re.compile(r"[-_.]?[0-9].*", re.DOTALL)


def folded(name: str) -> str:
    """A name without what people don't see or don't mean: width, case, and the space around it."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def matches(name: str, pattern: str) -> bool:
    """Whether a name is the pattern's, in which ``*`` stands for anything and every other sign for itself."""
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def programs(name: str) -> set[str]:
    """What the program of a name may be called without its folder, and without its version."""
    name = name.strip().lower().rpartition("/")[2].removesuffix(".exe")
    return {name, _VERSION.sub("", name)}
