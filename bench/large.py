"""What stops the hub: health is asked every 20 ms while the gateway does something large, and the longest wait counts.

    python -m bench.large '{"kind": "messages", "port": 18789, "model": "openclaw/m", "token": "…"}'

prints ``{"longest": seconds, "usual": seconds}``: between the moment at which an answer was due and the one at which it
came, with the work and, as the machine has other work too, without. A further case is a line in ``CASES``.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from bench.sockets import TEXT, Client

EVERY = 0.02
# Seconds before the work, in which the machine shows what it does to anybody.
BEFORE = 1.0
MB = 1024 * 1024

Job = dict[str, Any]
Case = Callable[[Job], None]


def post(job: Job, body: bytes, statuses: tuple[int, ...] = (200,)) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", job["port"], timeout=60)
    headers = {"Authorization": f"Bearer {job['token']}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    response = connection.getresponse()
    told = response.read()
    connection.close()
    if response.status not in statuses:
        raise SystemExit(f"{job['kind']}: {response.status} {told[:300]!r}")


def chat(job: Job, messages: bytes, more: bytes = b"") -> bytes:
    return b'{"model":"%b","messages":[%b]%b}' % (job["model"].encode(), messages, more)


def user(content: bytes) -> bytes:
    return b'{"role":"user","content":%b}' % content


def repeated(member: bytes, size: int = 19 * MB) -> bytes:
    return b",".join([member] * (size // (len(member) + 1)))


def messages(job: Job) -> None:
    post(job, chat(job, b",".join([user(b'"hello there"')] * 100_000)))


def parts(job: Job) -> None:
    post(job, chat(job, user(b"[" + b",".join([b'{"type":"text","text":"hello"}'] * 100_000) + b"]")))


def too_many_parts(job: Job) -> None:
    post(job, chat(job, user(b"[" + repeated(b'{"type":"text","text":"hello"}') + b"]")), (400,))


def text(job: Job) -> None:
    post(job, chat(job, user(b'"' + b"hello there\\n" * (19 * MB // 13) + b'"')))


def texts(job: Job) -> None:
    post(job, chat(job, repeated(user(b'"' + b"hello there " * 2000 + b'"'))))


def numbers(job: Job) -> None:
    post(job, chat(job, user(b'"hi"'), b',"unknown":[' + repeated(b"1.5") + b"]"), (200, 400))


def broken(job: Job) -> None:
    post(job, chat(job, repeated(user(b'"hello there"')))[:-1], (400,))


def frame(job: Job, method: str, **params: Any) -> None:
    client = Client(job["port"], job["token"])
    client.hear(b"")  # whatever comes first
    payload = json.dumps({"type": "req", "id": method, "method": method, "params": params}).encode()
    # A mask of zeros leaves the payload as it is.
    client.sock.sendall(bytes([TEXT]) + b"\xff" + len(payload).to_bytes(8, "big") + b"\0\0\0\0" + payload)
    client.hear(b'"id":"%b"' % method.encode())
    client.sock.close()


def large_frame(job: Job) -> None:
    frame(job, "health", unknown=["hello"] * (24 * MB // 9))


def long_message(job: Job) -> None:
    agent = job["model"].partition("/")[2]
    frame(
        job,
        "chat.send",
        sessionKey=f"agent:{agent}:stalls",
        message="hello " * 1_600_000,
        idempotencyKey=f"{time.time()}",
    )


CASES: dict[str, Case] = {
    "100,000 messages": messages,
    "100,000 text parts": parts,
    "600,000 text parts, refused": too_many_parts,
    "a text of 19 MB": text,
    "800 texts of 24 KB": texts,
    "19 MB of numbers in an unknown field": numbers,
    "19 MB of broken JSON": broken,
    "a frame of 24 MB": large_frame,
    "a WebSocket message of 9.6 MB": long_message,
}


class Sampler(threading.Thread):
    """Asks for health again and again. waits: of each answer, the seconds since it was asked for."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._ended = False
        self.waits: list[float] = []

    def run(self) -> None:
        while not self._ended:
            asked = time.perf_counter()
            self._connection.request("GET", "/healthz")
            self._connection.getresponse().read()
            self.waits.append(time.perf_counter() - asked)
            time.sleep(EVERY)

    def longest(self) -> float:
        """Since it was asked for last."""
        waits, self.waits = self.waits, []
        return max(waits, default=0.0)

    def end(self) -> None:
        self._ended = True
        self.join()


def main(job: Job) -> None:
    case = CASES[job["kind"]]
    sampler = Sampler(job["port"])
    sampler.start()
    time.sleep(BEFORE)
    usual = sampler.longest()
    # In a process of its own the making of the request would not hold the sampler; a thread's sleeps are let in.
    case(job)
    time.sleep(4 * EVERY)
    sampler.end()
    print(json.dumps({"longest": sampler.longest(), "usual": usual}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
