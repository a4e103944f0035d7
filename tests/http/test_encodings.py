"""Packed bodies: what comes out, how much at most, and what is wrong with broken ones."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import BodyTooLarge, InvalidRequest, UnsupportedMediaType
from app.http.encodings import MOST_CODINGS, MOST_MEMBERS, codings_of, unpacked

MANY = 10_000_000
TEXT = b'{"a":"' + b"some words " * 1000 + b'"}'


def raw_deflate(body: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(body) + packing.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip by its old name": ("X-GZIP", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its frame": ("deflate", raw_deflate),
    "gzip in pieces": ("gzip", lambda body: gzip.compress(body[:100]) + gzip.compress(body[100:])),
    "gzip with zeros behind it": ("gzip", lambda body: gzip.compress(body) + bytes(512)),
    "twice": ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
    "twice the same": ("gzip,gzip", lambda body: gzip.compress(gzip.compress(body))),
    "gzip and nothing": ("identity, gzip", gzip.compress),
}


@pytest.mark.parametrize(("header", "pack"), PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("body", [b"", b"{}", TEXT, bytes(3_000_000)], ids=["empty", "short", "text", "long"])
def test_what_comes_out(header: str, pack: Callable[[bytes], bytes], body: bytes) -> None:
    """It is what went in, however it was packed and however long it is."""
    assert unpacked(pack(body), codings_of(header), MANY) == body


@settings(deadline=None)
@given(st.sampled_from([*PACKED]), st.integers(0, len(TEXT)), st.binary(min_size=1, max_size=8))
def test_broken_bodies_are_the_senders_fault(name: str, cut: int, noise: bytes) -> None:
    """Cut anywhere, or with other bytes anywhere, a body is refused or comes out: nothing else happens."""
    header, pack = PACKED[name]
    whole = pack(TEXT)
    cut %= len(whole)
    for broken in (whole[:cut], whole[:cut] + noise + whole[cut + len(noise) :], noise + whole, whole + noise):
        try:
            unpacked(broken, codings_of(header), MANY)
        except (InvalidRequest, BodyTooLarge) as error:
            assert error.status in (400, 413)  # noqa: PT017


@pytest.mark.parametrize("name", [name for name in PACKED if "pieces" not in name and "zeros" not in name])
def test_a_body_that_is_cut_off(name: str) -> None:
    """Whatever is missing at the end, it is not taken for the whole."""
    header, pack = PACKED[name]
    whole = pack(TEXT)
    for length in {0, 1, len(whole) // 2, len(whole) - 1}:
        with pytest.raises(InvalidRequest):
            unpacked(whole[:length], codings_of(header), MANY)


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb(name: str) -> None:
    """A body that grows past the limit is refused there, not when all of it is in memory."""
    header, pack = PACKED[name]
    bomb = pack(bytes(20_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(BodyTooLarge, match="100000 bytes"):
        unpacked(bomb, codings_of(header), 100_000)


def test_the_limit_belongs_to_what_is_allowed() -> None:
    """As many bytes as are allowed come out, one more doesn't."""
    assert len(unpacked(gzip.compress(bytes(1000)), ["gzip"], 1000)) == 1000
    with pytest.raises(BodyTooLarge):
        unpacked(gzip.compress(bytes(1001)), ["gzip"], 1000)


def test_pieces_without_end() -> None:
    """Empty pieces of gzip cost time and bring nothing: there may be so many."""
    piece = gzip.compress(b"")
    assert unpacked(piece * MOST_MEMBERS, ["gzip"], MANY) == b""
    with pytest.raises(InvalidRequest, match="pieces"):
        unpacked(piece * (MOST_MEMBERS + 1), ["gzip"], MANY)


@pytest.mark.parametrize("header", ["br", "zstd", "gzip, br", "compress", "gzip;q=1", "x" * 1000])
def test_what_is_not_read(header: str) -> None:
    """The refusal says what is, in words and in the header for it."""
    with pytest.raises(UnsupportedMediaType, match="gzip, deflate, identity") as refused:
        codings_of(header)
    assert refused.value.headers["Accept-Encoding"] == "gzip, deflate, identity"
    assert len(refused.value.message) < 200


def test_how_often_a_body_may_be_packed() -> None:
    """Each time may make it a thousand times as long."""
    assert codings_of(", ".join(["gzip"] * MOST_CODINGS)) == ["gzip"] * MOST_CODINGS
    with pytest.raises(UnsupportedMediaType, match="packed 4 times"):
        codings_of(", ".join(["gzip"] * (MOST_CODINGS + 1)))


def test_others_have_their_turn() -> None:
    """A long body is unpacked in steps between which other greenlets work."""
    turns = 0
    done = False

    def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            gevent.sleep(0)

    working = gevent.spawn(others)
    unpacked(gzip.compress(bytes(4_000_000)), ["gzip"], MANY)
    done = True
    working.join()
    assert turns >= 10
