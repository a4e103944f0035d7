"""Web addresses that may be fetched, taken apart once and written in one way."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

# Characters.
MAX_URL = 4096
# Other ports are not the web's: asking them would make the gateway a scanner of foreign networks.
PORTS = (80, 443, 8080, 8443)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_TARGET_SAFE = "/%:@!$&'()*+,;=~?"
_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?|[0-9a-f:.]{2,45}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


class FetchError(Exception):
    """Something can't be fetched. The message is for a model or a caller, and names no address that was looked up."""


class Location(NamedTuple):
    """A URL. scheme: http or https. host: ASCII, lower case, IPv6 without brackets. target: path and query, quoted."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def of(cls, url: str) -> Location:
        """Raises FetchError, with what is wrong with it."""
        url = url.strip(" ")
        if len(url) > MAX_URL:
            raise FetchError(f"the URL is longer than {MAX_URL} characters")
        if _CONTROL.search(url):
            raise FetchError("the URL holds a control character or a backslash")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise FetchError(f"{url[:200]!r} is not a URL") from None
        if parts.scheme not in _DEFAULT_PORTS:
            raise FetchError(f"{url[:200]!r} is not a URL that begins with http:// or https://")
        if "@" in parts.netloc:
            raise FetchError("the URL holds a user name or password; only what is open to all is fetched")
        port = _DEFAULT_PORTS[parts.scheme] if port is None else port
        if port not in PORTS:
            raise FetchError(f"port {port} is not fetched from; ports are {', '.join(map(str, PORTS))}")
        target = quote(parts.path or "/", safe=_TARGET_SAFE)
        if parts.query:
            target += "?" + quote(parts.query, safe=_TARGET_SAFE)
        return cls(parts.scheme, _host(parts.hostname), port, target)

    @property
    def authority(self) -> str:
        """``host``, with the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without fragment, ASCII."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def redirected(self, target: str) -> Location:
        """Where a ``Location`` header leads. Raises FetchError; also when it leads from https to http."""
        try:
            # http.client reads headers as Latin-1; servers write UTF-8.
            url = urljoin(self.url, target.encode("latin-1", "replace").decode("utf-8", "replace"))
        except ValueError:
            raise FetchError(f"{self.host} redirects to what is not a URL") from None
        following = Location.of(url)
        if self.scheme == "https" and following.scheme == "http":
            raise FetchError(f"{self.host} redirects from https to http")
        return following


def _host(name: str | None) -> str:
    if not name:
        raise FetchError("the URL has no host")
    try:
        # Labels that are empty or too long are refused here, and digits of other scripts become plain ones.
        host = name if ":" in name else name.removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise FetchError(f"{name[:200]!r} is not the name of a host")
    return host
