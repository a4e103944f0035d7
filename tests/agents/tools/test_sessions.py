"""Tools for the agent's own sessions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from gevent.event import Event as Gate

from app.agents.run import Run
from app.agents.tools.sessions import MAX_DEPTH, MAX_SHOWN, own_session_tools, session_tools
from app.agents.tools.tool import ToolFailed
from app.errors import ProviderError, RunCancelled
from app.providers.stream import Completed, ModelCall, RefusalDelta
from tests.agents.scene import BETA, MAIN, USAGE, Play, Scene, Wanted, asks, assistant, ended, says, turn, until, user

TOOLS = {tool.name: tool for tool in (*own_session_tools(), *session_tools())}


def call(scene: Scene, name: str, *, by: dict[str, Any] | None = None, **arguments: Any) -> str:
    """The tool's result for a run that is not at work. by: fields of its turn."""
    assert TOOLS[name].fault_of(arguments) == ""
    return TOOLS[name].work(Run(scene.runs, turn(admin=True, **by or {})), arguments)


def refusal(scene: Scene, name: str, *, by: dict[str, Any] | None = None, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as failed:
        call(scene, name, by=by, **arguments)
    return str(failed.value)


@pytest.fixture
def sessions(scene: Scene) -> Scene:
    """Two sessions of main, and one of beta."""
    scene.answer("one", key="agent:main:a")
    scene.answer("two", key="agent:main:b")
    scene.answer("three", key="agent:main:b")
    scene.answer("secret", key="agent:beta:c", agent=BETA)
    scene.model.calls.clear()
    return scene


def test_the_status_of_a_session(sessions: Scene) -> None:
    """Key, agent, model, turns and tokens; a session whose first turn is at work has no turns yet."""
    status = json.loads(call(sessions, "session_status", by={"key": "agent:main:b"}))
    assert (status["sessionKey"], status["agentId"], status["model"], status["turns"]) == (
        "agent:main:b",
        "main",
        "fake/m",
        2,
    )
    assert status["tokens"] == {"input": 2 * USAGE.prompt, "output": 2 * USAGE.completion}
    assert json.loads(call(sessions, "session_status", by={"key": "agent:main:new"}))["turns"] == 0


def test_sessions_are_listed_latest_first(sessions: Scene) -> None:
    """Those of the agent alone, as many as asked for."""
    listed = json.loads(call(sessions, "sessions_list"))
    assert [(each["sessionKey"], each["turns"]) for each in listed] == [("agent:main:b", 2), ("agent:main:a", 1)]
    assert len(json.loads(call(sessions, "sessions_list", limit=1))) == 1


@pytest.mark.parametrize("key", ["b", "agent:main:b"])
def test_the_history_of_a_session(sessions: Scene, key: str) -> None:
    """The latest messages in their order, by the short key or the whole one."""
    messages = json.loads(call(sessions, "sessions_history", sessionKey=key, limit=3))
    assert [(each["role"], each["text"]) for each in messages] == [
        ("assistant", "Hello world"),
        ("user", "three"),
        ("assistant", "Hello world"),
    ]


def test_a_history_is_bounded(scene: Scene) -> None:
    """However long a message is, only its beginning is shown."""
    scene.answer("x" * 10_000, key="agent:main:a")
    first, _ = json.loads(call(scene, "sessions_history", sessionKey="a"))
    assert first["text"] == "x" * MAX_SHOWN


def test_a_session_without_anything(scene: Scene) -> None:
    """The model is told where to look."""
    assert "sessions_list" in refusal(scene, "sessions_history", sessionKey="none")


@pytest.mark.parametrize("name", ["sessions_history", "sessions_send"])
@pytest.mark.parametrize("key", ["agent:beta:c", "agent:BETA:c", "agent:nobody:c"])
def test_another_agents_session_is_out_of_reach(sessions: Scene, name: str, key: str) -> None:
    """It is neither read nor spoken to, and the model is told so."""
    message = {"message": "hi"} if name == "sessions_send" else {}
    told = refusal(sessions, name, sessionKey=key, **message)
    assert "another agent" in told
    assert sessions.model.calls == []


@pytest.mark.parametrize("key", ["AGENT:beta:c", " agent:beta:c", "agent::beta:c", "agent:main:agent:beta:c", "beta:c"])
def test_no_spelling_reaches_another_agents_session(sessions: Scene, key: str) -> None:
    """Whatever is no other agent's key is a key of its own."""
    assert "there is nothing in the session 'agent:main:" in refusal(sessions, "sessions_history", sessionKey=key)


@pytest.mark.parametrize("key", ["x\ny", "x" * 600])
def test_impossible_keys_are_told(sessions: Scene, key: str) -> None:
    """As any caller is told."""
    assert TOOLS["sessions_history"].fault_of({"sessionKey": key}) or refusal(
        sessions, "sessions_history", sessionKey=key
    )


def test_agents_are_listed(scene: Scene) -> None:
    """With the one that asks."""
    assert json.loads(call(scene, "agents_list")) == [
        {"id": "main", "name": "main", "you": True},
        {"id": "beta", "name": "beta", "you": False},
    ]


# Speaking to another session.


def send(key: str, text: str = "how are you?", **more: Any) -> Play:
    return asks(Wanted("c1", "sessions_send", json.dumps({"sessionKey": key, "message": text, **more})))


@pytest.fixture
def talking(scene: Scene) -> Scene:
    """Every run may use the session tools."""
    scene.tools.tools = list(TOOLS.values())
    return scene


def test_a_message_is_a_turn_of_the_other_session(talking: Scene) -> None:
    """It is answered there with that session's history, stored there, and the answer is the tool's result."""
    talking.answer("one", key="agent:main:b")
    talking.model.enqueue(send("b"), says("Fine."), says("It is fine."))
    assert talking.answer("ask b", key="agent:main:a", admin=True).error is None
    assert talking.model.calls[2].messages[1:] == [user("one"), assistant("Hello world"), user("how are you?")]
    assert talking.model.calls[3].messages[-1]["content"] == "Fine."
    first, asked, asking = talking.stored()
    assert asked.messages == [user("how are you?"), assistant("Fine.")]
    assert (first.status, asked.status, asking.status) == ("done", "done", "done")
    assert talking.at_rest()


@pytest.mark.parametrize("key", ["a", "agent:main:a"])
def test_not_to_itself(talking: Scene, key: str) -> None:
    """A session that would wait for itself is refused at once."""
    told = refusal(talking, "sessions_send", by={"key": "agent:main:a"}, sessionKey=key, message="hi")
    assert "waits" in told
    assert talking.model.calls == []


def test_not_to_one_that_waits(talking: Scene) -> None:
    """Neither is one that waits for the answer further up, and the chain goes on without it."""

    def decide(call: ModelCall) -> Play | None:
        last = call.messages[-1]["content"]
        return {"go": send("b", "to b"), "to b": send("a", "back")}.get(last)

    talking.model.decide = decide
    assert talking.answer("go", key="agent:main:a", admin=True).error is None
    told = [message for turn in talking.stored() for message in turn.messages if message["role"] == "tool"]
    assert told[0]["content"] == "error: that session waits for this answer itself"
    assert told[1]["content"] == "Hello world"
    assert talking.at_rest()


def test_a_chain_is_bounded(talking: Scene) -> None:
    """Sessions that ask one another and so on come to an end, however willing the model is."""

    def decide(call: ModelCall) -> Play | None:
        last = call.messages[-1]
        return send(f"s{int(last['content']) + 1}", str(int(last["content"]) + 1)) if last["role"] == "user" else None

    talking.model.decide = decide
    assert talking.answer("0", key="agent:main:s0", admin=True).error is None
    assert [turn.messages[0]["content"] for turn in talking.stored()] == ["3", "2", "1", "0"]
    assert len(talking.stored()) == MAX_DEPTH + 1
    assert talking.at_rest()


def test_an_agent_that_may_run_once_can_still_ask_itself(talking: Scene) -> None:
    """A run that another waits for does not wait for that one's place."""
    talking.model.enqueue(send("b"), says("Fine."), says("ok"))
    narrow = replace(MAIN, max_concurrent=1)
    assert talking.answer("ask b", key="agent:main:a", admin=True, agent=narrow).error is None
    assert talking.model.calls[2].messages[-1]["content"] == "Fine."


@pytest.mark.parametrize("key", ["cron:x", "agent:main:subagent:x", "acp:x"])
def test_reserved_sessions_are_not_spoken_to(talking: Scene, key: str) -> None:
    """What callers may not use, agents may not either."""
    assert "reserved" in refusal(talking, "sessions_send", sessionKey=key, message="hi")


def test_a_failure_there_is_told_here(talking: Scene) -> None:
    """The asking model reads why there is no answer, and goes on."""
    talking.model.enqueue(send("b"), (ProviderError("down"),), says("ok"))
    assert talking.answer("ask b", key="agent:main:a", admin=True).error is None
    assert talking.model.calls[2].messages[-1]["content"] == "error: down"


def test_a_refusal_there_is_the_answer_here(talking: Scene) -> None:
    """What the other session said, whichever way it said it."""
    scene = talking
    scene.model.decide = lambda _call: (RefusalDelta("No."), Completed("stop", USAGE))
    assert call(scene, "sessions_send", sessionKey="b", message="may I?") == "No."


def test_a_wait_has_an_end(talking: Scene) -> None:
    """An answer that doesn't come in time is not waited for, and nobody goes on with it."""
    talking.model.enqueue(send("b", timeoutSeconds=1), (Gate(),), says("ok"))
    assert talking.answer("ask b", key="agent:main:a", admin=True).error is None
    assert talking.model.calls[2].messages[-1]["content"] == "error: no answer in 1 s; the question was taken back"
    until(talking.at_rest)
    assert [turn.status for turn in talking.stored()] == ["failed", "done"]


def test_a_cancel_reaches_the_session_that_was_asked(talking: Scene) -> None:
    """When the asking run is ended, the answering one ends, too."""
    talking.model.enqueue(send("b"), (Gate(),))
    run = talking.start("ask b", key="agent:main:a", admin=True)
    until(lambda: len(talking.model.calls) == 2)
    run.cancel(RunCancelled("gone"))
    assert ended(run).error is not None
    until(talking.at_rest)
    assert sorted(turn.status for turn in talking.stored()) == ["failed", "interrupted"]


def test_the_answer_there_has_the_rights_of_the_caller(talking: Scene) -> None:
    """The run that answers is of the same agent, caller and rights, and says where it came from."""
    seen: list[Any] = []
    offer = talking.tools.offer
    talking.tools.offer = lambda turn: seen.append(turn) or offer(turn)  # type: ignore[method-assign, func-returns-value]
    talking.model.enqueue(send("b"), says("Fine."), says("ok"))
    talking.answer("ask b", key="agent:main:a", admin=True, identity="ann", request_id="r")
    asked = seen[1]
    assert (asked.session_key, asked.agent, asked.admin, asked.identity) == ("agent:main:b", MAIN, True, "ann")
    assert (asked.stateless, asked.channel, asked.behind) == (False, "sessions_send", ("agent:main:a",))
