"""The bytes of a request's body as they come, each piece of them in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
from gunicorn.http.body import ChunkedReader, LengthReader

from app.concurrency.slices import give_way
from app.errors import RequestTimeout

# Bytes that must come within the time, so that a sender who drips ends.
PIECE = 256 * 1024
# Chunks that are read until others have their turn: they may hold one byte each.
CHUNKS = 1000


def received(stream: Any, length: int | None, max_bytes: int, seconds: float) -> bytes:
    """The body, shorter than ``length`` where its sender left. Cooperative.

    length: as declared; None for chunks, of which a few bytes more than ``max_bytes`` are read at most. Raises
    RequestTimeout, gunicorn's ParseException for malformed chunks.
    """
    if length is not None and length <= _here_already(stream):
        whole_already: bytes = stream.read(length)
        return whole_already
    late = RequestTimeout(f"the request body did not come in time: {PIECE // 1024} KiB have {seconds:g} s")
    timer = gevent.Timeout(seconds, late)
    timer.start()
    try:
        whole = bytearray()
        since_turn = 0
        for piece in _of_length(stream, length) if length is not None else _of_chunks(stream):
            whole += piece
            since_turn += len(piece)
            if length is None and len(whole) > max_bytes:
                break
            if since_turn >= PIECE:
                since_turn = 0
                timer.close()
                timer = gevent.Timeout.start_new(seconds, late)
                give_way()
        return bytes(whole)
    finally:
        timer.close()


def _here_already(stream: Any) -> int:
    """How many bytes came together with the headers: most bodies do, and need no timer."""
    reader = getattr(stream, "reader", None)
    return reader.unreader.buf.getbuffer().nbytes if isinstance(reader, LengthReader) else 0


def _of_length(stream: Any, length: int) -> Iterator[bytes]:
    while length > 0 and (piece := stream.read(min(length, PIECE))):
        length -= len(piece)
        yield piece


def _of_chunks(stream: Any) -> Iterator[bytes]:
    """gunicorn's own ``read`` copies all that waits for each piece, and never lets others have their turn."""
    reader = getattr(stream, "reader", None)
    if not isinstance(reader, ChunkedReader):
        while piece := stream.read(PIECE):
            yield piece
        return
    try:
        for count, piece in enumerate(reader.parser):
            if count % CHUNKS == CHUNKS - 1:
                give_way()
            yield piece
    except BaseException:
        # Where a next request would begin is not known any more.
        stream.failed = True
        raise
    reader.parser = None
