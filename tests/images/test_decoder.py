"""The child process that decodes images: what it takes for one, and what holds it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import psutil
import pytest
from PIL import Image

from app import children
from app.errors import Overloaded
from app.images import decoder
from app.images.decoder import Seen, looked_at
from app.images.program import Decoder, Fault
from tests.agents.scene import until
from tests.images.scene import base64_of

StandIn = Callable[[str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Puts another program in the place of the one that decodes."""

    def put(text: str) -> None:
        (tmp_path / "program.py").write_text(text)
        monkeypatch.setattr(decoder, "PROGRAM", tmp_path / "program.py")

    return put


def with_bound(name: str, value: int) -> str:
    """The real program with another bound."""
    text, count = re.subn(f"^{name} = .*", f"{name} = {value}", decoder.PROGRAM.read_text(), flags=re.M)
    assert count == 1
    return text


def written(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture with something in it, so that cutting it takes something away."""
    data = io.BytesIO()
    Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50).resize(size).convert("RGB").save(data, kind)
    return data.getvalue()


def fault_of(encoded: str) -> str:
    with pytest.raises(Fault) as fault:
        Decoder(10**6, 10**6).format_of(encoded.encode())
    return str(fault.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_an_image_that_is_cut_off(kind: str, part: float) -> None:
    """The headers alone don't make an image."""
    data = written(kind, (200, 150))
    assert "is broken" in fault_of(base64_of(data[: int(len(data) * part)]))


def test_an_image_that_is_corrupt() -> None:
    """A PNG whose data don't match their checksum is refused."""
    data = bytearray(written("PNG"))
    data[len(data) // 2] ^= 0xFF
    assert fault_of(base64_of(bytes(data))) == "is broken, cut off or too large"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\x89PNG\r\n\x1a\n",
        written("BMP"),
        written("TIFF"),
    ],
)
def test_what_is_no_image(data: bytes) -> None:
    """Text, an empty string, and formats that are not taken are no images."""
    assert fault_of(base64_of(data)) == "is broken, or not PNG, JPEG, GIF or WebP"


@pytest.mark.parametrize(
    "encoded", ["a", "ab", "abc", "ab=c", "ab==cd==", "a b=", "ab\n==", "???=", "ab-_", "%41%42=="]
)
def test_what_is_no_base64(encoded: str) -> None:
    """Base64 is strict: padded, without breaks, its own alphabet."""
    assert fault_of(encoded).startswith("is not base64: ")


def test_one_process_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images of a request are decoded by one child, and none after the first with a fault."""
    ran: list[Any] = []
    real = children.run
    monkeypatch.setattr(children, "run", lambda *given, **more: ran.append(given) or real(*given, **more))
    png, gif = base64_of(written("PNG")), base64_of(written("GIF"))
    assert looked_at([png, gif, png]) == [Seen("PNG"), Seen("GIF"), Seen("PNG")]
    assert len(ran) == 1
    answers = looked_at([png, "ab", gif])
    assert [(seen.format, bool(seen.fault)) for seen in answers] == [("PNG", False), ("", True)]


def scans_without_end() -> bytes:
    """A progressive JPEG of 0.1 MB, whose last scan of 33 bytes stands in it another thousand times."""
    data = io.BytesIO()
    Image.new("L", (4096, 4096), 200).save(data, "JPEG", progressive=True, quality=50)
    body = data.getvalue().removesuffix(b"\xff\xd9")
    return body + body[body.rindex(b"\xff\xda") :] * 1000 + b"\xff\xd9"


def test_an_image_that_takes_too_long(program: StandIn) -> None:
    """An image that keeps the decoder busy is given up after its seconds of computing, and told to be the one."""
    program(with_bound("MAX_CPU", 1))
    good = base64_of(written("PNG"))
    answers = looked_at([good, base64_of(scans_without_end()), good])
    assert answers[0] == Seen("PNG")
    assert answers[1].fault.startswith("can't be decoded in time")
    assert len(answers) == 2


def test_an_image_that_takes_too_much_memory(program: StandIn) -> None:
    """An image that would take more memory than the decoder may have is refused, and nothing else is harmed."""
    png, webp = base64_of(written("PNG")), base64_of(written("WEBP", (2000, 2000)))
    assert looked_at([webp]) == [Seen("WEBP")]
    program(with_bound("MAX_MEMORY", 60 * 1024 * 1024))
    first, second = looked_at([png, webp])
    assert (first, second.fault) == (Seen("PNG"), "is broken, cut off or too large")


def test_a_decoder_that_does_not_end(program: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the time is over, the image at which it stands is told, whatever it does meanwhile."""
    monkeypatch.setattr(decoder, "TIME_LIMIT", 0.5)
    program("""import time; print('{"format": "PNG"}', flush=True); time.sleep(60)""")
    first, second = looked_at(["AAAA", "AAAA"])
    assert first == Seen("PNG")
    assert second.fault.startswith("can't be decoded in time")


def test_a_decoder_that_crashes(program: StandIn) -> None:
    """An image that kills the decoder is refused; whatever its last words were, they are not told."""
    program("""import os; print('{"format": "PNG"}\\nfree(): bad', flush=True); os.kill(os.getpid(), 11)""")
    assert [seen.fault for seen in looked_at(["AAAA", "AAAA"])] == ["", "can't be decoded"]


@pytest.mark.parametrize("text", ["raise SystemError('inside')", """print('{"format": "PNG"}')"""])
def test_a_decoder_that_fails(program: StandIn, text: str) -> None:
    """A program that does not work, or does not answer for all, is no fault of the caller, and passes no image."""
    program(text)
    with pytest.raises(RuntimeError, match="decoder of images failed"):
        looked_at(["AAAA", "AAAA"])


def test_how_many_decode_at_once(program: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many requests' images are decoded at once; who would wait too long is sent away, and places come back."""
    real = decoder.PROGRAM
    program("import time; time.sleep(60)")

    def at_work() -> int:
        found = psutil.Process().children()
        return sum(str(decoder.PROGRAM) in " ".join(child.cmdline()) for child in found)

    busy = [gevent.spawn(looked_at, ["AAAA"]) for _ in range(decoder.AT_ONCE)]
    until(lambda: at_work() == decoder.AT_ONCE)
    monkeypatch.setattr(decoder, "QUEUE_TIMEOUT", 0.01)
    with pytest.raises(Overloaded) as refusal:
        looked_at(["AAAA"])
    assert refusal.value.headers["Retry-After"]
    gevent.killall(busy)
    assert at_work() == 0
    monkeypatch.setattr(decoder, "PROGRAM", real)
    assert looked_at([base64_of(written("PNG"))]) == [Seen("PNG")]
