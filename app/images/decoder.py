"""What images really are. A child process decodes them: see ``program``."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gevent.lock import BoundedSemaphore

from app import children
from app.config.environment import environment_of_children
from app.errors import Overloaded

log = logging.getLogger("gateway.images")

PROGRAM = Path(__file__).with_name("program.py")
# Pixels of one image, and of all in a request: they bound the memory and the time that decoding takes.
MAX_PIXELS = 50_000_000
MAX_ALL_PIXELS = 200_000_000
# How many requests' images are decoded at once: each may take a core and a gigabyte.
AT_ONCE = 2
# Seconds: for the images of a request, and for those of others before them.
TIME_LIMIT = 20.0
QUEUE_TIMEOUT = 20.0
RETRY_AFTER = 10
# Bytes of a line for each image.
MAX_OUTPUT = 64 * 1024

_places = BoundedSemaphore(AT_ONCE)


class Seen(NamedTuple):
    """What an image is. format: by the names of Pillow. fault: why it is refused, else empty. reason: more of that."""

    format: str = ""
    fault: str = ""
    reason: str = ""


def looked_at(images: Sequence[str]) -> list[Seen]:
    """Decode images in base64, in their order: an answer for each, or fewer with a fault as the last.

    Cooperative. Raises Overloaded when the images of others take too long.
    """
    if not _places.acquire(timeout=QUEUE_TIMEOUT):
        raise Overloaded("the images of other requests are still being decoded", retry_after=RETRY_AFTER)
    try:
        outcome = children.run(
            [sys.executable, "-I", str(PROGRAM), str(MAX_PIXELS), str(MAX_ALL_PIXELS)],
            environment=environment_of_children(),
            timeout=TIME_LIMIT,
            max_output=MAX_OUTPUT,
            given="".join([json.dumps([*map(len, images)]), "\n", *images]).encode("ascii", "replace"),
        )
    finally:
        _places.release()
    # Who crashes may have last words of another form.
    seen = [Seen(**json.loads(line)) for line in outcome.output.splitlines() if line.startswith(b"{")]
    if len(seen) < len(images) and not (seen and seen[-1].fault):
        seen.append(_broken_off(outcome))
    if seen[-1].reason:
        log.info("an image is refused: it %s: %s", seen[-1].fault, seen[-1].reason)
    return seen


def _broken_off(outcome: children.Outcome) -> Seen:
    """What is said of the image at which the program ended."""
    if outcome.timed_out or outcome.code == -signal.SIGXCPU:
        return Seen(fault="can't be decoded in time; make it, or those before it, smaller")
    if outcome.code is not None and outcome.code < 0:
        return Seen(fault="can't be decoded", reason=f"the decoder ended with {outcome.code}")
    raise RuntimeError(f"the decoder of images failed: {outcome.output[-2000:].decode(errors='replace')}")
