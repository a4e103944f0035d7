"""Bodies that a provider, or a proxy before it, has compressed although nobody asked.

Content codings: https://www.rfc-editor.org/rfc/rfc9110#section-8.4.1
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain
from typing import Any

from app.concurrency.slices import give_way

# Bytes that are unpacked at a time: a small block may hold a thousand times as much.
STEP = 64 * 1024

# What zlib is told: gzip's header, zlib's, none.
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_NONE = ("", "identity")

_GZIP_MAGIC = b"\x1f\x8b"
# How events and JSON begin, which no packed body does.
_PLAIN = (b"data:", b"event:", b": ", b"{", b"[", b"\xef\xbb\xbf")


class UnknownEncoding(Exception):
    """``str`` is the coding's name, as the server wrote it."""


def unpacked(header: str | None, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The body of a message with this ``Content-Encoding``.

    Raises UnknownEncoding, zlib.error for what is not as it says, EOFError for a body that ends too early.
    """
    codings = [name for part in header.split(",") if (name := part.strip().lower()) not in _NONE] if header else []
    first = next(blocks, b"")
    blocks = chain([first], blocks)
    if first.startswith(_GZIP_MAGIC):
        codings = codings or ["gzip"]  # some proxies lose the header,
    elif codings and first.lstrip().startswith(_PLAIN) and not (codings == ["deflate"] and first[:1] in (b"{", b"[")):
        codings = []  # and others the packing
    for coding in reversed(codings):
        if coding in ("gzip", "x-gzip"):
            blocks = _inflated(blocks, _GZIP)
        elif coding == "deflate":
            blocks = _inflated(blocks, None)
        else:
            raise UnknownEncoding(coding[:40])
    return blocks


def _inflated(blocks: Iterator[bytes], kind: int | None) -> Iterator[bytes]:
    """kind: None where the first byte tells, since servers call two formats "deflate"."""
    inflate: Any = None
    for block in blocks:
        left, more = block, bool(block)
        while more:
            if inflate is None or inflate.eof:
                # At the end of a part another may follow.
                inflate = zlib.decompressobj(kind or (_ZLIB if left[0] & 0x0F == 8 else _RAW))
            piece = inflate.decompress(left, STEP)
            if piece:
                yield piece
            if len(piece) == STEP:
                give_way()  # nothing that is read waits while a packed block still has more
            left = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            more = bool(left) or (len(piece) == STEP and not inflate.eof)
    if inflate is not None and not inflate.eof:
        raise EOFError("the compressed body ends too early")
