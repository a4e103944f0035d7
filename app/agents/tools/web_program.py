"""HTML to Markdown, as a process of its own that can be ended: started by path, HTML on standard input, text on output.

``web_program.py URL CHARACTERS [ENCODING]``: links are made whole with the URL; one character more than asked for says
that there is more. Exit code 1 when it can't be done.
"""

from __future__ import annotations

import resource
import signal
import sys
import time
import warnings
from typing import NoReturn
from urllib.parse import urljoin

from bs4 import BeautifulSoup
from markdownify import ATX, MarkdownConverter

# Bytes.
MAX_MEMORY = 1024 * 1024 * 1024
# Seconds of computing, so that it ends when nobody is left to end it.
MAX_CPU = 10
# Seconds after which the text alone, which is quick, has to do in place of Markdown.
PATIENCE = 3.0
# Calls of Python within each other, two and more for each nested tag; old pages close few of theirs.
MAX_DEPTH = 5_000
# Not the head: where its end is left out, which is allowed, the parser takes all that follows for a part of it.
NOT_CONTENT = ("title", "script", "style", "nav", "noscript", "template", "svg", "iframe")
TEXT_ALONE = "[The page is too deep or too large for Markdown: this is its text alone.]\n\n"


class TooLong(Exception):
    pass


def main() -> None:
    deadline = time.monotonic() + PATIENCE
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU, MAX_CPU))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    warnings.simplefilter("ignore")  # their lines would be part of the page
    signal.signal(signal.SIGALRM, give_up)
    url, limit = sys.argv[1], int(sys.argv[2])
    encoding = sys.argv[3] if len(sys.argv) > 3 else None
    soup = BeautifulSoup(sys.stdin.buffer.read(), "html.parser", from_encoding=encoding)
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(NOT_CONTENT):
        tag.decompose()
    text = (f"# {title}\n\n" if title else "") + body(soup, url, deadline)
    sys.stdout.buffer.write(text[: limit + 1].encode("utf-8", "replace"))


def body(soup: BeautifulSoup, url: str, deadline: float) -> str:
    for tag in soup.find_all(True):
        for name in ("href", "src"):
            if name in tag.attrs:
                tag[name] = whole(url, str(tag[name]))
    sys.setrecursionlimit(MAX_DEPTH)
    try:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TooLong
        signal.setitimer(signal.ITIMER_REAL, left)
        return MarkdownConverter(heading_style=ATX, bullets="-").convert_soup(soup)
    except (RecursionError, TooLong):
        return TEXT_ALONE + soup.get_text("\n", strip=True)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def whole(url: str, target: str) -> str:
    """A link that works away from its page; empty for scripts and for data, which are long and no use to read."""
    if target.strip().lower().startswith(("data:", "javascript:")):
        return ""
    try:
        return urljoin(url, target)
    except ValueError:
        return ""


def give_up(_number: int, _frame: object) -> NoReturn:
    raise TooLong


if __name__ == "__main__":
    main()
