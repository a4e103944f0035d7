"""A name server that does not answer, and providers that don't need it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import StartGateway
from tests.live.gateway import ROOT, chat_body, wait_until
from tests.scripted import ScriptedProvider

CALLERS = 40
# gunicorn's own configuration in a process whose C library waits for ever for one name, and notes each look-up.
HANGING = """
import _socket, time

sleep, look_up = time.sleep, _socket.getaddrinfo

def hanging(host, *rest, **named):
    if host in ("hangs.test", b"hangs.test"):
        with open({noted!r}, "a") as noted:
            noted.write("x")
        while True:
            sleep(1)
    return look_up(host, *rest, **named)

_socket.getaddrinfo = hanging
exec(open({conf!r}).read())
"""


def test_a_name_that_hangs_holds_up_no_other_provider(
    start_gateway: StartGateway, provider: ScriptedProvider, tmp_path: Path
) -> None:
    """While many callers wait for a provider whose name doesn't resolve, one given by address answers at once; the
    many have their error within the connect timeout, after few look-ups."""
    noted, conf = tmp_path / "noted", tmp_path / "hanging.conf.py"
    conf.write_text(HANGING.format(noted=str(noted), conf=str(ROOT / "gunicorn.conf.py")))
    named = {"baseUrl": "http://hangs.test:9/v1", "apiKey": "k", "models": [{"id": "m"}]}
    agents = [{"id": "main", "model": "scripted/m"}, {"id": "lost", "model": "named/m"}]
    gateway = start_gateway("-c", str(conf), models={"providers": {"named": named}}, agents={"list": agents})
    with ThreadPoolExecutor(CALLERS) as threads:
        waiting = [
            threads.submit(gateway.call, body=chat_body(model="openclaw/lost", stream=bool(number % 2)))
            for number in range(CALLERS)
        ]
        wait_until(noted.exists, "the name is looked up")
        assert gateway.chat(model="openclaw/main").status == 200
        assert not any(each.done() for each in waiting)
        answers = [each.result() for each in waiting]
    # A stream's error may come in its status, or as an event.
    assert all(b"named is unreachable: its host name was not found" in answer.body for answer in answers)
    assert gateway.chat(model="openclaw/lost").status == 502
    assert len(noted.read_text()) <= 2
