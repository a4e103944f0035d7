"""The provider of the bench, as cheap as HTTP can be: what is measured is whatever stands before it.

The request's model decides: ``m`` answers ten tokens at once, ``paced`` sends PACE tokens a second until the client
leaves, each token being the time at which it was sent, ``held`` sends one token and is silent. ``tool`` and ``fetch``
call a tool of the gateway's and answer as ``m`` once its result is there.
"""

import os
import re
import sys
import time

import gevent
from gevent.server import StreamServer
from gevent.socket import IPPROTO_TCP, TCP_NODELAY, socket

PACE = 50
# The streams of a second start a millisecond apart: all of them writing at once would be late by their number alone.
SLOTS = 1000 // PACE
TOKENS = ("The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", ".")
ANSWER = "".join(TOKENS)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    b'"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n'
)
USAGE = (
    b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":9,"completion_tokens":10,"total_tokens":19}}\n\n'
)
MODEL = re.compile(rb'"model":\s*"(\w+)"')
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def token(text: str) -> bytes:
    return framed(EVENT % (b'{"content":"%b"}' % text.encode(), b"null"))


ROLE = framed(EVENT % (b'{"role":"assistant","content":""}', b"null"))
END = framed(EVENT % (b"{}", b'"stop"')) + framed(USAGE) + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
SHORT = HEAD + ROLE + b"".join(token(text) for text in TOKENS) + END
HELD = HEAD + ROLE + token("held")
OPENING = HEAD + ROLE
STAMPED = token(f"@{0:016};").replace(b"%016d" % 0, b"%016d")

CALL = b'{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"%b","arguments":"%b"}}]}'
CALLED = framed(EVENT % (b"{}", b'"tool_calls"')) + framed(USAGE) + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
CALLS = {
    b"tool": (b"ls", rb"{\"path\":\".\"}"),
    b"fetch": (b"web_fetch", rb"{\"url\":\"http://192.0.2.1/\"}"),
}


class Pacer:
    """Writes to every paced stream in turn, from one greenlet: a timer for each would cost more than the writing."""

    def __init__(self) -> None:
        self._slots: list[dict[int, bytes]] = [{} for _ in range(SLOTS)]
        self._added = 0

    def add(self, file: int) -> None:
        self._slots[self._added % SLOTS][file] = b""
        self._added += 1

    def remove(self, file: int) -> None:
        for slot in self._slots:
            slot.pop(file, None)

    def run(self) -> None:
        started = time.monotonic()
        tick = 0
        while True:
            slot = self._slots[tick % SLOTS]
            for file, unsent in tuple(slot.items()):
                slot[file] = self._write(file, unsent + STAMPED % (time.monotonic_ns() // 1000))
            tick += 1
            gevent.sleep(max(0.0, started + tick / 1000 - time.monotonic()))

    @staticmethod
    def _write(file: int, data: bytes) -> bytes:
        """Returns what did not fit."""
        try:
            return data[os.write(file, data) :]
        except BlockingIOError:
            return data
        except OSError:
            return b""  # its handler is about to remove it


pacer = Pacer()


def serve(client: socket, _: object) -> None:
    client.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    try:
        while request := read_request(client):
            model = MODEL.search(request)
            name = model[1] if model else b""
            # With the tool's result there, it is the plain answer's turn.
            answer(client, b"m" if name in CALLS and b'"role":"tool"' in request.replace(b" ", b"") else name)
    except OSError:
        pass


def read_request(client: socket) -> bytes:
    request = bytearray()
    while data := client.recv(65536):
        request += data
        head, blank, body = request.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if blank and len(body) >= int(length[1] if length else 0):
            return bytes(request)
    return b""


def answer(client: socket, model: bytes) -> None:
    if model == b"m":
        client.sendall(SHORT)
    elif model in CALLS:
        client.sendall(HEAD + ROLE + framed(EVENT % (CALL % CALLS[model], b"null")) + CALLED)
    elif model == b"held":
        client.sendall(HELD)
        client.recv(1)
    elif model == b"paced":
        client.sendall(OPENING)
        pacer.add(client.fileno())
        try:
            client.recv(1)
        finally:
            pacer.remove(client.fileno())
    else:
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


if __name__ == "__main__":
    gevent.spawn(pacer.run)
    StreamServer(("127.0.0.1", int(sys.argv[1])), serve, backlog=4096).serve_forever()
