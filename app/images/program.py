"""Decodes images. A process of its own, as a small file may take a minute and a gigabyte.

``program.py PIXELS ALL_PIXELS``: the most pixels of one image, and of all of them. Run by path. Standard input is
a line with a JSON array of sizes in bytes, then that many images in base64. Standard output has a line of JSON for each
image as soon as it is decoded, up to the first that has a fault:

``{"format": str}``
    its format, by the names of Pillow.
``{"fault": str, "reason": str}``
    why it is refused, for the caller, and more for the log, perhaps nothing.
"""

from __future__ import annotations

import binascii
import io
import json
import os
import resource
import sys
import warnings

from PIL import Image, UnidentifiedImageError, WebPImagePlugin

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
# Seconds of computing for all images of a request. The largest that are taken need less than half.
MAX_CPU = 10
# Bytes: WebP takes 16 a pixel.
MAX_MEMORY = 1024 * 1024 * 1024

assert WebPImagePlugin  # importing is what makes the format known


class Fault(Exception):
    """The image is refused. The message is for the caller."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Decoder:
    """most, most_in_all: pixels, see above."""

    def __init__(self, most: int, most_in_all: int) -> None:
        self._most = most
        self._most_in_all = most_in_all
        self._pixels = 0

    def format_of(self, encoded: bytes) -> str:
        """What an image in base64 really is, after decoding it. Raises Fault."""
        try:
            data = binascii.a2b_base64(encoded, strict_mode=True)
        except ValueError as error:
            raise Fault(f"is not base64: {error}") from None
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                self._count(image.width * image.height)
                # JPEG alone can: an eighth of the size, from all of the data.
                image.draft(None, (1, 1))
                # Of an animation the first picture.
                image.load()
                return image.format or ""
        except UnidentifiedImageError:
            raise Fault("is broken, or not PNG, JPEG, GIF or WebP") from None
        except Fault:
            raise
        except Exception as error:  # the decoders raise whatever bad data, or too little memory, makes them meet
            raise Fault("is broken, cut off or too large", f"{type(error).__name__}: {error}") from None

    def _count(self, pixels: int) -> None:
        """By its header: before anything is unpacked."""
        self._pixels += pixels
        if pixels > self._most:
            raise Fault(f"has {pixels:,} pixels; {self._most:,} are the most")
        if self._pixels > self._most_in_all:
            raise Fault(f"up to here the images have more than {self._most_in_all:,} pixels together")


def main() -> None:
    # A second between the two: the signal of the first one says why it ended.
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU, MAX_CPU + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    # Whoever listens to an answer of a model comes first.
    os.nice(10)
    # They would stand among the answers.
    warnings.simplefilter("ignore")
    # Counted here.
    Image.MAX_IMAGE_PIXELS = None
    decoder = Decoder(*map(int, sys.argv[1:]))
    for size in json.loads(sys.stdin.buffer.readline()):
        try:
            answer = {"format": decoder.format_of(sys.stdin.buffer.read(size))}
        except Fault as fault:
            answer = {"fault": str(fault), "reason": fault.reason[:500]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
        if "fault" in answer:
            return


if __name__ == "__main__":
    main()
