"""A server written without the SDK, in all the ways in which servers go wrong. Its arguments say which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
MODES = sys.argv[1:]


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def say(**message: Any) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def text(value: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}]}


def tools() -> list[dict[str, Any]]:
    names = [
        "echo",
        "hold",
        "heard",
        "die",
        "big",
        "flood",
        "invalid",
        "orphans",
        "secret",
        "error",
        "heavy",
        "listings",
    ]
    listed: list[dict[str, Any]] = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    if "fat" in MODES:
        listed.append({"name": "fat", "inputSchema": {"type": "object", "description": "x" * 40_000}})
        listed.append({"name": "wordy", "description": "x" * 5_000, "inputSchema": {"type": "object"}})
    if "broken" in MODES:
        fine = {"type": "object"}
        deep: dict[str, Any] = fine
        for _ in range(300):
            deep = {"type": "object", "properties": {"a": deep}}
        listed += [
            {"name": "typeless", "inputSchema": {"properties": {}}},
            {"name": "schemaless"},
            {"name": "stringly", "inputSchema": "object"},
            {"name": "arrayed", "inputSchema": {"type": "array"}},
            {"name": "", "inputSchema": fine},
            {"inputSchema": fine},
            {"name": 7, "inputSchema": fine},
            "no tool at all",
            None,
            {"name": "wordless", "description": 7, "inputSchema": fine},
            {"name": "hinted", "annotations": "yes", "inputSchema": fine},
            {"name": "unequal", "inputSchema": {"type": "object", "default": float("nan")}},
            {"name": "halved", "inputSchema": {"type": "object", "title": "\ud800"}},
            {"name": "deep", "inputSchema": deep},
            {"name": "echo", "inputSchema": fine},
            {"name": "after", "inputSchema": fine},
        ]
    if "many" in MODES:
        listed += [{"name": f"tool{number}", "inputSchema": {"type": "object"}} for number in range(1000)]
    if "dense" in MODES:
        listed += [{"name": f"dense{n}", "inputSchema": {"type": "object", "title": "x" * 30_000}} for n in range(20)]
    if "restless" in MODES:
        listed.append({"name": f"listing{len(listings)}", "inputSchema": {"type": "object"}})
    return listed


heard: list[Any] = []
# When its tools were asked for, in seconds.
listings: list[float] = []


def call(id: Any, name: str, arguments: dict[str, Any]) -> None:
    if name == "echo":
        say(id=id, result=text(json.dumps(arguments)))
    elif name == "heard":
        say(id=id, result=text(json.dumps(heard)))
    elif name == "listings":
        say(id=id, result=text(json.dumps(listings)))
    elif name == "die":
        sys.stderr.write("I can't go on\n")
        sys.stderr.flush()
        os._exit(7)
    elif name == "big":
        say(id=id, result=text("x" * 3_000_000))
    elif name == "flood":
        while True:
            write("x" * 65_536)
    elif name == "invalid":
        write('{"jsonrpc": "1.0", "id": 1}\n[]\n{"jsonrpc": "2.0", "id": {}, "result": 1}\n\x00\xff\n')
        say(id=id, result={"content": "not a list"})
    elif name == "orphans":
        own_session = subprocess.Popen(SLEEP, start_new_session=True, stdout=sys.stderr)
        start = f"import subprocess; print(subprocess.Popen({SLEEP!r}, stdout=2).pid)"
        orphan = subprocess.run([sys.executable, "-c", start], stdout=subprocess.PIPE, check=True)
        say(id=id, result=text(json.dumps([own_session.pid, int(orphan.stdout)])))
    elif name == "error":
        say(id=id, error={"code": -32000, "message": "not today"})
    elif name == "heavy":
        write(f'{{"jsonrpc": "2.0", "id": {id}, "result": {{"content": [], "structuredContent": {{"a": [')
        write(",".join(["{}"] * 2_700_000) + "]}}}\n")
    elif name == "secret":
        sys.stderr.write(f"the token is {os.environ['API_TOKEN']}, the arguments are {' '.join(MODES)}\n")
        sys.stderr.flush()
        say(id=id, result=text(os.environ["API_TOKEN"] + " " + os.environ["FOLDER"]))


def serve() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message["method"], message.get("id")
        heard.append(message["params"]["name"] if method == "tools/call" else method)
        if method == "initialize":
            version = message["params"]["protocolVersion"]
            info = {"name": "raw", "version": "1"}
            say(id=id, result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
        elif method == "tools/list":
            listings.append(time.monotonic())
            say(id=id, result={"tools": tools(), **({"nextCursor": "again"} if "endless-list" in MODES else {})})
            if "restless" in MODES:
                say(method="notifications/tools/list_changed")
        elif method == "tools/call":
            call(id, message["params"]["name"], message["params"].get("arguments") or {})


if "leave" in MODES:
    # What it started goes on and has its output open.
    subprocess.Popen(SLEEP)
    os._exit(8)
if "tell-all" in MODES:
    # In the middle of a long line, line by line, and in pieces.
    sys.stderr.write(os.environ["API_TOKEN"] + "\n")
    for at in range(440, 500, 8):
        sys.stderr.write("x" * at + " " + os.environ["API_TOKEN"] + " is bad\n")
        write("x" * (at - 350) + os.environ["API_TOKEN"] + "\n")
    sys.exit(9)
if "silent" in MODES:
    time.sleep(60)
while "flood-lines" in MODES:
    write("still not a message\n" * 1000)
while "flood-bytes" in MODES:
    write("x" * 65_536)
if "flood-stderr" in MODES:
    for _ in range(2_000):
        sys.stderr.write("x" * 10_000)
if "rubbish" in MODES:
    write("Server 1.0 starting…\n\n{}\n[1, 2\n")
if "refuse" in MODES:
    say(id=json.loads(sys.stdin.readline())["id"], error={"code": -32000, "message": "not before noon"})
    time.sleep(60)
serve()
