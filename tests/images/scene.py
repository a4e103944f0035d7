"""Images to send."""

from __future__ import annotations

import base64
import io

from PIL import Image

TYPES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 30), frames: int = 1) -> bytes:
    """A picture with something in it, so that cutting it takes something away. kind: by the names of Pillow."""
    drawn = [Image.effect_mandelbrot(size, (-2, -1 - at, 1, 1), 50).convert("RGB") for at in range(frames)]
    written = io.BytesIO()
    drawn[0].save(written, kind, **({"save_all": True, "append_images": drawn[1:]} if frames > 1 else {}))
    return written.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64_of(data)}"
