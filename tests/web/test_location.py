"""URLs: what may be asked for, and in which form."""

from __future__ import annotations

import pytest

from app.web.location import FetchError, Location


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://Example.COM", "https://example.com/"),
        (" http://example.com:80/a?b=c#d ", "http://example.com/a?b=c"),
        ("https://example.com:443", "https://example.com/"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("http://example.com./", "http://example.com/"),
        ("https://bücher.example/ä b?ü", "https://xn--bcher-kva.example/%C3%A4%20b?%C3%BC"),
        ("https://example.com/%C3%A4", "https://example.com/%C3%A4"),
        ("http://[2606:4700::1]:8080/", "http://[2606:4700::1]:8080/"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
    ],
)
def test_one_form(given: str, url: str) -> None:
    """A URL is ASCII, without fragment, without the scheme's own port, its host in lower case."""
    assert Location.of(given).url == url
    assert Location.of(url).url == url


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "begins with http"),
        ("example.com", "begins with http"),
        ("ftp://example.com/", "begins with http"),
        ("file:///etc/passwd", "begins with http"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("http://user@example.com/", "user name or password"),
        ("http://user:word@example.com/", "user name or password"),
        ("http://example.com:22/", "port 22"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:99999/", "is not a URL"),
        ("http://example.com:x/", "is not a URL"),
        ("http://[::1/", "is not a URL"),
        ("http://[fe80::1%25eth0]/", "not the name of a host"),
        ("http://[fe80::1%eth0]/", "not the name of a host"),
        ("http://a..example/", "not the name of a host"),
        ("http://" + "a" * 64 + ".example/", "not the name of a host"),
        ("http://a b.example/", "not the name of a host"),
        ("http://exa%6dple.com/", "not the name of a host"),
        ("http://example.com\\@127.0.0.1/", "control character or a backslash"),
        ("http://example.com/\r\nHost: x", "control character or a backslash"),
        ("http://exam\tple.com/", "control character or a backslash"),
        ("http://example.com/" + "a" * 5000, "longer than"),
    ],
)
def test_what_is_not_fetched(given: str, reason: str) -> None:
    """Everything else is refused before anything is looked up, with its reason."""
    with pytest.raises(FetchError, match=reason):
        Location.of(given)


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/b", "https://example.com/b"),
        ("c", "https://example.com/a/c"),
        ("//other.example/", "https://other.example/"),
        ("https://other.example:8443", "https://other.example:8443/"),
        ("/ä".encode().decode("latin-1"), "https://example.com/%C3%A4"),
    ],
)
def test_where_a_redirect_leads(target: str, url: str) -> None:
    """Relative and whole targets count from the page that sends them, in UTF-8."""
    assert Location.of("https://example.com/a/b").redirected(target).url == url


@pytest.mark.parametrize(
    "target", ["http://example.com/", "ftp://example.com/", "https://u:p@example.com/", "//[", "//x:1/"]
)
def test_a_redirect_that_is_not_followed(target: str) -> None:
    """A redirect is checked as a URL of its own, and never leaves https."""
    with pytest.raises(FetchError):
        Location.of("https://example.com/").redirected(target)
