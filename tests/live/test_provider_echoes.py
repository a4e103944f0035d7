"""A provider that repeats the gateway's key, or puts anything into Retry-After: what each API tells of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Refused, connected
from tests.live.gateway import ROOT, TOKEN, Gateway, chat_body
from tests.scripted import ErrorInStream, Reply, ScriptedProvider, Status, Step

KEY = "sk-upstream-0123456789abcdefWXYZ"
WORDS = f"the key {KEY[:9]}*****{KEY[-4:]} (%73%6b%2D{KEY[3:]}, ends in {KEY[-4:]}) may not do this"
STEPS: dict[str, Step] = {"status": Status(422, WORDS), "stream": ErrorInStream(WORDS, kind="invalid_request_error")}


@pytest.fixture
def keyed(start_gateway: StartGateway) -> Gateway:
    return start_gateway(models={"providers": {"scripted": {"apiKey": KEY}}})


def test_no_api_tells_a_part_of_the_key(keyed: Gateway, provider: ScriptedProvider) -> None:
    """HTTP whole and streamed, the WebSocket's events and answers, the command line, and the log."""
    told = {}
    for name, step in STEPS.items():
        for stream in (False, True):
            provider.enqueue(step)
            told[f"http {name} {stream}"] = keyed.call(body=chat_body(stream=stream)).body.decode()
        with connected(keyed) as client:
            provider.enqueue(step)
            client.call("chat.send", {"sessionKey": "echo", "message": "x", "idempotencyKey": name})
            told[f"event {name}"] = str(client.event("chat", state="error", runId=name))
            with pytest.raises(Refused) as refusal:
                client.call("chat.send", {"sessionKey": "echo", "message": "x", "idempotencyKey": name})
            told[f"again {name}"] = str(refusal.value.error)
            told[f"session {name}"] = str(client.call("sessions.describe", {"key": "echo"}))
        provider.enqueue(step)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "app",
                "agent",
                "--message",
                "x",
                "--url",
                keyed.url,
                "--token",
                "test-token-0123456789",
            ],
            cwd=ROOT,
            env={**os.environ, "OPENCLAW_STATE_DIR": str(keyed.state_dir)},
            capture_output=True,
            text=True,
            check=False,
        )
        told[f"cli {name}"] = done.stdout + done.stderr
    for where, text in told.items():
        assert "may not do this" in text, where
        assert KEY[-4:] not in text, where
        assert "0123456789" not in text.replace(TOKEN, ""), where
    assert KEY[-4:] not in keyed.log


@pytest.mark.parametrize("piece", ["a", "A0/", "a*", "\\\\"], ids=["letters", "base64", "stars", "backslashes"])
def test_looking_for_keys_holds_nobody_up(keyed: Gateway, provider: ScriptedProvider, piece: str) -> None:
    """Whatever a long error is made of, finding no key in it takes no time that others would notice."""
    provider.enqueue(Status(422, piece * (20_000 // len(piece))))
    began = time.monotonic()
    assert piece * 20 in keyed.chat().error["message"]
    assert time.monotonic() - began < 5


def test_retry_after_goes_on_as_http_knows_it(keyed: Gateway, provider: ScriptedProvider) -> None:
    """Seconds, of a day at most, and dates; anything else, a key among it, is left out."""
    for value, passed in {
        "7": "7",
        "9999999": "86400",
        "Wed, 21 Oct 2015 07:28:00 GMT": "Wed, 21 Oct 2015 07:28:00 GMT",
        "soon": None,
        KEY: None,
    }.items():
        provider.enqueue(Status(429, headers={"Retry-After": value}))
        answer = keyed.call(body=chat_body())
        assert (answer.status, answer.headers["Retry-After"]) == (429, passed), value


def test_a_date_is_milliseconds_over_websocket(keyed: Gateway, provider: ScriptedProvider) -> None:
    """Where the protocol counts, a provider's date is counted, and the connection goes on."""
    with connected(keyed) as client:
        for number in range(3):
            provider.enqueue(Reply("words " * 50))
            client.call("chat.send", {"sessionKey": "c", "message": "x", "idempotencyKey": f"c-{number}"})
            client.event("chat", state="final", runId=f"c-{number}")
        provider.enqueue(Status(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}))
        with pytest.raises(Refused) as refusal:
            client.call("sessions.compact", {"key": "c"})
        assert refusal.value.error["retryAfterMs"] == 0
        assert client.call("sessions.describe", {"key": "c"})["session"]
