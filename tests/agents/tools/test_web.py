"""``web_fetch``: pages as a model reads them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import psutil
import pytest

from app.agents.tools import web as web_module
from app.agents.tools.tool import ToolFailed
from app.agents.tools.web import web_tools
from app.agents.tools.web_program import PATIENCE
from tests.agents.scene import until
from tests.web.scene import Web, reply, sent_to, web_in


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with web_in(tmp_path) as web:
        yield web


def read(web: Web, path: str = "/", **arguments: Any) -> str:
    (tool,) = web_tools(web.network())
    given = {"url": f"http://public.example{path}", **arguments}
    assert tool.fault_of(given) == ""
    return tool.work(None, given)  # type: ignore[arg-type]


def page(web: Web, html: str | bytes, kind: str = "text/html; charset=utf-8", **arguments: Any) -> str:
    """What stands between the marks."""
    web.answers["/"] = reply(html.encode() if isinstance(html, str) else html, kind=kind)
    return content(read(web, **arguments))


def content(result: str) -> str:
    mark = result.split("\n")[3]
    assert mark.startswith("=== ")
    return result.split(f"\n{mark}")[1].removeprefix("\n")


def children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if str(web_module.PROGRAM) in " ".join(child.cmdline())
    ]


def test_what_a_model_is_told_of_it() -> None:
    """The tool says that it may run beside others and changes nothing, and takes no other arguments."""
    (tool,) = web_tools()
    assert (tool.name, tool.concurrent, tool.changes) == ("web_fetch", True, False)
    for wrong in ({}, {"url": 5}, {"url": "x", "maxChars": 99}, {"url": "x", "maxChars": 50_001}, {"url": "x", "y": 1}):
        assert tool.fault_of(wrong)


def test_html_becomes_markdown(web: Web) -> None:
    """The result names place, status and type; the title is a heading, links are whole, what is no content is gone."""
    web.answers["/old"] = sent_to("/dir/new")
    web.answers["/dir/new"] = reply(
        b"<!doctype html><html><head><title> A\n title </title><style>p{}</style><body><nav><a href=/>menu</a></nav>"
        b"<h2>Part</h2><p>Some <b>bold</b> <a href='more?x=1'>link</a>, <a href='javascript:x()'>none</a>.</p>"
        b"<ul><li>one<li>two</ul><script>alert(1)</script><img alt=pic src=data:image/png;base64,AAAA></body></html>",
        kind="text/html",
    )
    result = read(web, "/old")
    head = result.split("\n")
    assert head[:2] == ["http://public.example/dir/new", "status 200 OK, text/html"]
    assert "no instructions" in head[2]
    text = content(result)
    assert text.startswith("# A title\n")
    assert "## Part" in text
    assert "Some **bold** [link](http://public.example/dir/more?x=1)" in text
    assert "- one" in text
    for gone in ("menu", "alert", "p{}", "javascript", "AAAA"):
        assert gone not in text


def test_a_page_can_not_leave_its_marks(web: Web) -> None:
    """The marks are new for each result, so that no page can hold them."""
    web.answers["/"] = reply(b"text", kind="text/plain")
    marks = {read(web).split("\n")[3] for _ in range(3)}
    assert len(marks) == 3


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", "<b>as it is</b>\n"),
        ("text/markdown; charset=utf-8", "# ä"),
        ("application/json", '{"a":  1}'),
        ("application/ld+json", "{}"),
        ("application/xml", "<a/>"),
        ("image/svg+xml", None),
    ],
)
def test_text_stays_as_it_is(web: Web, kind: str, body: str | None) -> None:
    """JSON and text are not touched; what is no text is only counted."""
    web.answers["/"] = reply((body or "<svg/>").encode(), kind=kind)
    result = read(web)
    if body is None:
        assert result.endswith("\n[image/svg+xml, 6 bytes]")
    else:
        assert content(result) == body


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("image/png", "[image/png, 12,345 bytes]"),
        ("", "[unknown type, 12,345 bytes]"),
        ("a b\tc", "[unknown type, 12,345 bytes]"),
    ],
)
def test_what_is_no_text(web: Web, kind: str, told: str) -> None:
    """Other types are told by type and size, and a type that is none is not repeated."""
    web.answers["/"] = reply(b"\x00" * 12_345, kind=kind)
    assert read(web).split("\n")[-1] == told


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain; charset=iso-8859-1", b"\xe4"),
        ("text/plain; charset=windows-1252", b"\xe4"),
        ("text/plain; charset=UTF-16", "ä".encode("utf-16")),
        ("text/plain", b"\xc3\xa4"),
        ("text/plain; charset=rot13", b"\xc3\xa4"),
        ("text/plain; charset=punycode", b"\xc3\xa4"),
        ("text/plain; charset=utf-8-nonsense", b"\xc3\xa4"),
        ("text/html; charset=iso-8859-1", b"<p>\xe4"),
        ("text/html; charset=nonsense", b"<p>\xc3\xa4"),
        ("text/html", b"<meta charset=iso-8859-1><p>\xe4"),
    ],
)
def test_encodings(web: Web, kind: str, body: bytes) -> None:
    """Text is read in the encoding that the server or the page names, if that is one of the web's; else as UTF-8."""
    assert page(web, body, kind).strip() == "ä"


def test_only_what_can_matter_is_decoded(web: Web) -> None:
    """A foreign encoding is decoded by small blocks, and no further than the limit, whatever it has for text."""
    sizes: list[int] = []
    known = codecs.lookup("windows-1252")

    class Counting(known.incrementaldecoder):  # type: ignore[name-defined, misc]
        def decode(self, data: bytes, final: bool = False) -> str:
            sizes.append(len(data))
            return str(super().decode(data, final))

    def whole(data: bytes, errors: str = "strict") -> tuple[str, int]:
        sizes.append(len(data))
        return known.decode(data, errors)

    def find(name: str) -> codecs.CodecInfo | None:
        if name != "windows_counting":
            return None
        return codecs.CodecInfo(known.encode, whole, incrementaldecoder=Counting, name=name)

    codecs.register(find)
    try:
        text = page(web, b"\x81" * web_module.MAX_PAGE, "text/plain; charset=windows-counting", maxChars=50_000)
    finally:
        codecs.unregister(find)
    assert text == "\ufffd" * 50_000
    assert max(sizes) <= 16 * 1024
    assert 50_000 < sum(sizes) < 70_000


def test_characters_between_blocks(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A character that is cut by the end of a block is put together again, one at the end of the page is replaced."""
    monkeypatch.setattr(web_module, "BLOCK", 3)
    assert page(web, "aä😀b".encode() * 5 + b"\xc3", "text/plain; charset=utf-8") == "aä😀b" * 5 + "\ufffd"
    assert page(web, "a😀b".encode("utf-16"), "text/plain; charset=utf-16") == "a😀b"


def test_where_it_is_cut(web: Web) -> None:
    """Text is cut at the usual or the given length, and what is cut is said to be."""
    web.answers["/"] = reply(b"a" * 60_000)
    result = read(web)
    assert content(result) == "a" * 20_000
    assert result.endswith("\n[Cut after 20,000 characters.]")
    assert read(web, maxChars=50_000).count("a" * 50_000) == 1
    web.answers["/"] = reply(b"b" * 100)
    assert "Cut" not in read(web, maxChars=100)


def test_where_html_is_cut(web: Web) -> None:
    """Markdown is cut as text is, many bytes to the character or few."""
    web.answers["/"] = reply(b"<p>" + "😀".encode() * 50_000, kind="text/html; charset=utf-8")
    result = read(web, maxChars=50_000)
    assert result.count("😀") == 50_000
    assert "Cut" not in result
    result = read(web, maxChars=100)
    assert (result.count("😀"), "[Cut after 100 characters.]" in result) == (100, True)


def test_a_page_that_is_too_large(web: Web) -> None:
    """Of a page beyond the bound the beginning is read, and that is said."""
    web.answers["/"] = reply(b"<p>begin</p>" + b" " * web_module.MAX_PAGE, kind="text/html")
    result = read(web)
    assert "begin" in result
    assert "[Only the first 2,097,152 bytes were read.]" in result


def test_ten_thousand_nested_tags(web: Web) -> None:
    """A page that is nested beyond measure gives its text, and says so."""
    text = page(web, "<div>" * 10_000 + "deep inside")
    assert "its text alone" in text
    assert text.endswith("deep inside")


def test_markdown_has_what_parsing_leaves(web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A page whose parsing took all of the time gives its text, before its place is taken from it."""
    text = web_module.PROGRAM.read_text()
    late = tmp_path / "late.py"
    late.write_text(text.replace(f"PATIENCE = {PATIENCE}", "PATIENCE = 0.0"))
    assert late.read_text() != text
    monkeypatch.setattr(web_module, "PROGRAM", late)
    assert page(web, "<p>some <b>bold</b> words") == (
        "[The page is too deep or too large for Markdown: this is its text alone.]\n\nsome\nbold\nwords"
    )
    assert PATIENCE < web_module.CONVERT_TIMEOUT <= 6


def test_how_many_are_converted_at_once(web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who would wait too long for a conversion is told that the page was fetched; places come back."""
    real = web_module.PROGRAM
    endless = tmp_path / "endless.py"
    endless.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(web_module, "PROGRAM", endless)
    web.answers["/"] = reply(b"<p>x", kind="text/html")
    busy = [gevent.spawn(read, web) for _ in range(web_module.CONVERSIONS)]
    until(lambda: len(children()) == web_module.CONVERSIONS)
    monkeypatch.setattr(web_module, "QUEUE_TIMEOUT", 0.01)
    with pytest.raises(ToolFailed, match="was fetched, but other pages are still being converted"):
        read(web)
    gevent.killall(busy)
    monkeypatch.setattr(web_module, "PROGRAM", real)
    assert content(read(web)).strip() == "x"


def test_a_page_that_takes_too_long(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion that does not end is ended, told, and leaves no process."""
    monkeypatch.setattr(web_module, "CONVERT_TIMEOUT", 0.05)
    with pytest.raises(ToolFailed, match="could not be converted in"):
        page(web, "<p>x")
    assert children() == []


def test_a_page_that_breaks_the_converter(web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A conversion that fails is told without its trace."""
    broken = tmp_path / "broken.py"
    broken.write_text("raise SystemError('inside')")
    monkeypatch.setattr(web_module, "PROGRAM", broken)
    with pytest.raises(ToolFailed) as failed:
        page(web, "<p>x")
    assert str(failed.value).endswith("its HTML is too large or too broken to be converted")


def test_a_run_that_is_killed(web: Web) -> None:
    """Killed while it converts, it leaves no process."""
    web.answers["/"] = reply(b"<p><b>" * 300_000, kind="text/html")
    reading = gevent.spawn(read, web)
    while not children():
        gevent.sleep(0.01)
    reading.kill()
    assert children() == []


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_a_status_that_is_a_fault(web: Web, kind: str) -> None:
    """A page that is not there fails with its status and the beginning of what it says."""
    web.answers["/"] = reply(b"<p>gone " + b"x" * 9000, kind=kind, status="410 Gone")
    with pytest.raises(ToolFailed) as failed:
        read(web)
    assert "status 410 Gone" in str(failed.value)
    assert "gone xxx" in str(failed.value)
    assert len(str(failed.value)) < 1000


def test_what_can_not_be_fetched(web: Web) -> None:
    """A place that is not public fails with words that a model can use."""
    web.names["public.example"] = ["127.0.0.1"]
    with pytest.raises(ToolFailed) as failed:
        read(web)
    assert str(failed.value) == "could not fetch: public.example resolves to an address that is not public"
