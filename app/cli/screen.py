"""What commands print: text without tricks, tables, JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from rich.console import Console

# Where nobody looks at a screen nothing is folded to its width.
WIDTH_OF_FILES = 240

# C0, DEL and C1 but for line feeds and tabs, and the marks that turn text round: they would tell the terminal what to
# do, or show what is not there.
_TRICKS = dict.fromkeys(
    [*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def plain(text: Any) -> str:
    """Text from elsewhere as a terminal may have it."""
    return str(text).translate(_TRICKS)


def write(text: str) -> None:
    """A part of an answer, at once; a file or a pipe gets it as it is."""
    sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def console() -> Console:
    """For what rich draws. Nothing in the text has a meaning of its own."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH_OF_FILES
    return Console(width=width, markup=False, highlight=False, emoji=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, numbers: Sequence[str] = ()) -> None:
    """numbers: the columns that are set to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else plain(value) for value in row))
    console().print(table)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """One ``name: value`` a line; those without a value are left out."""
    known = [(name, plain(value)) for name, value in facts if value not in (None, "")]
    width = max((len(name) for name, _ in known), default=0) + 1
    for name, value in known:
        click.echo(f"{name + ':':<{width}} {value}")


def duration(seconds: float) -> str:
    """In the largest unit that fits, such as ``3 h``."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"


def age(ms: float | None) -> str | None:
    """How long ago a time of the protocol was."""
    return None if ms is None else f"{duration(max(time.time() - ms / 1000, 0))} ago"


def size(count: float) -> str:
    """Bytes in the largest unit that fits."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024 or unit == "GB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError
