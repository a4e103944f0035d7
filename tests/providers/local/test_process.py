from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from app.errors import ProviderError, ProviderTimeout
from app.providers.local import Endpoint, LocalModel, keeper
from tests.providers.local.processes import command, gone, keepers, models, wait_until


@pytest.fixture(scope="module")
def model() -> Iterator[LocalModel]:
    model = LocalModel()
    yield model
    kept = keepers()
    model.close()
    for process in kept:
        wait_until(lambda process=process: gone(process))


@contextmanager
def answer_of(endpoint: Endpoint, method: str, path: str, body: object = None) -> Iterator[http.client.HTTPResponse]:
    url = urlsplit(endpoint.base_url)
    connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=20)
    try:
        headers = {"Authorization": f"Bearer {endpoint.api_key}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body), headers)
        response = connection.getresponse()
        assert response.status == 200
        yield response
    finally:
        connection.close()


def chat_request(user: str, **changes: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": user}]
    return {"messages": messages, "max_tokens": 20, "temperature": 0, **changes}


def chat(endpoint: Endpoint, **changes: Any) -> str:
    with answer_of(endpoint, "POST", "/v1/chat/completions", chat_request("hi", **changes)) as response:
        return response.read().decode()


def busy(endpoint: Endpoint) -> bool:
    with answer_of(endpoint, "GET", "/slots") as response:
        return any(slot["is_processing"] for slot in json.load(response))


def test_the_model_is_started_when_asked_for(model: LocalModel) -> None:
    """Preparing starts a small keeper and nothing else; asking brings the model, ready."""
    model.prepare()
    wait_until(keepers)
    [kept] = keepers()
    assert model.state() == "off"
    assert model.context_window is None
    assert models(kept) == []
    endpoint = model.ensure(20)
    assert model.state() == "ready"
    assert len(models(kept)) == 1
    assert model.context_window == endpoint.context_window >= 2048
    assert kept.memory_info().rss < 16 * 2**20


def test_it_answers_with_real_sentences(model: LocalModel) -> None:
    answer = json.loads(chat(model.ensure(20)))
    assert len(answer["choices"][0]["message"]["content"].split()) >= 3
    assert answer["usage"]["prompt_tokens"] > 5


def test_it_streams_with_usage(model: LocalModel) -> None:
    stream = chat(model.ensure(20), stream=True, stream_options={"include_usage": True})
    *chunks, done = [line.removeprefix("data: ") for line in stream.split("\n") if line]
    assert done == "[DONE]"
    assert len(chunks) > 4
    assert json.loads(chunks[-1])["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    "request_", [chat_request("Tell me a story", max_tokens=2000, ignore_eos=True), chat_request("word " * 2500)]
)
def test_hanging_up_stops_it(model: LocalModel, request_: dict[str, Any]) -> None:
    """While it writes, and, if it was asked to tell its progress, while it reads the prompt: it computes no further."""
    endpoint = model.ensure(20)
    [served] = models(keepers()[0])
    request = {**request_, "stream": True, "return_progress": True}
    with answer_of(endpoint, "POST", "/v1/chat/completions", request) as response:
        response.readline()
        assert busy(endpoint)
    before = served.cpu_times().user
    # However long that takes here: to the end of the request it would compute for much longer.
    wait_until(lambda: not busy(endpoint), 60)
    assert served.cpu_times().user - before < 3


def test_the_key_stands_in_no_argument_and_no_environment(model: LocalModel) -> None:
    key = model.ensure(20).api_key
    [kept] = keepers()
    for process in [psutil.Process(), kept, *models(kept)]:
        assert key not in " ".join(command(process))
        assert key not in process.environ().values()
    assert key not in repr(model.ensure(20))


def test_what_signals_the_whole_group_does_not_end_it(model: LocalModel) -> None:
    """Ctrl-C and a service manager's SIGTERM reach keeper and model too, while the gateway still drains."""
    endpoint = model.ensure(20)
    [kept] = keepers()
    for process in [kept, *models(kept)]:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    assert chat(endpoint)
    assert model.state() == "ready"


def test_a_killed_model_is_started_again(model: LocalModel) -> None:
    before = model.ensure(20)
    [kept] = keepers()
    models(kept)[0].kill()
    wait_until(lambda: model.state() != "ready")
    assert model.state() in ("starting", "failed: the model's process was killed by SIGKILL; perhaps memory ran out")
    after = model.ensure(20)
    assert after.api_key != before.api_key
    assert chat(after)


def test_a_stopped_model_is_ended_and_started_again(model: LocalModel) -> None:
    """Those who wait for it are told within seconds, new callers at once, and it comes back by itself."""
    endpoint = model.ensure(20)
    [kept] = keepers()
    [stopped] = models(kept)
    stopped.suspend()
    with pytest.raises(ConnectionError):
        chat(endpoint)
    wait_until(lambda: gone(stopped))
    wait_until(lambda: model.state() == "ready", 60)
    assert chat(model.ensure(20))
    assert models(kept) != [stopped]


def test_a_model_that_is_stopped_for_a_moment_goes_on(model: LocalModel) -> None:
    """It shows while it lasts, and callers are refused; then it is ready as it was."""
    endpoint = model.ensure(20)
    [kept] = keepers()
    [served] = models(kept)
    served.suspend()
    try:
        wait_until(lambda: model.state() == "failed: it does not answer", 60)
        with pytest.raises(ProviderError, match="does not run: it does not answer"):
            model.ensure(20)
    finally:
        served.resume()
    wait_until(lambda: model.state() == "ready", 60)
    assert model.ensure(20) == endpoint
    assert models(kept) == [served]
    assert chat(endpoint)


def test_a_killed_keeper_is_replaced(model: LocalModel) -> None:
    """Its model goes with it; the process that follows it starts another one by itself."""
    model.ensure(20)
    [kept] = keepers()
    orphans = models(kept)
    kept.kill()
    wait_until(lambda: all(gone(orphan) for orphan in orphans))
    wait_until(lambda: model.state() != "ready")
    assert chat(model.ensure(20))
    assert keepers() != [kept]


def test_closing_ends_keeper_and_model() -> None:
    other = LocalModel()
    before = keepers()
    try:
        other.ensure(20)
        [kept] = [process for process in keepers() if process not in before]
        served = models(kept)
    finally:
        other.close()
    wait_until(lambda: gone(kept) and all(gone(process) for process in served), 1)
    assert other.state() == "off"
    with pytest.raises(ProviderError, match="stopped"):
        other.ensure(20)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "there is no model file"), (b"not a model", "invalid magic characters")],
)
def test_what_cant_be_started_is_told_in_a_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "model.gguf"
    if content:
        path.write_bytes(content)
    model = LocalModel(path)
    try:
        with pytest.raises(ProviderError, match=reason) as raised:
            model.ensure(20)
        assert "\n" not in raised.value.message
        assert model.state().startswith("failed: ")
    finally:
        model.close()


def test_an_impatient_caller_is_not_held() -> None:
    model = LocalModel()
    try:
        with pytest.raises(ProviderTimeout):
            model.ensure(0.01)
        assert model.state() == "starting"
    finally:
        model.close()


def test_pauses_between_starts_grow_to_ten_seconds() -> None:
    assert [keeper.pause(failures) for failures in (1, 2, 3, 6, 7, 1000)] == [0.25, 0.5, 1, 8, 10, 10]
