"""How an answer is shown while it comes: as Markdown on a terminal, as plain lines anywhere else."""

from __future__ import annotations

import re
import sys
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner

from app.cli.screen import console, plain
from app.cli.transcript import short, tool_line

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


class Lines:
    """For a file or a pipe: text as it comes; what happens beside it goes to standard error."""

    def __init__(self) -> None:
        self._told = 0

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_line()

    def text(self, whole: str) -> None:
        if len(whole) > self._told:
            sys.stdout.write(whole[self._told :])
            sys.stdout.flush()
            self._told = len(whole)

    def tool(self, name: str, arguments: Any) -> None:
        self.note(tool_line(name, arguments))

    def tool_failed(self, result: str) -> None:
        self.note(f"  failed: {short(result)}")

    def note(self, text: str) -> None:
        click.echo(text, err=True)

    def failed(self, reason: str) -> None:
        self._end_line()
        click.echo(f"Error: {plain(reason)}", err=True)

    def _end_line(self) -> None:
        if self._told:
            click.echo()
            self._told = 0


class Screen:
    """For a terminal. Blocks that are complete scroll away above; the one that grows is drawn again and again."""

    def __init__(self) -> None:
        self._console = console()
        self._live = Live(console=self._console, transient=True, refresh_per_second=10, redirect_stdout=False)
        self._spinner = Spinner("dots", style="dim")
        self._whole = ""
        self._settled = 0

    def __enter__(self) -> Screen:
        self._console.print()
        self._live.start()
        self._show("")
        return self

    def __exit__(self, *_: object) -> None:
        self._settle(len(self._whole))
        self._live.update("", refresh=True)
        self._live.stop()

    def text(self, whole: str) -> None:
        self._whole = plain(whole)
        self._settle(complete(self._whole, self._settled))
        self._show(self._whole[self._settled :])

    def tool(self, name: str, arguments: Any) -> None:
        self._aside(tool_line(name, arguments))

    def tool_failed(self, result: str) -> None:
        self._aside(f"  failed: {short(result)}")

    def note(self, text: str) -> None:
        self._aside(text)

    def failed(self, reason: str) -> None:
        self._settle(len(self._whole))
        self._console.print(plain(reason), style="red")
        self._console.print()

    def _aside(self, line: str) -> None:
        self._settle(len(self._whole))
        self._console.print(plain(line), style="dim", overflow="ellipsis", no_wrap=True)

    def _settle(self, end: int) -> None:
        """What stands before ``end`` changes no more."""
        block = self._whole[self._settled : end].strip("\n")
        self._settled = max(end, self._settled)
        if block:
            # First out of what is drawn anew, or it would stand there twice.
            self._live.update(self._spinner, refresh=True)
            self._console.print(_markdown(block))
            self._console.print()

    def _show(self, growing: str) -> None:
        self._live.update(_Tail(_markdown(growing)) if growing.strip() else self._spinner)


class _Tail:
    """As much of the end as the screen has lines for."""

    def __init__(self, inner: Markdown) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self._inner, options, pad=False)[-max(console.height - 2, 1) :]:
            yield from line
            yield Segment.line()


def _markdown(text: str) -> Markdown:
    # A link shows where it leads: hidden behind its words it could lead anywhere.
    return Markdown(text, code_theme="ansi_dark", hyperlinks=False)


def complete(text: str, start: int) -> int:
    """Where the last complete block of ``text[start:]`` ends: behind an empty line that is not in a fenced one."""
    end, fence, at = start, "", start
    for line in text[start:].splitlines(keepends=True):
        at += len(line)
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark:
            fence = mark[1]
        elif not line.strip() and line.endswith("\n"):
            end = at
    return end
