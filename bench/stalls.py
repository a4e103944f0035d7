"""How long the hub stands still for one piece of work: ``/healthz`` asked every 20 ms while it is done.

    python -m bench.stalls '{"port": 18789}'

is the process that asks. It says that it has begun, and once its input ends, prints its figures as one JSON object.
Each case has a gateway of its own, since what is looked for is often the first of its kind.
"""

import base64
import gc
import http.client
import json
import select
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figures, milliseconds
from bench.processes import PYTHON, Broken, Target, gateway, provider, running
from bench.sockets import Client

EVERY = 0.02
ALLOWED = 0.05
# Seconds that are watched after the work, for what it leaves behind.
SETTLING = 0.3
QUESTION = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
END = b"}"
STREAMS, WATCHERS = 200, 60
SESSIONS = 10_000
LONG = 5_000_000
AGENTS = 1_000
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
# A server of MCP as small as one can be.
MCP_SERVER = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") == "initialize":
        told = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "s", "version": "1"}}
    elif asked.get("method") == "tools/list":
        schema = {"type": "object", "properties": {"text": {"type": "string", "description": "what to say" * 10}}}
        told = {"tools": [{"name": f"say_{number}", "description": "says it " * 20, "inputSchema": schema}
                          for number in range(40)]}
    else:
        told = {}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told}), flush=True)
"""

Config = dict[str, Any]


@dataclass(frozen=True)
class Gateway:
    """A gateway under measurement, with what a case needs of it. state: its folder; its file stands beside it."""

    target: Target
    folder: Path

    def chat(self, model: str = "m", **fields: Any) -> Any:
        body = {"model": self.target.models[model], "messages": [{"role": "user", "content": "hi"}], **fields}
        return self.call("POST", "/v1/chat/completions", body)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        with closing(http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=60)) as connection:
            sent = {"Authorization": f"Bearer {self.target.token}", "Content-Type": "application/json", **headers}
            connection.request(method, path, json.dumps(body) if body is not None else None, sent)
            answer = connection.getresponse()
            data = answer.read()
        if answer.status != 200:
            raise Broken(f"{path}: {answer.status} {data[:500]!r}")
        return data

    def ask(self, method: str, **params: Any) -> None:
        """One request of the control plane, on a connection of its own."""
        client = Client(self.target.port, self.target.token)
        with closing(client.sock):
            client.request(method, **params)
            client.hear(f'"id":"{method}"'.encode())

    def rewrite(self, change: Callable[[Config], None]) -> None:
        """Change the file, and wait until the gateway has read it."""
        path, log = self.folder / "openclaw.json", self.folder / "gateway.log"
        config = json.loads(path.read_text())
        change(config)
        before = log.read_text().count("configuration applied")
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(config))
        fresh.rename(path)
        self.until(lambda: log.read_text().count("configuration applied") > before, "the file is read")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            if time.monotonic() > deadline:
                raise Broken(f"not in time: {what}")
            time.sleep(0.05)


@dataclass(frozen=True)
class Case:
    """work: what is done while the gateway is watched. prepare: done before. seed: given its state folder, not yet
    started. config: changes the file it starts with. first: nothing was asked of it before.
    """

    name: str
    work: Callable[[Gateway], object]
    prepare: Callable[[Gateway], object] = lambda _: None
    seed: Callable[[Path], object] = lambda _: None
    config: Callable[[Config], object] = lambda _: None
    first: bool = False


def with_agents(config: Config) -> None:
    """As a file of a large house: 460 KB."""
    listed = config["agents"]["list"]
    for number in range(AGENTS):
        listed.append(
            {
                "id": f"agent-{number}",
                "name": f"Agent {number}",
                "workspace": f"~/agents/{number}",
                "model": {"primary": "scripted/m", "fallbacks": ["scripted/paced", "scripted/held"]},
                "tools": {"profile": "coding", "allow": ["read", "write", "exec"], "deny": ["web_fetch"]},
                "identity": {"name": f"Agent {number}", "theme": "a helpful agent of a large house", "emoji": "x"},
                "subagents": {"allowAgents": ["main"]},
                "params": {"temperature": 0.5, "maxTokens": 1000},
            }
        )


def with_images(config: Config) -> None:
    config["models"]["providers"]["scripted"]["models"][0]["input"] = ["text", "image"]


def with_models(config: Config) -> None:
    config["models"]["providers"]["scripted"]["models"] += [{"id": f"m-{number}"} for number in range(2_000)]


def with_tools(config: Config) -> None:
    for agent in config["agents"]["list"]:
        agent["tools"] = {"profile": "full"}


def with_servers(config: Config) -> None:
    server = {"command": PYTHON, "args": ["-c", MCP_SERVER]}
    config["mcp"] = {"servers": {f"server{number}": server for number in range(3)}}
    with_tools(config)


def small_change(config: Config) -> None:
    config["agents"]["list"][-1]["name"] = "changed"


def many_sessions(state: Path) -> None:
    """Ten thousand sessions of three turns."""
    with seeded(state) as database:
        now = time.time()
        for number in range(1, SESSIONS + 1):
            key = f"agent:m:session-{number}"
            row = (number, key, "m", f"00000000-0000-0000-0000-{number:012}", now - 100, now - number)
            database.execute(
                "insert into sessions (id, key, agent_id, session_id, created_at, updated_at) "
                "values (?, ?, ?, ?, ?, ?)",
                row,
            )
            for turn in range(number * 3, number * 3 + 3):
                add_turn(database, turn, number, now - turn, ("hi", "hello"))


def long_session(state: Path) -> None:
    """One session of 5 MB in messages of 5 KB."""
    with seeded(state) as database:
        now = time.time()
        database.execute(
            "insert into sessions (id, key, agent_id, session_id, created_at, updated_at) "
            "values (1, 'agent:m:long', 'm', '00000000-0000-0000-0000-000000000001', ?, ?)",
            (now, now),
        )
        for turn in range(1, LONG // 10_000 + 1):
            add_turn(database, turn, 1, now - 1000 + turn, ("word " * 1_000, "answer " * 700))


def add_turn(database: sqlite3.Connection, turn: int, session: int, ended: float, said: tuple[str, str]) -> None:
    database.execute(
        "insert into turns (id, session, run_id, status, model, prompt_tokens, completion_tokens, cached_tokens, "
        "started_at, ended_at) values (?, ?, ?, 'done', 'scripted/m', 9, 10, 0, ?, ?)",
        (turn, session, f"run-{turn}", ended - 1, ended),
    )
    for position, (role, text) in enumerate(zip(("user", "assistant"), said, strict=True)):
        body = json.dumps({"role": role, "content": text}).encode()
        database.execute("insert into messages values (?, ?, ?, ?)", (turn, position, role, body))


@contextmanager
def seeded(state: Path) -> Iterator[sqlite3.Connection]:
    """The database that a gateway begins with."""
    from app.sessions.database import open_database

    state.mkdir(mode=0o700, parents=True)
    path = state / "gateway.sqlite3"
    open_database(f"sqlite:///{path}").dispose()
    with closing(sqlite3.connect(path)) as database:
        yield database
        database.commit()


def streams(gateway: Gateway) -> None:
    """200 streams that 60 connections of the control plane hear of."""
    target = gateway.target
    with ExitStack() as open_ones:
        watchers = [Client(target.port, target.token) for _ in range(WATCHERS)]
        for watcher in watchers:
            open_ones.callback(watcher.sock.close)
        load = open_ones.enter_context(target.load("streams", "paced", "bench.load", count=STREAMS, seconds=2.0))
        poll = select.epoll()
        for watcher in watchers:
            poll.register(watcher.sock, select.EPOLLIN)
        by_file = {watcher.sock.fileno(): watcher for watcher in watchers}
        while load.poll() is None:
            for file, _ in poll.poll(0.1):
                by_file[file].frames()
        if load.returncode:
            raise Broken(str(load.communicate()))


def structured(gateway: Gateway) -> None:
    properties = {f"field_{number}": {"type": "string"} for number in range(100)}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "form", "strict": True, "schema": schema}}
    gateway.chat(response_format=form)


def image(gateway: Gateway) -> None:
    part = {"type": "image_url", "image_url": {"url": PIXEL}}
    gateway.chat(messages=[{"role": "user", "content": [{"type": "text", "text": "what?"}, part]}])


def file(gateway: Gateway) -> None:
    content = base64.b64encode(b"line of text\n" * 50_000).decode()
    part = {"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{content}"}}
    gateway.chat(messages=[{"role": "user", "content": [part]}])


def long_turn(gateway: Gateway) -> None:
    gateway.call(
        "POST",
        "/v1/chat/completions",
        {"model": gateway.target.models["m"], "messages": [{"role": "user", "content": "go on"}]},
        **{"x-openclaw-session-key": "agent:m:long"},
    )


def repeated(work: Callable[[Gateway], object], times: int = 5) -> Callable[[Gateway], object]:
    def several(gateway: Gateway) -> None:
        for _ in range(times):
            work(gateway)

    return several


CASES = (
    Case("nothing", lambda _: time.sleep(1.0)),
    Case("the first call", Gateway.chat, first=True),
    Case("the first tool call", lambda gateway: gateway.chat("tool"), config=with_tools),
    Case("the first structured output", structured),
    Case("the first image", image, config=with_images),
    Case("the first file of text", file),
    Case("the first web_fetch", lambda gateway: gateway.chat("fetch"), config=with_tools),
    Case("the first WebSocket", lambda gateway: gateway.ask("health"), first=True),
    Case(
        "the first turn of a session",
        lambda gateway: gateway.ask("chat.send", sessionKey="agent:m:new", message="hi", idempotencyKey="first"),
        first=True,
    ),
    Case("a file of 1,000 agents, read again", lambda gateway: gateway.rewrite(small_change), config=with_agents),
    Case("config.get of 1,000 agents", repeated(lambda gateway: gateway.ask("config.get")), config=with_agents),
    Case("config.schema", repeated(lambda gateway: gateway.ask("config.schema"))),
    Case("agents.list of 1,000 agents", repeated(lambda gateway: gateway.ask("agents.list")), config=with_agents),
    Case("health of 1,000 agents", repeated(lambda gateway: gateway.ask("health")), config=with_agents),
    Case("/metrics of 1,000 agents", repeated(lambda gateway: gateway.call("GET", "/metrics")), config=with_agents),
    Case("/v1/models of 1,000 agents", repeated(lambda gateway: gateway.call("GET", "/v1/models")), config=with_agents),
    Case("models.list of 2,000 models", repeated(lambda gateway: gateway.ask("models.list")), config=with_models),
    Case("tools.catalog", repeated(lambda gateway: gateway.ask("tools.catalog")), config=with_tools),
    Case("three MCP servers starting", lambda gateway: gateway.rewrite(with_servers) or time.sleep(4.0)),
    Case(f"{STREAMS} streams with {WATCHERS} watchers", streams),
    Case("sessions.list of 10,000", repeated(lambda gateway: gateway.ask("sessions.list")), seed=many_sessions),
    Case(
        "sessions.list of 10,000 with texts",
        repeated(
            lambda gateway: gateway.ask("sessions.list", limit=1000, includeDerivedTitles=True, includeLastMessage=True)
        ),
        seed=many_sessions,
    ),
    Case("sessions.usage of 10,000", repeated(lambda gateway: gateway.ask("sessions.usage")), seed=many_sessions),
    Case(
        "sessions.usage of 10,000, 1,000 listed",
        repeated(lambda gateway: gateway.ask("sessions.usage", limit=1000)),
        seed=many_sessions,
    ),
    Case("pruning of 9,500 sessions", lambda gateway: time.sleep(2), seed=many_sessions, first=True),
    Case("a turn of a session of 5 MB", long_turn, seed=long_session),
    Case(
        "chat.history of a session of 5 MB",
        repeated(lambda gateway: gateway.ask("chat.history", sessionKey="agent:m:long", limit=1000)),
        seed=long_session,
    ),
    Case(
        "compaction of a session of 5 MB",
        lambda gateway: gateway.ask("sessions.compact", key="agent:m:long"),
        seed=long_session,
    ),
    Case("logs.tail", repeated(lambda gateway: gateway.ask("logs.tail"))),
)


def stalls(rounds: int, folder: Path, figures: Figures, only: str = "") -> None:
    """The longest gap of each case, the median of some rounds."""
    chosen = [case for case in CASES if only in case.name]
    for number, case in enumerate(chosen):
        longest = [watched(case, folder / f"{number}-{each}") for each in range(rounds)]
        print(f"{case.name}: {', '.join(map(milliseconds, sorted(longest)))}", file=sys.stderr)
        figures.limit(f"/healthz at the longest: {case.name}", milliseconds, median(longest), at_most=ALLOWED)


def watched(case: Case, folder: Path) -> float:
    """Seconds, of the longest wait."""
    folder.mkdir()
    case.seed(folder / "state")
    with provider(folder) as behind, gateway(folder, behind, change=case.config) as target:
        under = Gateway(target, folder)
        if not case.first:
            under.chat()
            under.call("GET", "/healthz")
        case.prepare(under)
        pipe = subprocess.PIPE
        with running(
            [PYTHON, "-m", "bench.stalls", json.dumps({"port": target.port})], stdin=pipe, stdout=pipe, stderr=pipe
        ) as sampler:
            assert sampler.stdout
            sampler.stdout.readline()
            case.work(under)
            time.sleep(SETTLING)
            told, faults = sampler.communicate()
        if sampler.returncode:
            raise Broken(f"{case.name}: {faults}")
        return float(json.loads(told)["longest"])


def sample(port: int) -> None:
    gc.disable()
    longest = 0.0
    ended = select.poll()
    ended.register(sys.stdin, select.POLLIN | select.POLLHUP)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(1_000_000_000):
            asked = time.perf_counter()
            sock.sendall(QUESTION)
            received = b""
            while not received.endswith(END):  # head and body come apart
                received += sock.recv(65536) or END
            took = time.perf_counter() - asked
            if not received.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(repr(received))
            if number == 0:
                print(json.dumps({"begun": took}), flush=True)
            else:
                longest = max(longest, took)
            if ended.poll(max(0.0, EVERY - took) * 1000):
                break
    print(json.dumps({"longest": longest}))


if __name__ == "__main__":
    sample(**json.loads(sys.argv[1]))
