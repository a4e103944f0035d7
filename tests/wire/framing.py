"""How the events and the HTTP around them are written."""

from __future__ import annotations

import gzip
import json

from tests.wire.case import Case, chunk, data, http, stream, usage_chunk

HELLO = data(chunk({"content": "Hello"}), chunk({}, "stop"), usage_chunk())


def _many_lines(event: object) -> str:
    return "".join(f"data: {line}\n" for line in json.dumps(event, indent=1).split("\n")) + "\n"


CASES = {
    "a byte order mark before the first event": Case(
        answers=[stream("\ufeff" + data(chunk({"content": "Hello"}), chunk({"content": " world"}), chunk({}, "stop")))],
        text="Hello world",
    ),
    "an event whose JSON takes several data lines": Case(
        answers=[
            stream(_many_lines(chunk({"content": "Hello"})) + _many_lines(chunk({}, "stop")) + "data: [DONE]\n\n")
        ],
        text="Hello",
    ),
    "103 before the 200": Case(
        answers=[stream(HELLO, before="HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")],
        text="Hello",
        usage=(11, 5),
    ),
    "gzip that nobody asked for": Case(
        answers=[http(gzip.compress(HELLO.encode()), "Content-Encoding: gzip", kind="text/event-stream")],
        text="Hello",
        usage=(11, 5),
    ),
    "an encoding that nobody knows": Case(
        answers=[http(b"\x00\x01", "Content-Encoding: zstd", kind="text/event-stream")],
        status=502,
        error="upstream_error",
        says=["zstd"],
        asked=1,
    ),
}
