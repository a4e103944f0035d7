"""The images of one request: fetched where they are URLs, and decoded, before anything reads them."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gevent.pool import Pool

from app.concurrency.slices import Slices
from app.config.settings import Images
from app.errors import InvalidRequest
from app.images.decoder import looked_at
from app.web.fetch import Fetched, FetchError, fetch
from app.web.network import INTERNET, Network

MOST_FETCHED = 16
FETCHES_AT_ONCE = 4
# Decoded bytes of all images of a request, unless those of its last message may hold more.
MAX_ALL_BYTES = 20 * 1024 * 1024
# Bytes that are brought to base64 before others have their turn: 0.5 ms. Three are four characters.
BLOCK = 3 * 64 * 1024

KEY = "gateway.http.endpoints.chatCompletions.images"
# By the names of Pillow. MPO is what some cameras write into a .jpg: a JPEG with further ones behind it.
_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.I)
_WEB = re.compile(r"https?://", re.I)


class GivenImage(NamedTuple):
    """where: the path of the image in the request. image: ``{"url": …}`` of its part, changed in place.

    in_last: whether it is of the last message of the user, which has bounds of its own.
    """

    where: str
    image: dict[str, str]
    in_last: bool = False

    def check_form(self, rules: Images) -> None:
        """What can be said without looking into the image. Raises InvalidRequest."""
        url, types = self.image["url"], taken(rules)
        if declared := _DATA.match(url):
            if _named(declared[1]) not in types:
                raise self.refused(f"is {_named(declared[1])}, which is not taken; types are {', '.join(types)}")
            if _size(url[declared.end() :]) > rules.max_bytes:
                raise self.refused(f"must hold {rules.max_bytes:,} bytes at most ({KEY}.maxBytes)")
        elif not _WEB.match(url):
            raise self.refused("must begin with data:<type>;base64, or with http:// or https://")
        elif not rules.allow_url:
            raise self.refused(f"images by URL are off; send a data: URL, or set {KEY}.allowUrl")

    def refused(self, reason: str) -> InvalidRequest:
        return InvalidRequest(f"{self.where}: {reason}", param=self.where)


def taken(rules: Images) -> list[str]:
    """The types that are allowed; those that can't be checked never are."""
    return [kind for kind in rules.allowed_mimes if kind in _TYPES.values()]


def check(
    found: Sequence[GivenImage],
    rules: Images,
    *,
    all_of: str,
    most: tuple[int, str] | None = None,
    network: Network = INTERNET,
) -> None:
    """Check the images of a request, and turn the URL of each into a ``data:`` URL of its real type, in place.

    all_of: the path of what holds them, for a fault of no single one. most: how many bytes those ``in_last`` may hold
    together, and the key that says so. Cooperative: a child process decodes, greenlets fetch. Raises InvalidRequest
    with the path of the first fault, and Overloaded when the images of others take too long.
    """
    for given in found:
        given.check_form(rules)
    fetched = _fetched([given for given in found if _WEB.match(given.image["url"])], rules, all_of, network)
    sources = [fetched[url] if _WEB.match(url := given.image["url"]) else url.partition(",")[2] for given in found]
    _check_sizes(found, sources, most)
    encoded = [source if isinstance(source, str) else _encoded(source) for source in sources]
    types = taken(rules)
    # The answers end with the first fault.
    for given, data, seen in zip(found, encoded, looked_at(encoded), strict=False):
        if seen.fault:
            raise given.refused(seen.fault)
        kind = _TYPES[seen.format]
        declared = _DATA.match(given.image["url"])
        if declared and kind != _named(declared[1]):
            raise given.refused(f"says that it is {_named(declared[1])}, but is {kind}")
        if kind not in types:
            raise given.refused(f"is {kind}, which is not taken; types are {', '.join(types)}")
        given.image["url"] = f"data:{kind};base64,{data}"


def _check_sizes(found: Sequence[GivenImage], sources: Sequence[str | bytes], most: tuple[int, str] | None) -> None:
    most_in_last, key = most or (0, "")
    most_in_all = max(MAX_ALL_BYTES, most_in_last)
    size = size_in_last = 0
    for given, source in zip(found, sources, strict=True):
        size += _size(source)
        size_in_last += _size(source) * given.in_last
        if most and size_in_last > most_in_last:
            raise given.refused(
                f"up to here the message's images hold more than {most_in_last:,} bytes together ({key})"
            )
        if size > most_in_all:
            raise given.refused(f"up to here the images hold more than {most_in_all:,} bytes together")


def _size(source: str | bytes) -> int:
    """Bytes of an image, which may still be in base64."""
    return len(source) if isinstance(source, bytes) else len(source) * 3 // 4 - source[-2:].count("=")


def _named(declared: str) -> str:
    """A media type as it is registered; many write image/jpg."""
    return {"image/jpg": "image/jpeg"}.get(declared.lower(), declared.lower())


def _fetched(wanted: Sequence[GivenImage], rules: Images, all_of: str, network: Network) -> dict[str, bytes]:
    """The bodies by URL; each is fetched once, however often it is there."""
    first: dict[str, GivenImage] = {}
    for given in wanted:
        first.setdefault(given.image["url"], given)
    if len(first) > MOST_FETCHED:
        raise InvalidRequest(f"{all_of}: must hold {MOST_FETCHED} images by URL at most", param=all_of)
    allowed = _allowed(rules.url_allowlist) if rules.url_allowlist else None

    def get(url: str) -> Fetched | FetchError:
        try:
            return fetch(
                url,
                max_bytes=rules.max_bytes,
                timeout=rules.timeout_ms / 1000,
                max_redirects=rules.max_redirects,
                accept="image/*",
                hosts_allowed=allowed,
                network=network,
            )
        except FetchError as error:
            return error  # what ends a greenlet is printed

    pool = Pool(FETCHES_AT_ONCE)
    try:
        answers = pool.map(get, first)
    finally:
        pool.kill()
    bodies: dict[str, bytes] = {}
    for given, answer in zip(first.values(), answers, strict=True):
        if isinstance(answer, FetchError):
            raise given.refused(str(answer))
        if not 200 <= answer.status < 300:
            raise given.refused(f"the server answers {answer.status}")
        if answer.truncated:
            raise given.refused(f"must hold {rules.max_bytes:,} bytes at most ({KEY}.maxBytes)")
        bodies[given.image["url"]] = answer.body
    return bodies


def _allowed(patterns: Sequence[str]) -> Callable[[str], bool]:
    """``example.com`` is that host, ``*.example.com`` every host below it."""
    hosts = {pattern.lower() for pattern in patterns}
    endings = tuple(pattern[1:] for pattern in hosts if pattern.startswith("*."))
    return lambda host: host in hosts or host.endswith(endings)


def _encoded(data: bytes) -> str:
    parts, slices = [], Slices()
    for begin in range(0, len(data), BLOCK):
        parts.append(binascii.b2a_base64(data[begin : begin + BLOCK], newline=False))
        slices.end()
    return b"".join(parts).decode("ascii")
