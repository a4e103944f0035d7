"""One tool, called without a model: what it may, what it sees, and how it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gevent
import pytest
from gevent.event import Event as Gate

from app.agents import invocation as invocation_module
from app.agents.calls import MAX_ARGUMENTS
from app.agents.invocation import FAILED, INVALID_ARGUMENTS, NOT_ALLOWED, TIMEOUT, Invocation, Outcome
from app.agents.loop import MAX_RESULT
from app.agents.runs import shutting_down
from app.agents.tools.policy import Refusal
from app.agents.tools.tool import ToolFailed
from app.config.settings import Gateway, InvokedTools
from app.errors import Overloaded
from tests.agents.scene import MAIN, Scene, settings, tool, turn, until


def invocation(scene: Scene, name: str = "look", arguments: dict[str, Any] | None = None, **fields: Any) -> Invocation:
    asked = turn(**{"messages": (), **fields})
    return Invocation(scene.runs, asked, name, arguments or {})


def invoke(scene: Scene, *given: Any, **fields: Any) -> Outcome:
    with gevent.Timeout(10):
        return invocation(scene, *given, **fields).invoke()


def test_a_tool_gets_its_arguments_and_its_result_comes_back(scene: Scene) -> None:
    """Nothing of it is stored, nobody asks the model, and nothing is held afterwards."""
    scene.tools.tools = [tool("look", lambda _run, arguments: f"saw {arguments['what']}")]
    assert invoke(scene, "look", {"what": "that"}) == Outcome("saw that")
    assert scene.stored() == []
    assert scene.model.calls == []
    assert scene.at_rest()


def test_the_tool_is_in_the_session(scene: Scene) -> None:
    """It sees the session's key and the caller's rights, as in a run there."""
    seen: list[Any] = []
    scene.tools.tools = [tool("look", lambda run, _arguments: seen.append((run.turn, run.window)) or "ok")]
    scene.model.context_window = 1000
    invoke(scene, key="agent:main:there", admin=True, identity="ann")
    [(its, window)] = seen
    assert (its.session_key, its.stateless, its.admin, its.identity) == ("agent:main:there", False, True, "ann")
    assert window == 1000


def test_turns_of_the_session_don_t_wait_for_it(scene: Scene) -> None:
    """Nor it for them, nor for the places of the agent's runs."""
    agent = replace(MAIN, max_concurrent=1)
    gate = Gate()
    scene.model.enqueue((gate,))
    scene.tools.tools = [tool("look")]
    run = scene.start(agent=agent)
    until(lambda: scene.model.active)
    assert invoke(scene, agent=agent).text == "done"
    run.cancel(Overloaded("enough", retry_after=1))
    until(scene.at_rest)


@pytest.mark.parametrize("name", ["look", " LOOK", "l*", "group:*"])
def test_a_tool_that_clients_may_not_call_for(scene: Scene, name: str) -> None:
    """Though the agent has it: gateway.tools.deny is for those who ask without an agent."""
    ran: list[str] = []
    look, other = (tool(each, lambda *_: ran.append("ran") or "done") for each in ("look", "exec"))
    scene.tools.tools = [other] if name == "group:*" else [look]
    gateway = Gateway(tools=InvokedTools((name,)))
    scene.live.current = replace(settings(), gateway=gateway)
    [asked] = scene.tools.tools
    outcome = invoke(scene, asked.name)
    assert (outcome.fault, ran) == (NOT_ALLOWED, [])
    assert "gateway.tools.deny" in outcome.text


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (lambda *_: (_ for _ in ()).throw(ToolFailed("not there")), "not there"),
        (lambda *_: 1 // 0, "the tool failed for an internal reason"),
    ],
    ids=["told", "broken"],
)
def test_a_tool_that_fails(scene: Scene, work: Any, told: str) -> None:
    """What a model would read, and no trace."""
    scene.tools.tools = [tool("look", work)]
    assert invoke(scene) == Outcome(told, FAILED)


def test_a_tool_that_is_not_offered(scene: Scene) -> None:
    """It is refused with the reason; one that does not exist is not there."""
    scene.tools.refusals = {"exec": Refusal("deny", "denied by tools.deny")}
    assert invoke(scene, "exec") == Outcome("exec: denied by tools.deny", NOT_ALLOWED)
    assert invoke(scene, "fly") == Outcome("there is no tool 'fly'", NOT_ALLOWED)


def test_arguments_are_checked_first(scene: Scene) -> None:
    """By the tool's schema and in size; the tool does not begin."""
    worked: list[Any] = []
    schema = {"type": "object", "required": ["what"], "properties": {"what": {"type": "string"}}}
    scene.tools.tools = [tool("look", lambda *_: worked.append(1) or "", parameters=schema)]
    assert invoke(scene) == Outcome("arguments: 'what' is a required property", INVALID_ARGUMENTS)
    outcome = invoke(scene, "look", {"what": "x" * MAX_ARGUMENTS})
    assert outcome.fault == INVALID_ARGUMENTS
    assert "1,048,576" in outcome.text
    assert worked == []


def test_a_tool_that_takes_too_long_is_ended(scene: Scene) -> None:
    """After the time of the agent's runs; the result says that it may be done in part."""
    ended = Gate()

    def work(*_: Any) -> str:
        try:
            Gate().wait()
        finally:
            ended.set()
        return ""

    scene.tools.tools = [tool("look", work)]
    outcome = invoke(scene, agent=replace(MAIN, timeout_seconds=0.05))
    assert outcome == Outcome("look took longer than 0.05 s; it may be done in part", TIMEOUT)
    assert ended.is_set()
    assert scene.at_rest()


def test_no_tool_has_more_than_its_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the agent's runs may take."""
    monkeypatch.setattr(invocation_module, "MOST_SECONDS", 0.05)
    scene.tools.tools = [tool("look", lambda *_: Gate().wait() or "")]
    assert invoke(scene).fault == TIMEOUT


def test_the_drain_ends_a_tool_at_work(scene: Scene) -> None:
    """It counts as a run until then, and its result is no reason to do it again."""
    scene.tools.tools = [tool("look", lambda *_: Gate().wait() or "")]
    waiting = invocation(scene)
    asking = gevent.spawn(waiting.invoke)
    until(lambda: waiting.begun)
    assert len(scene.runs) == 1
    scene.runs.cancel_all(shutting_down())
    outcome = asking.get(timeout=10)
    assert outcome.fault == FAILED
    assert outcome.text == "look was ended: the gateway is shutting down; it may be done in part"
    assert scene.at_rest()


def test_a_gateway_that_drains_or_is_full_begins_none(scene: Scene) -> None:
    """It is told as new runs are, to be tried again."""
    scene.tools.tools = [tool("look")]
    scene.live.replace(settings(gateway=Gateway(max_runs=0)))
    with pytest.raises(Overloaded, match=r"gateway\.maxRuns"):
        invoke(scene)
    scene.runs.draining = True
    with pytest.raises(Overloaded, match="shutting down"):
        invoke(scene)
    assert scene.at_rest()


def test_long_results_are_cut_as_for_models(scene: Scene) -> None:
    """In the middle."""
    scene.tools.tools = [tool("look", lambda *_: "x" * (MAX_RESULT + 100))]
    text = invoke(scene).text
    assert "100 characters left out" in text
    assert len(text) < MAX_RESULT + 100
