"""One HTTP answer from a server that nobody trusts: read cooperatively, unpacked step by step, bounded all the way."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator
from http.client import HTTPException, HTTPResponse

import gevent
import gevent.socket

from app.concurrency.slices import Slices
from app.web.location import FetchError

# Bytes: of all headers; of one read; of what is unpacked in one go.
MAX_HEAD = 64 * 1024
READ_SIZE = 16 * 1024
STEP = 64 * 1024
# What a body may weigh on the wire, as a multiple of the bytes wanted: chunks have heads, and bad packing adds.
OVERHEAD = 4
# What the request asks for; nothing else is unpacked.
ENCODINGS = "gzip, deflate"
_GZIP_OR_ZLIB = 47
_RAW_DEFLATE = -15


class _Wire(io.RawIOBase):
    """What a socket brings, up to ``left`` bytes.

    The bound is here because all else stands above it: endless interim answers, headers, trailers, empty packed blocks.
    """

    def __init__(self, sock: gevent.socket.socket) -> None:
        self.left = MAX_HEAD
        self._sock = sock
        self._slices = Slices()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        if self.left <= 0:
            raise FetchError("the answer has more headers, or packing, than content")
        # A socket that always has something never waits, and the hub would not get to its timers.
        self._slices.end()
        received = self._sock.recv_into(buffer)
        self.left -= received
        return received

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, READ_SIZE)


class Answer:
    """An answer whose headers have come. Raises OSError, HTTPException, FetchError, here and in ``body``."""

    def __init__(self, sock: gevent.socket.socket) -> None:
        self._wire = _Wire(sock)
        self._response = HTTPResponse(self._wire, method="GET")  # type: ignore[arg-type]  # it wants makefile alone
        self._response.begin()
        self.status: int = self._response.status

    def header(self, name: str) -> str:
        """A header's value, empty when it is absent."""
        return (self._response.getheader(name) or "").strip()

    def body(self, max_bytes: int) -> tuple[bytes, bool]:
        """The unpacked body's first ``max_bytes``, and whether there is more."""
        self._wire.left = MAX_HEAD + OVERHEAD * max_bytes
        encoding = self.header("content-encoding").lower()
        blocks = self._blocks()
        if encoding in ("gzip", "x-gzip", "deflate"):
            blocks = _unpacked(blocks, encoding)
        elif encoding not in ("", "identity"):
            raise FetchError(f"the body comes as {encoding[:40]!r}, which was not asked for")
        body = bytearray()
        for block in blocks:
            body += block
            if len(body) > max_bytes:
                return bytes(body[:max_bytes]), True
        return bytes(body), False

    def _blocks(self) -> Iterator[bytes]:
        while block := self._response.read1(READ_SIZE):
            yield block
        if self._response.length:
            raise HTTPException("the body was cut")


def _unpacked(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    unpacker = None
    for block in blocks:
        rest = block
        while True:
            if unpacker is None or (unpacker.eof and rest):
                # Some servers send deflate without the zlib header, whose first byte always ends in 8.
                raw = encoding == "deflate" and rest[0] & 0x0F != 8
                unpacker = zlib.decompressobj(_RAW_DEFLATE if raw else _GZIP_OR_ZLIB)
            try:
                data = unpacker.decompress(rest, STEP)
            except zlib.error:
                raise FetchError(f"the body is not the {encoding} that it is said to be") from None
            yield data
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            if not rest and len(data) < STEP:
                break
    if unpacker is not None and not unpacker.eof:
        raise HTTPException("the body was cut")
