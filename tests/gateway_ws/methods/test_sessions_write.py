"""sessions.create, sessions.patch, sessions.reset, sessions.delete and sessions.compact."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import Gateway
from tests.scripted import Hang, Reply, ScriptedProvider

TWO_MODELS = {"providers": {"scripted": {"models": [{"id": "m"}, {"id": "big"}]}}}


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with connected(gateway) as client:
        yield client


def refused(client: Client, method: str, **params: Any) -> Refused:
    with pytest.raises(Refused) as refusal:
        client.call(method, params)
    return refusal.value


def say(gateway: Gateway, key: str, text: str = "hi") -> None:
    gateway.chat(text, headers={"x-openclaw-session-key": key})


def row(client: Client, key: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = client.call("sessions.describe", {"key": key})["session"]
    return found


def test_a_session_is_created(client: Client) -> None:
    """Under a key of its own or the one that is given, with its label; the same key again changes nothing."""
    made = client.call("sessions.create", {"agentId": "beta", "label": "Fresh"})
    assert made["key"].startswith("agent:beta:dashboard:")
    assert (made["entry"]["label"], made["entry"]["sessionId"]) == ("Fresh", made["sessionId"])
    named = client.call("sessions.create", {"key": "named"})
    assert named["key"] == "agent:main:named"
    assert client.call("sessions.create", {"key": "named"})["sessionId"] == named["sessionId"]


def test_a_creation_sent_again_makes_one_session(client: Client) -> None:
    """The idempotency key finds the first, other keys make others."""
    one = client.call("sessions.create", {"idempotencyKey": "once"})
    assert client.call("sessions.create", {"idempotencyKey": "once"})["key"] == one["key"]
    assert client.call("sessions.create", {"idempotencyKey": "twice"})["key"] != one["key"]
    assert client.call("sessions.create")["key"] != client.call("sessions.create")["key"]


def test_a_session_s_model_is_chosen_and_removed(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """The next turn of any door asks it; null brings the agent's back."""
    gateway = start_gateway(models=TWO_MODELS)
    with connected(gateway) as client:
        patched = client.call("sessions.patch", {"key": "choosy", "model": "scripted/big"})
        assert (patched["entry"]["model"], patched["entry"]["modelOverrideSource"]) == ("big", "user")
        say(gateway, "agent:main:choosy")
        client.call("sessions.patch", {"key": "choosy", "model": None})
        say(gateway, "agent:main:choosy")
        assert [received.body["model"] for received in provider.requests] == ["big", "m"]
        assert refused(client, "sessions.patch", key="choosy", model="scripted/ghost").code == "INVALID_REQUEST"


def test_choosing_a_model_needs_admin(gateway: Gateway) -> None:
    """Who may write may name a session, not choose what it costs; what it lacks is said."""
    with connected(gateway, scopes=("operator.write",)) as client:
        client.call("sessions.patch", {"key": "modest", "label": "Modest"})
        client.call("sessions.patch", {"key": "modest", "model": None})
        for method in ("sessions.patch", "sessions.create"):
            error = refused(client, method, key="modest", model="scripted/m").error
            assert (error["code"], error["details"]["missingScope"]) == ("FORBIDDEN", "operator.admin")


@pytest.mark.parametrize("method", ["sessions.reset", "sessions.delete", "sessions.compact"])
def test_taking_away_needs_admin(gateway: Gateway, method: str) -> None:
    """What was said is not for everybody who may write to forget."""
    with connected(gateway, scopes=("operator.write",)) as client:
        assert refused(client, method, key="x").code == "FORBIDDEN"


def test_a_label_is_removed_by_null(client: Client) -> None:
    """What is left out stays as it is."""
    client.call("sessions.patch", {"key": "labelled", "label": "  Name  "})
    assert client.call("sessions.patch", {"key": "labelled"})["entry"]["label"] == "Name"
    assert "label" not in client.call("sessions.patch", {"key": "labelled", "label": None})["entry"]


def test_a_label_of_another_session_is_refused(client: Client) -> None:
    """The fault names the parameter and the session that has it."""
    client.call("sessions.create", {"key": "first", "label": "Taken"})
    error = refused(client, "sessions.patch", key="second", label="Taken")
    assert (error.code, str(error).startswith("label:")) == ("INVALID_REQUEST", True)
    assert "agent:main:first" in str(error)


def test_a_patch_of_another_session_than_expected_is_refused(client: Client) -> None:
    """A client that did not see the reset learns of it."""
    id = client.call("sessions.create", {"key": "expected"})["sessionId"]
    client.call("sessions.patch", {"key": "expected", "label": "Expected", "expectedSessionId": id})
    client.call("sessions.reset", {"key": "expected"})
    error = refused(client, "sessions.patch", key="expected", label="Other", expectedSessionId=id)
    assert (error.code, "expectedSessionId" in str(error)) == ("INVALID_REQUEST", True)


def test_a_reset_session_begins_anew(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """New id, empty transcript, and the model reads nothing of what was."""
    say(gateway, "agent:main:reset", "remember me")
    before = row(client, "reset")
    entry = client.call("sessions.reset", {"key": "reset", "reason": "new"})["entry"]
    assert before is not None
    assert entry["sessionId"] != before["sessionId"]
    assert entry["totalTokens"] == 0
    assert client.call("chat.history", {"sessionKey": "reset"})["messages"] == []
    say(gateway, "agent:main:reset", "who am I")
    assert "remember me" not in str(provider.requests[-1].body)


@pytest.mark.parametrize("method", ["sessions.reset", "sessions.delete"])
def test_runs_end_before_their_session_does(
    gateway: Gateway, client: Client, provider: ScriptedProvider, method: str
) -> None:
    """Nothing of a run at work, or of one that waits for it, is left in the session."""
    key = method.replace(".", "-")
    provider.enqueue(Hang())
    for number in (1, 2):
        client.call("chat.send", {"sessionKey": key, "message": "hi", "idempotencyKey": f"{key}-{number}"})
    provider.wait_for_request(1)
    client.call(method, {"key": key})
    for number in (1, 2):
        client.event("chat", state="aborted", runId=f"{key}-{number}")
    assert provider.requests[0].closed.wait(5)
    history = client.call("chat.history", {"sessionKey": key})
    assert (history["messages"], "inFlightRun" in history) == ([], False)


def test_a_deleted_session_is_gone(gateway: Gateway, client: Client) -> None:
    """A second time there is nothing to delete."""
    say(gateway, "agent:main:doomed")
    assert client.call("sessions.delete", {"key": "doomed"})["deleted"] is True
    assert row(client, "doomed") is None
    assert client.call("sessions.delete", {"key": "doomed"})["deleted"] is False


@pytest.mark.parametrize("key", ["main", "agent:beta:main"])
def test_the_main_session_stays(client: Client, key: str) -> None:
    """Clients count on it; a reset empties it."""
    error = refused(client, "sessions.delete", key=key)
    assert (error.code, "sessions.reset" in str(error)) == ("INVALID_REQUEST", True)


def test_a_session_is_compacted_by_its_model(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """The model's summary stands for older turns; clients see everything all the same."""
    for number in range(3):
        provider.enqueue(Reply(f"answer {number} " + "word " * 100))
        say(gateway, "agent:main:compact", f"question {number}")
    provider.default = Reply("They counted.")
    assert client.call("sessions.compact", {"key": "compact"}) == {
        "ok": True,
        "key": "agent:main:compact",
        "compacted": True,
    }
    assert client.call("chat.history", {"sessionKey": "compact"})["totalMessages"] == 6
    say(gateway, "agent:main:compact", "go on")
    body = str(provider.requests[-1].body)
    assert "They counted." in body
    assert "question 0" not in body


def test_a_session_is_cut_to_its_latest_messages(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """Without a model: maxLines messages with the turns that they belong to."""
    for number in range(3):
        say(gateway, "agent:main:cut", f"question {number}")
    asked = len(provider.requests)
    assert client.call("sessions.compact", {"key": "cut", "maxLines": 2})["compacted"] is True
    assert len(provider.requests) == asked
    messages = client.call("chat.history", {"sessionKey": "cut"})["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    again = client.call("sessions.compact", {"key": "cut", "maxLines": 2})
    assert (again["compacted"], again["reason"]) == (False, "nothing to compact")


def test_what_may_be_empty_is_as_if_it_were_left_out(client: Client) -> None:
    """Where the published schema has an empty text for nothing."""
    client.call("sessions.patch", {"key": "empty", "icon": "", "color": "", "statusNote": ""})
    client.call("sessions.create", {"key": "empty", "message": "", "task": ""})
    client.call("chat.history", {"sessionKey": "empty", "cursor": ""})


def test_there_may_be_nothing_to_compact(client: Client) -> None:
    """It is no error."""
    assert client.call("sessions.compact", {"key": "nothing-here"})["compacted"] is False


def test_a_compaction_is_no_answer_that_clients_hear(
    gateway: Gateway, client: Client, provider: ScriptedProvider
) -> None:
    """Requests behind it are answered while the model writes."""
    say(gateway, "agent:main:long")
    hold = threading.Event()
    provider.enqueue(Reply("Short.", hold=hold))
    compaction = client.begin("sessions.compact", {"key": "long"})
    client.call("sessions.describe", {"key": "long"})
    hold.set()
    assert client.answer(compaction)["compacted"] is True


@pytest.mark.parametrize(
    ("method", "params", "where"),
    [
        ("sessions.create", {"agentId": "ghost"}, "agentId"),
        ("sessions.create", {"key": "cron:x"}, "key"),
        ("sessions.create", {"message": "hi"}, "message"),
        ("sessions.create", {"label": "x" * 600}, "label"),
        ("sessions.patch", {"label": "x"}, "key"),
        ("sessions.patch", {"key": "k", "label": 5}, "label"),
        ("sessions.patch", {"key": "k", "label": " "}, "label"),
        ("sessions.patch", {"key": "k", "pinned": True}, "pinned"),
        ("sessions.patch", {"key": "k", "thinkingLevel": "high"}, "thinkingLevel"),
        ("sessions.patch", {"key": "agent:main:subagent:x", "label": "x"}, "key"),
        ("sessions.reset", {}, "key"),
        ("sessions.delete", {"key": "k", "deleteTranscript": False}, "deleteTranscript"),
        ("sessions.compact", {"key": "k", "maxLines": 0}, "maxLines"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(client: Client, method: str, params: dict[str, Any], where: str) -> None:
    """Each fault has the path of its parameter."""
    error = refused(client, method, **params)
    assert error.code == "INVALID_REQUEST"
    assert where in str(error)
