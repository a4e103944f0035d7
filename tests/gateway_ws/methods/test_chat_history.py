"""chat.history and chat.inject."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.gateway_ws.client import Client, Refused, connected
from tests.live.gateway import Gateway
from tests.scripted import Reply, ScriptedProvider, Status, ToolCall, Usage

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    with connected(gateway) as client:
        yield client


def say(gateway: Gateway, key: str, text: str = "hi", **fields: Any) -> None:
    gateway.chat(text, headers={"x-openclaw-session-key": key}, **fields)


def history(client: Client, key: str, **params: Any) -> dict[str, Any]:
    found: dict[str, Any] = client.call("chat.history", {"sessionKey": key, **params})
    return found


def text(message: dict[str, Any]) -> str:
    return "".join(part["text"] for part in message["content"] if part["type"] == "text")


def test_a_history_is_what_was_said(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """Parts of text with times, places and ids; usage and model on the answer; why it ended is not on record."""
    provider.enqueue(Reply("Hello!", usage=Usage(30, 4)))
    say(gateway, "agent:main:said", "Hi there")
    told = history(client, "said")
    assert told["sessionKey"] == "agent:main:said"
    assert told["sessionId"] == told["sessionInfo"]["sessionId"]
    assert told["sessionInfo"]["derivedTitle"] == "Hi there"
    assert (told["totalMessages"], told["hasMore"], "nextOffset" in told) == (2, False, False)
    question, answer = told["messages"]
    assert (question["role"], question["content"]) == ("user", [{"type": "text", "text": "Hi there"}])
    assert (answer["role"], answer["content"]) == ("assistant", [{"type": "text", "text": "Hello!"}])
    assert (answer["provider"], answer["model"], "stopReason" in answer) == ("scripted", "m", False)
    assert (answer["usage"]["input"], answer["usage"]["output"], answer["usage"]["totalTokens"]) == (30, 4, 34)
    assert [message["__openclaw"]["seq"] for message in told["messages"]] == [1, 2]
    assert question["timestamp"] <= answer["timestamp"]
    assert len({message["__openclaw"]["id"] for message in told["messages"]}) == 2


def test_a_session_that_is_not_there_has_an_empty_history(client: Client) -> None:
    """It has no id yet, and none is made by asking."""
    told = history(client, "never")
    assert (told["messages"], "sessionId" in told, told["totalMessages"]) == ([], False, 0)
    assert client.call("sessions.describe", {"key": "never"})["session"] is None


def test_tools_are_shown(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """The agent's own: a call as a part, its result as a message that names it."""
    provider.enqueue(Reply("I look.", tool_calls=(ToolCall("c1", "session_status", "{}"),)), Reply("Done."))
    say(gateway, "agent:main:tools")
    _, asked, result, answer = history(client, "tools")["messages"]
    assert asked["stopReason"] == "toolUse"
    assert asked["content"][0] == {"type": "text", "text": "I look."}
    assert asked["content"][1] == {"type": "toolCall", "id": "c1", "name": "session_status", "arguments": {}}
    assert (result["role"], result["toolCallId"], result["toolName"], result["isError"]) == (
        "toolResult",
        "c1",
        "session_status",
        False,
    )
    assert json.loads(text(result))["sessionKey"] == "agent:main:tools"
    assert text(answer) == "Done."


def test_a_failed_tool_is_shown_as_one(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """And a call whose arguments are no JSON object is shown as it was made to be read."""
    provider.enqueue(Reply(tool_calls=(ToolCall("c1", "no_such_tool", '{"a": 1}'),)), Reply("Sorry."))
    say(gateway, "agent:main:failing")
    _, asked, result, _ = history(client, "failing")["messages"]
    assert asked["content"] == [{"type": "toolCall", "id": "c1", "name": "no_such_tool", "arguments": {"a": 1}}]
    assert result["isError"] is True


def test_a_question_without_an_answer_is_shown(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """A failed turn with what went wrong, an interrupted one with what there was."""
    provider.enqueue(Status(400, "not like this"))
    say(gateway, "agent:main:broken", "first")
    provider.enqueue(Reply("Half", " way", hold=threading.Event(), hold_at=1))
    client.call("chat.send", {"sessionKey": "broken", "message": "second", "idempotencyKey": "broken-2"})
    client.event("chat", state="delta", runId="broken-2")
    client.call("chat.abort", {"sessionKey": "broken"})
    client.event("chat", state="aborted", runId="broken-2")
    first, failure, second, half = history(client, "broken")["messages"]
    assert text(first) == "first"
    assert first["__openclaw"]["status"] == "failed"
    assert "not like this" in first["__openclaw"]["error"]
    assert (failure["role"], failure["content"], failure["stopReason"]) == ("assistant", [], "error")
    assert failure["errorMessage"] == first["__openclaw"]["error"]
    assert failure["timestamp"] >= first["timestamp"]
    assert (text(second), text(half)) == ("second", "Half [interrupted]")
    assert (half["stopReason"], half["__openclaw"]["status"]) == ("aborted", "interrupted")


@pytest.mark.parametrize(("method", "name"), [("chat.history", "sessionKey"), ("sessions.get", "key")])
def test_a_failure_has_its_place_and_counts_as_no_message(
    gateway: Gateway, client: Client, provider: ScriptedProvider, method: str, name: str
) -> None:
    """Right behind its question, in the order of seq, with an id that is nobody else's; pages miss nothing."""
    key = f"failures-{name}"
    for number in range(3):
        provider.enqueue(Status(400, f"no {number}"))
        say(gateway, f"agent:main:{key}", f"question {number}")
    seen: list[dict[str, Any]] = []
    offset: int | None = 0
    while offset is not None:
        page = client.call(method, {name: key, "limit": 2, "offset": offset})
        assert page["totalMessages"] == 3
        seen = page["messages"] + seen
        offset = page.get("nextOffset")
    assert [message["__openclaw"]["seq"] for message in seen] == [1, 1, 2, 2, 3, 3]
    assert [message["role"] for message in seen] == ["user", "assistant"] * 3
    assert len({message["__openclaw"]["id"] for message in seen}) == 6
    assert [f"no {number}" in seen[2 * number + 1]["errorMessage"] for number in range(3)] == [True] * 3


def test_pages_go_back_to_the_beginning(gateway: Gateway, client: Client) -> None:
    """Following nextOffset, each message comes once."""
    for number in range(3):
        say(gateway, "agent:main:pages", f"question {number}")
    seen: list[int] = []
    offset: int | None = 0
    while offset is not None:
        page = history(client, "pages", limit=4, offset=offset)
        seen = [message["__openclaw"]["seq"] for message in page["messages"]] + seen
        offset = page.get("nextOffset")
    assert seen == [1, 2, 3, 4, 5, 6]


def test_long_messages_are_cut(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """At 8,000 characters or where the client says, and marked."""
    provider.enqueue(Reply("é" * 10_000))
    say(gateway, "agent:main:lengthy")
    _, answer = history(client, "lengthy")["messages"]
    assert text(answer).startswith("é" * 8000 + "\n…")
    assert answer["__openclaw"]["truncated"] is True
    _, short = history(client, "lengthy", maxChars=5)["messages"]
    assert text(short).startswith("ééééé\n…")
    _, whole = history(client, "lengthy", maxChars=10_000)["messages"]
    assert text(whole) == "é" * 10_000
    assert "truncated" not in whole["__openclaw"]


def test_a_history_is_bounded_in_bytes(gateway: Gateway, client: Client) -> None:
    """The oldest are left out first, it is said, and the next page goes on there."""
    for number in range(5):
        say(gateway, "agent:main:heavy", f"{number}" + "\u0001" * 300_000)
    told = history(client, "heavy", maxChars=500_000)
    assert told["truncated"] is True
    assert told["hasMore"] is True
    assert len(json.dumps(told)) < 7 * 1024 * 1024
    assert told["messages"][-1]["__openclaw"]["seq"] == 10
    following = history(client, "heavy", maxChars=500_000, offset=told["nextOffset"])
    assert following["messages"][-1]["__openclaw"]["seq"] == told["messages"][0]["__openclaw"]["seq"] - 1


def test_images_are_told_of_but_not_sent(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Only their kind and their size."""
    models = {"providers": {"scripted": {"models": [{"id": "m", "input": ["text", "image"]}]}}}
    gateway = start_gateway(models=models)
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    say(gateway, "agent:main:seen", messages=[{"role": "user", "content": parts}])
    with connected(gateway) as client:
        question = history(client, "seen")["messages"][0]
    words, image = question["content"]
    assert words == {"type": "text", "text": "What is it?"}
    assert (image["type"], image["mimeType"], image["omitted"]) == ("image", "image/png", True)
    assert 50 < image["bytes"] < 100


def test_a_run_at_work_is_shown_beside_the_history(
    gateway: Gateway, client: Client, provider: ScriptedProvider
) -> None:
    """With its question and the text so far; once it is stored it is in the history alone."""
    hold = threading.Event()
    provider.enqueue(Reply("So far", ", so good", hold=hold, hold_at=1))
    client.call("chat.send", {"sessionKey": "flying", "message": "how is it?", "idempotencyKey": "flying-1"})
    client.event("chat", state="delta", runId="flying-1")
    told = history(client, "flying")
    assert (told["inFlightRun"]["runId"], told["inFlightRun"]["text"]) == ("flying-1", "So far")
    assert text(told["inFlightRun"]["message"]) == "how is it?"
    assert told["messages"] == []
    hold.set()
    client.event("chat", state="final", runId="flying-1")
    told = history(client, "flying")
    assert "inFlightRun" not in told
    assert [text(message) for message in told["messages"]] == ["how is it?", "So far, so good"]


def test_the_history_of_another_session_than_wanted_is_not_found(gateway: Gateway, client: Client) -> None:
    """A client that asks by an id that is gone is not given what came after."""
    say(gateway, "agent:main:former")
    id = history(client, "former")["sessionId"]
    assert history(client, "former", sessionId=id)["totalMessages"] == 2
    client.call("sessions.reset", {"key": "former"})
    with pytest.raises(Refused, match="sessionId") as refusal:
        history(client, "former", sessionId=id)
    assert refusal.value.code == "NOT_FOUND"


def test_a_text_is_injected(gateway: Gateway, client: Client, provider: ScriptedProvider) -> None:
    """It is in the history, other clients hear of it at once, and the next turn's model reads it."""
    with connected(gateway) as other:
        injected = client.call("chat.inject", {"sessionKey": "notes", "message": "By the way.", "label": "cron"})
        assert injected["ok"] is True
        message = other.event("chat", sessionKey="agent:main:notes", state="final")["payload"]["message"]
    (stored,) = history(client, "notes")["messages"]
    assert stored == message
    assert text(stored) == "[cron]\n\nBy the way."
    assert stored["__openclaw"]["id"] == injected["messageId"]
    assert not provider.requests
    say(gateway, "agent:main:notes", "what did you say?")
    assert "By the way." in str(provider.requests[-1].body["messages"])


def test_injecting_needs_admin(gateway: Gateway) -> None:
    """Nobody else speaks for the agent."""
    with connected(gateway, scopes=("operator.write",)) as client, pytest.raises(Refused) as refusal:
        client.call("chat.inject", {"sessionKey": "notes", "message": "x"})
    assert refusal.value.code == "FORBIDDEN"


@pytest.mark.parametrize(
    ("method", "params", "where"),
    [
        ("chat.history", {}, "sessionKey"),
        ("chat.history", {"sessionKey": "s", "limit": 1001}, "limit"),
        ("chat.history", {"sessionKey": "s", "cursor": "c"}, "cursor"),
        ("chat.history", {"sessionKey": "s", "maxChars": 500_001}, "maxChars"),
        ("chat.inject", {"sessionKey": "s"}, "message"),
        ("chat.inject", {"sessionKey": "s", "message": " "}, "message"),
        ("chat.inject", {"sessionKey": "cron:s", "message": "x"}, "sessionKey"),
        ("chat.inject", {"sessionKey": "s", "message": "x", "label": "x" * 101}, "label"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(client: Client, method: str, params: dict[str, Any], where: str) -> None:
    """Each fault has the path of its parameter."""
    with pytest.raises(Refused, match=where) as refusal:
        client.call(method, params)
    assert refusal.value.code == "INVALID_REQUEST"
