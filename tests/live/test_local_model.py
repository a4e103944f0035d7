"""A gateway whose model on board goes wrong."""

from __future__ import annotations

from threading import Thread

import psutil

from app.providers.local import keeper
from tests.conftest import StartGateway
from tests.live.gateway import Answer, Gateway, wait_until


def failing(gateway: Gateway) -> list[str]:
    answer = gateway.call("/readyz", method="GET")
    assert (answer.status == 200) == (answer.json["failing"] == [])
    return list(answer.json["failing"])


def test_a_stopped_model_shows_and_fails_its_runs(start_gateway: StartGateway) -> None:
    """SIGSTOP: within seconds /readyz says so, who waits and who comes has a clear error, and it heals by itself."""
    gateway = start_gateway(agents={"list": [{"id": "main", "model": "local/smollm2-135m"}]})
    wait_until(lambda: failing(gateway) == [], "the model is ready")
    family = psutil.Process(gateway.process.pid).children(recursive=True)
    [served] = [each for each in family if keeper.SERVER in each.cmdline()]
    waiting: list[Answer] = []
    served.suspend()
    caller = Thread(target=lambda: waiting.append(gateway.chat("hi")))
    caller.start()
    wait_until(lambda: failing(gateway) == ["local-model"], "/readyz shows it")
    late = gateway.chat("hi")
    caller.join()
    # Who can wait for the next start, or is tried again there, has an answer instead.
    for answer in (*waiting, late):
        assert answer.status == 200 or (500 <= answer.status < 600 and answer.error["message"])
    assert len(waiting) == 1
    assert "does not run: it does not answer" in gateway.log
    wait_until(lambda: failing(gateway) == [], "it is there again")
    assert gateway.chat("hi").status == 200
