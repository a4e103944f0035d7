"""sessions.list, sessions.preview, sessions.describe, sessions.resolve and sessions.get."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import Gateway, config_for
from tests.scripted import Reply, ScriptedProvider, Status, Usage


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with connected(gateway) as client:
        yield client


def say(gateway: Gateway, key: str, text: str = "hi") -> None:
    gateway.chat(text, headers={"x-openclaw-session-key": key, "x-openclaw-agent-id": key.split(":")[1]})


def refused(client: Client, method: str, **params: Any) -> str:
    with pytest.raises(Refused) as refusal:
        client.call(method, params)
    assert refusal.value.code == "INVALID_REQUEST"
    return str(refusal.value)


def test_a_session_is_described(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """Its ids, times in milliseconds, tokens, model, how its last turn ended, and its beginnings where asked."""
    provider.enqueue(Reply("Well, hello.", usage=Usage(30, 4)))
    before = time.time() * 1000
    say(gateway, "agent:main:described", "Hello  there")
    row = client.call("sessions.describe", {"key": "described", "includeDerivedTitles": True})["session"]
    assert before - 1 <= row["createdAt"] <= row["updatedAt"] <= time.time() * 1000
    assert (row["inputTokens"], row["outputTokens"], row["totalTokens"]) == (30, 4, 34)
    expected = {
        "key": "agent:main:described",
        "kind": "direct",
        "agentId": "main",
        "isMain": False,
        "modelProvider": "scripted",
        "model": "m",
        "status": "done",
        "derivedTitle": "Hello there",
        "displayName": "Hello there",
        "lastMessagePreview": "Well, hello.",
    }
    assert expected.items() <= row.items()
    plain = client.call("sessions.describe", {"key": "described"})["session"]
    assert "derivedTitle" not in plain
    assert client.call("sessions.describe", {"key": "nobody"}) == {"session": None}


def test_a_session_at_work_is_running(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """Until its run ends; a failed one says why."""
    say(gateway, "agent:main:working")
    hold = threading.Event()
    provider.enqueue(Reply("x", hold=hold))
    client.call("chat.send", {"sessionKey": "working", "message": "go", "idempotencyKey": "working-1"})
    row = client.call("sessions.list", {"search": "agent:main:working"})["sessions"][0]
    assert row["status"] == "running"
    hold.set()
    client.event("chat", state="final", runId="working-1")
    assert client.call("sessions.describe", {"key": "working"})["session"]["status"] == "done"
    provider.enqueue(Status(400, "not like this"))
    client.call("chat.send", {"sessionKey": "working", "message": "go", "idempotencyKey": "working-2"})
    client.event("chat", state="error", runId="working-2")
    row = client.call("sessions.describe", {"key": "working"})["session"]
    assert (row["status"], row["lastRunId"]) == ("failed", "working-2")
    assert "not like this" in row["lastRunError"]


def test_sessions_are_listed_page_by_page(gateway: Gateway, client: Client) -> None:
    """The one used last first; following nextOffset finds each once."""
    for name in "abc":
        say(gateway, f"agent:main:paged-{name}")
    say(gateway, "agent:beta:paged-d")
    pages, offset = [], 0
    while offset is not None:
        pages.append(client.call("sessions.list", {"search": "PAGED-", "limit": 3, "offset": offset}))
        offset = pages[-1]["nextOffset"]
    assert [[row["key"][-1] for row in page["sessions"]] for page in pages] == [["d", "c", "b"], ["a"]]
    assert [page["hasMore"] for page in pages] == [True, False]
    first = pages[0]
    assert (first["count"], first["totalCount"], first["limitApplied"]) == (3, 4, 3)
    assert first["defaults"]["modelProvider"] == "scripted"
    of_beta = client.call("sessions.list", {"search": "paged-", "agentId": "beta"})
    assert [row["key"] for row in of_beta["sessions"]] == ["agent:beta:paged-d"]


def test_more_than_there_is_and_more_than_is_allowed(client: Client) -> None:
    """A limit beyond bounds is cut and said, an offset beyond the end is an empty page."""
    answer = client.call("sessions.list", {"limit": 10**9, "offset": 10**12})
    assert (answer["limitApplied"], answer["sessions"], answer["hasMore"], answer["nextOffset"]) == (
        500,
        [],
        False,
        None,
    )


def test_only_lately_used_sessions(gateway: Gateway, client: Client) -> None:
    """activeMinutes counts back from now."""
    say(gateway, "agent:main:lately")
    assert client.call("sessions.list", {"search": "lately", "activeMinutes": 1})["totalCount"] == 1


def test_sessions_of_agents_that_are_gone_are_listed_unless_hidden(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """Their rows say what is known, and configuredAgentsOnly leaves them out."""
    gateway = start_gateway()
    say(gateway, "agent:beta:old")
    with connected(gateway) as client:
        config = config_for(provider.base_url, agents={"list": [{"id": "main", "model": "scripted/m"}]})
        gateway.write_config(config)
        client.event("config.changed")
        (row,) = client.call("sessions.list")["sessions"]
        assert (row["key"], row["model"]) == ("agent:beta:old", "m")
        assert client.call("sessions.list", {"configuredAgentsOnly": True})["sessions"] == []


def test_archived_sessions_are_none(gateway: Gateway, client: Client) -> None:
    """Nothing is archived here: a client that looks for them finds an empty list."""
    say(gateway, "agent:main:not-archived")
    found = client.call("sessions.list", {"archived": True})
    assert (found["sessions"], found["totalCount"], found["hasMore"]) == ([], 0, False)
    for archived in (False, "all"):
        assert client.call("sessions.list", {"archived": archived, "search": "not-archived"})["totalCount"] == 1


def test_sessions_are_previewed(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """The latest messages of each, cut, and a status for those that hold none or are not there."""
    provider.enqueue(Reply("y" * 100))
    say(gateway, "agent:main:seen", "first")
    say(gateway, "agent:main:seen", "second")
    client.call("sessions.create", {"key": "bare-preview"})
    keys = ["seen", "agent:main:bare-preview", "nobody", "agent:ghost:x"]
    previews = client.call("sessions.preview", {"keys": keys, "limit": 3, "maxChars": 20})["previews"]
    assert [(each["key"], each["status"]) for each in previews] == list(
        zip(keys, ("ok", "empty", "missing", "missing"), strict=True)
    )
    roles = [(item["role"], item["text"]) for item in previews[0]["items"]]
    assert roles[0] == ("assistant", "y" * 19 + "…")
    assert [text for _, text in roles[1:]] == ["second", provider_text(provider)]


def provider_text(provider: ScriptedProvider) -> str:
    return "".join(provider.default.tokens)  # type: ignore[union-attr]


def test_sessions_are_resolved(gateway: Gateway, client: Client) -> None:
    """By key, by id and by label; one that is missing is an error, or said where that is allowed."""
    say(gateway, "agent:main:resolved")
    id = client.call("sessions.describe", {"key": "resolved"})["session"]["sessionId"]
    client.call("sessions.patch", {"key": "resolved", "label": "The one"})
    found = {"ok": True, "key": "agent:main:resolved", "agentId": "main", "displayName": "The one"}
    for params in (
        {"key": "resolved"},
        {"sessionId": id},
        {"label": "The one"},
        {"label": "The one", "agentId": "main"},
    ):
        assert client.call("sessions.resolve", params) == found
    assert client.call("sessions.resolve", {"label": "The other", "allowMissing": True}) == {"ok": False}
    assert "The other" in refused(client, "sessions.resolve", label="The other")
    assert "key" in refused(client, "sessions.resolve")
    assert "key" in refused(client, "sessions.resolve", key="resolved", sessionId=id)


def test_a_label_of_two_agents_is_not_resolved_by_chance(client: Client) -> None:
    """The candidates are named instead."""
    for agent in ("main", "beta"):
        client.call("sessions.create", {"agentId": agent, "key": "twin", "label": "Twin"})
    assert "agent:beta:twin" in refused(client, "sessions.resolve", label="Twin")
    found = client.call("sessions.resolve", {"label": "Twin", "allowMissing": True})
    assert {each["agentId"] for each in found["candidates"]} == {"main", "beta"}
    assert client.call("sessions.resolve", {"label": "Twin", "agentId": "beta"})["key"] == "agent:beta:twin"


def test_a_transcript_is_got(gateway: Gateway, client: Client) -> None:
    """In pages from the latest message back."""
    say(gateway, "agent:main:got", "one")
    say(gateway, "agent:main:got", "two")
    latest = client.call("sessions.get", {"key": "got", "limit": 3})
    assert [message["role"] for message in latest["messages"]] == ["assistant", "user", "assistant"]
    assert (latest["totalMessages"], latest["hasMore"], latest["nextOffset"]) == (4, True, 3)
    first = client.call("sessions.get", {"key": "got", "offset": 3})
    assert first["messages"][0]["content"] == [{"type": "text", "text": "one"}]
    assert not first["hasMore"]
    assert client.call("sessions.get", {"key": "nobody"})["messages"] == []


@pytest.mark.parametrize(
    ("method", "params", "where"),
    [
        ("sessions.list", {"limit": 0}, "limit"),
        ("sessions.list", {"agentId": "ghost"}, "agentId"),
        ("sessions.list", {"archived": 1}, "archived"),
        ("sessions.list", {"spawnedBy": "x"}, "spawnedBy"),
        ("sessions.list", {"surprise": 1}, "surprise"),
        ("sessions.preview", {}, "keys"),
        ("sessions.preview", {"keys": ["k"] * 101}, "keys"),
        ("sessions.describe", {"key": "a\u0000b"}, "key"),
        ("sessions.get", {"key": "agent:ghost:x"}, "agentId"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(client: Client, method: str, params: dict[str, Any], where: str) -> None:
    """Each fault has the path of its parameter."""
    assert where in refused(client, method, **params)
