"""Sessions over the socket: what is remembered, in which order, and what survives."""

from __future__ import annotations

import http.client
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.live.gateway import Answer, Gateway, chat_body, wait_until
from tests.scripted import Reply, ScriptedProvider, Status


def said(provider: ScriptedProvider, n: int = -1) -> list[str]:
    """What the provider was told in its n-th request, without the system message."""
    return [message["content"] for message in provider.requests[n].body["messages"]][1:]


def rows(gateway: Gateway, query: str) -> list[tuple]:
    database = sqlite3.connect(f"file:{gateway.state_dir}/gateway.sqlite3?mode=ro", uri=True)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_a_user_has_one_session(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Calls with the same user continue one conversation; ALICE is somebody else than alice."""
    gateway.chat("my name is Ann", user="alice-1")
    gateway.chat("what is my name?", user="alice-1")
    assert said(provider) == ["my name is Ann", "Hello world", "what is my name?"]
    gateway.chat("who?", user="ALICE-1")
    assert said(provider) == ["who?"]


def test_a_session_key_is_the_session(gateway: Gateway, provider: ScriptedProvider) -> None:
    """The header takes full control: bare or with its prefix it is the same session, and it selects the agent."""
    first = gateway.chat("one", headers={"x-openclaw-session-key": "beta-notes"}, model="openclaw:beta")
    assert first.headers["x-openclaw-session-key"] == "agent:beta:beta-notes"
    second = gateway.chat("two", user="ignored", headers={"x-openclaw-session-key": "agent:beta:beta-notes"})
    assert second.headers["x-openclaw-session-key"] == "agent:beta:beta-notes"
    assert said(provider) == ["one", "Hello world", "two"]


def test_a_stateless_call_leaves_nothing(gateway: Gateway, provider: ScriptedProvider) -> None:
    """After stateless calls, streaming or failed ones too, the store has not one row more."""
    tables = ("sessions", "turns", "messages")
    before = [rows(gateway, f"SELECT count(*) FROM {table}") for table in tables]
    gateway.chat()
    gateway.chat(stream=True)
    gateway.chat(model="gpt-4o")
    assert [rows(gateway, f"SELECT count(*) FROM {table}") for table in tables] == before


def test_a_caller_that_resends_everything_doubles_nothing(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Of a whole history only what follows its last assistant message is new."""
    history = [{"role": "user", "content": "one"}]
    for text in ("two", "three"):
        answer = gateway.chat(messages=history, user="resender")
        history += [{"role": "assistant", "content": answer.text}, {"role": "user", "content": text}]
    gateway.chat(messages=history, user="resender")
    assert said(provider) == ["one", "Hello world", "two", "Hello world", "three"]


def test_an_empty_session_takes_the_whole_history(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A conversation that began elsewhere goes on here."""
    history = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "uno"},
        {"role": "user", "content": "two"},
    ]
    gateway.chat(messages=history, user="newcomer")
    gateway.chat("three", user="newcomer")
    assert said(provider) == ["one", "uno", "two", "Hello world", "three"]


def test_another_conversation_of_the_same_user_uses_its_own_history(
    gateway: Gateway, provider: ScriptedProvider
) -> None:
    """A client with one user for all its conversations is answered from the request, and the log says so."""
    gateway.chat("first conversation", user="one-for-all")
    other = [
        {"role": "user", "content": "second conversation"},
        {"role": "assistant", "content": "not in the session"},
        {"role": "user", "content": "go on"},
    ]
    gateway.chat(messages=other, user="one-for-all")
    assert said(provider) == ["second conversation", "not in the session", "go on"]
    assert "uses the history of its request" in gateway.log


def test_system_messages_are_for_one_run(gateway: Gateway, provider: ScriptedProvider) -> None:
    """What a request's system message says is not remembered."""
    system = {"role": "system", "content": "Speak like a pirate."}
    gateway.chat(messages=[system, {"role": "user", "content": "hi"}], user="sailor")
    assert "pirate" in provider.requests[-1].body["messages"][0]["content"]
    gateway.chat(user="sailor")
    assert "pirate" not in str(provider.requests[-1].body["messages"])


def test_a_trailing_assistant_message_is_for_stateless_calls(gateway: Gateway, provider: ScriptedProvider) -> None:
    """It goes to the model in a stateless call, and is a 400 that names it in a stored session."""
    messages = [{"role": "user", "content": "a poem"}, {"role": "assistant", "content": "Roses"}]
    assert gateway.chat(messages=messages).status == 200
    assert said(provider) == ["a poem", "Roses"]
    for stream in (False, True):
        refused = gateway.chat(messages=[{"role": "system", "content": "x"}, *messages], user="prefill", stream=stream)
        assert (refused.status, refused.error["param"]) == (400, "messages[2]")


def test_a_failed_turn_stays_out_of_the_history(gateway: Gateway, provider: ScriptedProvider) -> None:
    """A retry after a provider's error finds its question once."""
    provider.enqueue(Status(400, "no"))
    assert gateway.chat("question", user="unlucky").status == 400
    gateway.chat("question", user="unlucky")
    assert said(provider) == ["question"]
    assert [status for (status,) in rows(gateway, "SELECT status FROM turns ORDER BY id DESC LIMIT 2")] == [
        "done",
        "failed",
    ]


def test_text_of_every_kind_survives_the_store(gateway: Gateway, provider: ScriptedProvider) -> None:
    """Emoji, NUL and line ends come back from the store as they were said."""
    text = "\x00 \U0001f600 \r\n \u2028 \ufffe"
    provider.default = Reply(text)
    gateway.chat(text, user="exotic")
    gateway.chat("next", user="exotic")
    assert said(provider) == [text, text, "next"]


def test_callers_of_one_session_are_served_in_order(start_gateway, provider: ScriptedProvider) -> None:
    """200 callers of one session are answered one at a time, first come first served."""
    gateway = start_gateway(session={"queueLimit": 256}, logging={"level": "debug"})
    hold = threading.Event()
    provider.enqueue(Reply("ok", hold=hold, hold_at="headers"))
    connections = []
    callers = 200
    try:
        for n in range(callers):
            connection = gateway.connect()
            connections.append(connection)
            connection.sendall(_raw(gateway, f"call {n}", "everyone"))
            # The next one is sent when this one is known to be in the queue: order of arrival is order of sending.
            wait_until(lambda n=n: _runs_begun(gateway) > n, f"run {n} begins")
        hold.set()
        for connection in connections:
            assert b"200 OK" in connection.recv(65536)
    finally:
        for connection in connections:
            connection.close()
    last = [request.body["messages"][-1]["content"] for request in provider.requests]
    assert last == [f"call {n}" for n in range(callers)]
    assert len(said(provider)) == 2 * callers - 1


def test_callers_of_many_sessions_are_served_at_once(gateway: Gateway, provider: ScriptedProvider) -> None:
    """200 callers of 200 sessions all reach the provider while it still holds back every answer."""
    hold = threading.Event()
    provider.default = Reply("ok", hold=hold, hold_at="headers")
    callers = 200

    def call(n: int) -> Answer:
        return gateway.chat(f"call {n}", user=f"crowd-{n}")

    with ThreadPoolExecutor(callers) as threads:
        answers = [threads.submit(call, n) for n in range(callers)]
        provider.wait_for_request(callers, timeout=20)
        hold.set()
        assert [answer.result().status for answer in answers] == [200] * callers


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_turn_survives_kill_9(start_gateway, provider: ScriptedProvider, stream: bool) -> None:
    """A thousand turns with the gateway killed among them: what a client saw finish is stored, and no turn is half."""
    gateway = start_gateway()
    seen: list[int] = []
    enough = threading.Event()
    wanted = 300

    def call(n: int) -> None:
        try:
            answer = gateway.chat(f"turn {n}", user=f"survivor-{n % 50}", stream=stream)
        except (OSError, ValueError, http.client.HTTPException):
            return
        if answer.status == 200 and (not stream or answer.body.endswith(b"data: [DONE]\n\n")):
            seen.append(n)
            if len(seen) >= wanted:
                enough.set()

    with ThreadPoolExecutor(16) as threads:
        for n in range(1000):
            threads.submit(call, n)
        assert enough.wait(60)
        gateway.kill()
    stored = rows(
        gateway,
        "SELECT t.status, group_concat(m.role), min(cast(m.body AS TEXT)) FROM turns t LEFT JOIN messages m "
        "ON m.turn = t.id GROUP BY t.id",
    )
    assert {roles for _, roles, _ in stored} == {"user,assistant"}
    text = {body.decode() for (body,) in rows(gateway, "SELECT body FROM messages WHERE role = 'user'")}
    missing = [n for n in seen if not any(f'"turn {n}"' in body for body in text)]
    assert missing == []
    revived = start_gateway(state_dir=gateway.state_dir)
    assert revived.chat("still there?", user="survivor-0").status == 200


def _raw(gateway: Gateway, text: str, user: str) -> bytes:
    return gateway.raw_request(chat_body(text, user=user))


def _runs_begun(gateway: Gateway) -> int:
    return gateway.log.count("begins")
