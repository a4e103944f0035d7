"""A gateway whose model on board goes wrong."""

from __future__ import annotations

import http.client
import json
from threading import Thread
from typing import Any

import psutil

from app.providers.local import keeper
from tests.conftest import StartGateway
from tests.live.gateway import TOKEN, Gateway, chat_body, wait_until


def failing(gateway: Gateway) -> list[str]:
    answer = gateway.call("/readyz", method="GET")
    assert (answer.status == 200) == (answer.json["failing"] == [])
    return list(answer.json["failing"])


def patiently(gateway: Gateway) -> tuple[int, Any]:
    """A chat's status and body, however slow the machine is, but long before the run's own time is over."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=90)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(chat_body("hi")), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_a_stopped_model_shows_and_fails_its_runs(start_gateway: StartGateway) -> None:
    """SIGSTOP: within seconds /readyz says so, who waits and who comes has a clear error, and it heals by itself."""
    gateway = start_gateway(agents={"list": [{"id": "main", "model": "local/smollm2-135m"}]})
    wait_until(lambda: failing(gateway) == [], "the model is ready", 60)
    family = psutil.Process(gateway.process.pid).children(recursive=True)
    [served] = [each for each in family if keeper.SERVER in each.cmdline()]
    waiting: list[tuple[int, Any]] = []
    served.suspend()
    caller = Thread(target=lambda: waiting.append(patiently(gateway)))
    caller.start()
    wait_until(lambda: failing(gateway) == ["local-model"], "/readyz shows it", 60)
    late = patiently(gateway)
    caller.join()
    # Who can wait for the next start, or is tried again there, has an answer instead.
    for status, body in (*waiting, late):
        assert status == 200 or (500 <= status < 600 and body["error"]["message"])
    assert len(waiting) == 1
    assert "does not run: it does not answer" in gateway.log
    wait_until(lambda: failing(gateway) == [], "it is there again", 60)
    assert patiently(gateway)[0] == 200
