"""Bodies that their senders packed: ``Content-Encoding``.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-8.4
"""

from __future__ import annotations

import zlib

from app.concurrency.slices import give_way
from app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType

ACCEPTED = "gzip, deflate, identity"
# How often a body may be packed, and how many pieces of gzip may stand one behind the other.
MOST_CODINGS = 3
MOST_MEMBERS = 1000
# Bytes that are unpacked, or packed ones that are read, until others have their turn: 1 ms.
STEP = 256 * 1024

_GZIP = frozenset({"gzip", "x-gzip"})
_GZIP_WINDOW, _ZLIB_WINDOW, _RAW_WINDOW = zlib.MAX_WBITS | 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def codings_of(header: str) -> list[str]:
    """How a body is packed, in the order in which it was. Raises UnsupportedMediaType for what is not read here."""
    codings = [coding for part in header.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
    for coding in codings:
        if coding not in _GZIP and coding != "deflate":
            raise _unsupported(f"the Content-Encoding {coding[:40]!r} is not read here; send {ACCEPTED}")
    if len(codings) > MOST_CODINGS:
        raise _unsupported(f"the body is packed {len(codings)} times; {MOST_CODINGS} are the most")
    return codings


def unpacked(body: bytes, codings: list[str], max_bytes: int) -> bytes:
    """The body as it was before ``codings``. Cooperative.

    Raises BodyTooLarge as soon as more than ``max_bytes`` come out, InvalidRequest for what is broken or cut off.
    """
    for coding in reversed(codings):
        try:
            body = _Unpacking(body, coding, max_bytes).result()
        except zlib.error as error:
            raise InvalidRequest(f"the request body is not valid {coding}: {error}"[:200]) from None
    return body


class _Unpacking:
    """Of one coding."""

    def __init__(self, packed: bytes, coding: str, max_bytes: int) -> None:
        self._packed = memoryview(packed)
        self._coding = coding
        self._max_bytes = max_bytes
        self._window = _GZIP_WINDOW if coding in _GZIP else _ZLIB_WINDOW if _has_zlib_head(packed) else _RAW_WINDOW
        self._read = 0
        self._size = 0
        self._parts: list[bytes] = []
        self._since_turn = 0

    def result(self) -> bytes:
        for _ in range(MOST_MEMBERS):
            self._unpack_one()
            rest = self._packed[self._read :]
            is_gzip = self._coding in _GZIP
            # Some programs fill the last block of what they wrote up with zeros.
            if not rest or (is_gzip and not bytes(rest).strip(b"\0")):
                return b"".join(self._parts)
            if not is_gzip:
                raise InvalidRequest(f"the request body goes on behind the end of its {self._coding} data")
        raise InvalidRequest(f"the request body has more than {MOST_MEMBERS} pieces of {self._coding} data")

    def _unpack_one(self) -> None:
        stream = zlib.decompressobj(self._window)
        waiting = b""
        while not stream.eof:
            if not waiting:
                waiting = bytes(self._packed[self._read : self._read + STEP])
                self._read += len(waiting)
            part = stream.decompress(waiting, min(STEP, self._max_bytes - self._size + 1))
            if not (part or waiting or stream.eof):
                raise InvalidRequest(f"the request body ends in the middle of its {self._coding} data")
            self._keep(part, len(waiting))
            waiting = stream.unconsumed_tail
        self._read -= len(stream.unused_data)

    def _keep(self, part: bytes, read: int) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > self._max_bytes:
            raise BodyTooLarge(f"the request body is larger than {self._max_bytes} bytes when it is unpacked")
        self._since_turn += max(len(part), read)
        if self._since_turn >= STEP:
            self._since_turn = 0
            give_way()


def _has_zlib_head(packed: bytes) -> bool:
    """Whether deflate has the frame that it should have (RFC 1950, 2.2); some programs send it without."""
    return len(packed) >= 2 and packed[0] & 0x0F == 8 and (packed[0] << 8 | packed[1]) % 31 == 0


def _unsupported(reason: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(reason, headers={"Accept-Encoding": ACCEPTED})
