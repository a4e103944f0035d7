"""Run in a network of its own, as its root: fetches from the addresses of its one interface, before and after.

Prints a line for each URL: what was found, or why not.
"""

from __future__ import annotations

import subprocess

from gevent.pywsgi import WSGIServer

from app.web.fetch import FetchError, fetch

ADDRESSES = ("93.184.216.1/24", "93.184.216.2/24", "2606:2800:220:1::1/64")


def served(_environ: object, start_response: object) -> list[bytes]:
    start_response("200 OK", [])  # type: ignore[operator]
    return [b"reached"]


def told(url: str) -> str:
    try:
        return fetch(url, max_bytes=100, timeout=10, max_redirects=0).body.decode()
    except FetchError as error:
        return str(error)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


ip("link", "set", "lo", "up")
for address in ADDRESSES[:1]:
    ip("address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
WSGIServer(("0.0.0.0", 8080), served, log=None).start()
print(told("http://93.184.216.1:8080/"))
for address in ADDRESSES[1:]:
    ip("address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))
WSGIServer(("2606:2800:220:1::1", 8080), served, log=None).start()
ip("route", "add", "local", "151.101.0.0/24", "dev", "lo")
for host in ("93.184.216.1", "93.184.216.2", "151.101.0.7", "[2606:2800:220:1::1]", "[64:ff9b::5db8:d801]"):
    print(told(f"http://{host}:8080/"))
