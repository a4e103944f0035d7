"""What a caller is told when a request can't be served: no such endpoint, agent or session, no room, a fault."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.conftest import StartGateway
from tests.live.expect import expect_envelope, expect_error
from tests.live.gateway import TOKEN, Answer, Gateway, config_for, wait_until
from tests.scripted import Reply, ScriptedProvider

CHAT = "/v1/chat/completions"
INVALID = "invalid_request_error"


@pytest.fixture(scope="module")
def _small(tmp_path_factory: pytest.TempPathFactory, _shared_provider: ScriptedProvider) -> Iterator[Gateway]:
    config = config_for(
        _shared_provider.base_url,
        gateway={"maxRuns": 3},
        session={"queueLimit": 1},
    )
    gateway = Gateway(tmp_path_factory.mktemp("small") / "state", config)
    try:
        yield gateway.wait_until_up()
    finally:
        gateway.kill()


@pytest.fixture
def small(_small: Gateway, provider: ScriptedProvider) -> Gateway:
    """A gateway with room for little: 3 runs, and 1 waiting turn a session."""
    return _small


# Whether there is such an endpoint, which method it takes, who calls, and only then the body.


def test_an_endpoint_is_off_by_default(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Without its flag there is no chat endpoint and no models, whatever the method and the credential."""
    config = config_for(provider.base_url)
    del config["gateway"]["http"]
    gateway = start_gateway(config=config)
    for path in (CHAT, "/v1/models", "/v1/models/openclaw"):
        for method in ("POST", "GET", "PUT", "DELETE", "OPTIONS", "PATCH"):
            for token in (TOKEN, None):
                expect_error(gateway.call(path, method=method, token=token), 404, "not_found_error")
    gateway.kill()


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "BREW"])
@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/chat/completions/", "/v1/models/", "/V1/models", "/v1/%00", "/admin"]
)
def test_an_unknown_path_is_not_found(gateway: Gateway, path: str, method: str) -> None:
    """What isn't there is a 404 under every method, with and without a credential."""
    expect_error(gateway.call(path, method=method), 404, "not_found_error")
    expect_error(gateway.call(path, method=method, token=None), 404, "not_found_error")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_a_wrong_method_comes_before_the_credential(gateway: Gateway, method: str) -> None:
    """A caller without a secret learns what the endpoint takes, and nothing more."""
    answer = gateway.call(CHAT, b"{", method=method, token=None)
    expect_error(answer, 405, INVALID)
    assert answer.headers["Allow"] == "POST"


def test_models_are_only_read(gateway: Gateway) -> None:
    """A POST to the models is a wrong method."""
    answer = gateway.call("/v1/models", {}, token=None)
    expect_error(answer, 405, INVALID)
    assert answer.headers["Allow"] == "GET"


def test_head_is_answered_without_a_body(gateway: Gateway) -> None:
    """HEAD on a POST endpoint is a wrong method too, told by headers alone."""
    answer = gateway.call(CHAT, method="HEAD")
    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.body == b""


CREDENTIALS = {
    "none": None,
    "wrong": "Bearer wrong",
    "empty": "Bearer ",
    "no scheme": TOKEN,
    "another scheme": f"Basic {TOKEN}",
    "a prefix": f"Bearer {TOKEN[:-1]}",
    "more than the secret": f"Bearer {TOKEN}x",
    "in another case": f"Bearer {TOKEN.upper()}",
    "not ASCII": "Bearer t\xf6ken",
}


@pytest.mark.parametrize("given", CREDENTIALS.values(), ids=CREDENTIALS.keys())
def test_the_credential_comes_before_the_body(gateway: Gateway, given: str | None) -> None:
    """Without the right secret nobody learns what is wrong with the body."""
    headers = {"Content-Type": "text/plain"} | ({"Authorization": given} if given else {})
    answer = gateway.call(CHAT, b"not JSON", headers=headers, token=None)
    message = expect_error(answer, 401, "unauthorized", code="invalid_api_key")
    assert message == "Unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


# Which agent, which session.


def stored(gateway: Gateway) -> dict[str, int]:
    """The rows of each table."""
    with closing(sqlite3.connect(f"file:{gateway.state_dir}/gateway.sqlite3?mode=ro", uri=True)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}


FOREIGN = [
    "gpt-4o",
    "openclaw:nobody",
    "openclaw/nobody",
    "agent:nobody",
    "openclaw:",
    "main",
    "scripted/m",
    "x" * 4000,
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", FOREIGN)
def test_a_foreign_model_is_not_found(gateway: Gateway, provider: ScriptedProvider, model: str, stream: bool) -> None:
    """No agent stands in for another: the answer names the known ones, and nothing is made on disk."""
    before = stored(gateway), sorted(path.name for path in gateway.state_dir.iterdir())
    answer = gateway.chat(model=model, user="somebody new", stream=stream)
    message = expect_error(answer, 404, INVALID, code="model_not_found", param="model")
    assert "openclaw/main" in message
    assert "openclaw/beta" in message
    assert len(message) < 1000
    assert provider.requests == []
    assert (stored(gateway), sorted(path.name for path in gateway.state_dir.iterdir())) == before


@pytest.mark.parametrize("header", ["x-openclaw-agent-id", "x-openclaw-agent"])
@pytest.mark.parametrize("agent", ["nobody", "../main", "gpt-4o"])
def test_an_unknown_agent_in_the_header_is_not_found(gateway: Gateway, header: str, agent: str) -> None:
    """The header is held to the same rule as the model."""
    before = stored(gateway)
    answer = gateway.chat(headers={header: agent}, user="somebody new")
    error = answer.error
    assert "openclaw/beta" in expect_error(answer, 404, INVALID, code="model_not_found", param=error["param"])
    assert stored(gateway) == before


@pytest.mark.parametrize("name", ["gpt-4o", "openclaw/nobody", "openclaw%2Fnobody", "a/b/c"])
def test_an_unknown_model_can_not_be_looked_up(gateway: Gateway, name: str) -> None:
    """The list of models is as strict as the chat."""
    answer = gateway.call(f"/v1/models/{name}", method="GET")
    expect_error(answer, 404, INVALID, code="model_not_found", param="model")


RESERVED = [
    "subagent:x",
    "cron:x",
    "acp:x",
    "CRON:x",
    "SubAgent:x",
    "agent:main:subagent:x",
    "agent:main:Cron:x",
    "AGENT:MAIN:ACP:x",
    "agent:beta:acp:x",
    "agent:nobody:cron:x",
    "agent:main:agent:main:cron:x",
    "agent:main: cron:x",
]


@pytest.mark.parametrize("key", RESERVED)
def test_a_reserved_session_key_is_refused(gateway: Gateway, key: str) -> None:
    """The gateway's own sessions are out of reach, bare or behind an agent's name, whatever the case."""
    answer = gateway.chat(headers={"x-openclaw-session-key": key})
    assert "reserved" in expect_error(answer, 400, INVALID, param="x-openclaw-session-key")


@pytest.mark.parametrize("key", ["a\tb", "a\xc2\x85b", "a\xe2\x80\xa8b", "x" * 502, "agent:main:" + "x" * 502])
def test_a_bad_session_key_is_refused(gateway: Gateway, key: str) -> None:
    """Keys hold no control characters and 512 characters at most, the agent's name included."""
    answer = gateway.chat(headers={"x-openclaw-session-key": key})
    expect_error(answer, 400, INVALID, param="x-openclaw-session-key")


@pytest.mark.parametrize("user", ["a\nb", "\x00", "a\x7fb", "\u0085", "\u2029", "x" * 490])
def test_a_bad_user_is_refused(gateway: Gateway, user: str) -> None:
    """What a session key is made of is held to its rules."""
    expect_error(gateway.chat(user=user), 400, INVALID, param="user")


@pytest.mark.parametrize("key", ["x" * 501, "agent:main:" + "\U0001f600" * 501])
def test_the_longest_session_key_is_taken(gateway: Gateway, key: str) -> None:
    """512 characters are characters, not bytes."""
    key = key[: 501 if key.startswith("x") else 512]
    assert gateway.chat(headers={"x-openclaw-session-key": key.encode().decode("latin-1")}).status == 200


@pytest.mark.parametrize(
    ("model", "headers"),
    [("openclaw:main", {}), ("openclaw/main", {}), ("openclaw", {"x-openclaw-agent-id": "main"})],
)
def test_a_key_of_another_agent_is_refused(gateway: Gateway, model: str, headers: dict[str, str]) -> None:
    """A session key and a named agent that contradict each other are not guessed about."""
    answer = gateway.chat(model=model, headers={"x-openclaw-session-key": "agent:beta:x", **headers})
    expect_error(answer, 400, INVALID, param="x-openclaw-session-key")


# Too much at once.


def test_more_runs_than_allowed_are_refused(small: Gateway, provider: ScriptedProvider) -> None:
    """With gateway.maxRuns at work a further call is a 503 that says when to come back; health is still answered."""
    hold = threading.Event()
    provider.default = Reply("done", hold=hold, hold_at="headers")
    with ThreadPoolExecutor(3) as callers:
        running = [callers.submit(small.chat) for _ in range(3)]
        try:
            provider.wait_for_request(3)
            for stream in (False, True):
                answer = small.chat(stream=stream)
                assert "gateway.maxRuns" in expect_error(answer, 503, "overloaded")
                assert int(answer.headers["Retry-After"]) > 0
            assert small.call("/healthz", method="GET", token=None).status == 200
        finally:
            hold.set()
        assert [call.result().text for call in running] == ["done"] * 3
    assert small.chat().status == 200


def test_a_full_queue_is_refused(small: Gateway, provider: ScriptedProvider) -> None:
    """Of three callers of a session with one waiting place, one is told to come back, and two are served."""
    hold = threading.Event()
    provider.default = Reply("done", hold=hold)
    answers: list[Answer] = []
    callers = [threading.Thread(target=lambda: answers.append(small.chat(user="busy"))) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        wait_until(lambda: answers, "one caller is refused")
        assert "session.queueLimit" in expect_error(answers[0], 503, "overloaded")
        assert int(answers[0].headers["Retry-After"]) > 0
    finally:
        hold.set()
        for caller in callers:
            caller.join()
    assert [answer.status for answer in answers] == [503, 200, 200]


# The unexpected.


def test_an_internal_fault_says_nothing_but_its_id(start_gateway: StartGateway) -> None:
    """When the database is unusable the caller gets fixed text and the request id; the log has the rest."""
    gateway = start_gateway()
    with closing(sqlite3.connect(gateway.state_dir / "gateway.sqlite3")) as database:
        database.execute("ALTER TABLE sessions RENAME TO gone")
    for stream in (False, True):
        answer = gateway.chat(user="a", stream=stream, headers={"x-request-id": "my-id"})
        assert expect_error(answer, 500, "api_error") == "internal error (request id my-id)"
        assert answer.headers["x-request-id"] == "my-id"
    assert "no such table" in gateway.log
    gateway.kill()


def test_a_turn_that_can_not_be_stored_is_not_acknowledged(start_gateway: StartGateway) -> None:
    """An answer whose turn the disk refuses ends as an error, streamed or whole, and never as a finished one."""
    gateway = start_gateway()
    with closing(sqlite3.connect(gateway.state_dir / "gateway.sqlite3")) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON turns BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    expect_error(gateway.chat(user="a"), 500, "api_error")
    answer = gateway.chat(user="a", stream=True)
    assert answer.status == 200
    *_, content, error = answer.chunks
    assert content["choices"][0]["finish_reason"] is None
    assert "disk" not in expect_envelope(error, "api_error")
    gateway.kill()
