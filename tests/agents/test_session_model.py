"""The model that was chosen for a session, and sessions that are compacted because somebody asks."""

from __future__ import annotations

import logging

import pytest
from gevent.event import Event as Gate

from app.agents.compaction_run import CompactionRun
from app.config.settings import ModelChoice
from app.errors import ProviderError, RunCancelled
from tests.agents.scene import MAIN, Scene, ended, says, until

KEY = "agent:main:s"


@pytest.fixture(autouse=True)
def _known(scene: Scene) -> None:
    """The models of one provider are configured, no others."""
    scene.model.knows = lambda reference: reference.startswith("fake/")  # type: ignore[attr-defined]


def stored_models(scene: Scene) -> list[str | None]:
    transcript = scene.sessions.transcript(KEY, 100)
    assert transcript is not None
    return [entry.end.model for entry in transcript.entries if entry.end is not None]


def test_a_session_s_model_answers_its_turns(scene: Scene) -> None:
    """From the next turn on, alone; without it the agent's answers again."""
    scene.answer()
    scene.sessions.patch(KEY, "main", {"model": "fake/big"})
    run = scene.start()
    ended(run)
    assert run.choice == ModelChoice("fake/big")
    scene.sessions.patch(KEY, "main", {"model": None})
    scene.answer()
    assert stored_models(scene) == ["fake/m", "fake/big", "fake/m"]


def test_a_session_s_first_turn_has_its_model_too(scene: Scene) -> None:
    """A session may be made with a model before anything is said."""
    scene.sessions.create(KEY, "main", model="fake/big")
    scene.answer()
    assert stored_models(scene) == ["fake/big"]


def test_a_turn_s_own_model_wins(scene: Scene) -> None:
    """Who names a model for this turn gets that."""
    scene.sessions.create(KEY, "main", model="fake/big")
    scene.answer(model=ModelChoice("fake/small"))
    assert stored_models(scene) == ["fake/small"]


def test_a_model_that_is_gone_does_not_stop_the_session(
    scene: Scene, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent's answers, and the log says so once for each run."""
    monkeypatch.setattr(logging.getLogger("gateway"), "propagate", True)
    scene.sessions.create(KEY, "main", model="gone/x")
    assert scene.answer().error is None
    assert stored_models(scene) == ["fake/m"]
    assert caplog.text.count("gone/x") == 1


def test_a_turn_asks_the_database_twice(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for history, summary and model together, once to be stored."""
    journal = scene.sessions._journal
    asked: list[str] = []
    for name in ("read", "submit"):
        does = getattr(journal, name)
        monkeypatch.setattr(journal, name, lambda job, name=name, does=does: (asked.append(name), does(job))[1])
    scene.answer()
    assert asked == ["read", "submit"]


# Compaction.


def compact(scene: Scene) -> CompactionRun:
    run = CompactionRun(scene.runs, MAIN, KEY)
    run.work()
    return run


@pytest.fixture
def talked(scene: Scene) -> Scene:
    """A session of four turns."""
    for number in range(4):
        scene.model.enqueue(says(f"answer {number} " + "word " * 100))
        assert scene.answer(f"question {number}").error is None
    scene.model.calls.clear()
    scene.model.default = says("They said much.")
    return scene


def test_a_session_is_compacted_when_somebody_asks(talked: Scene) -> None:
    """Older turns become a summary though all would fit, the latest stay word for word, and it is no turn."""
    assert compact(talked).compacted
    summary, turns, _ = talked.sessions.history(KEY)
    assert summary == "They said much."
    assert 0 < len(turns) < 4
    assert turns[-1].messages[0]["content"] == "question 3"
    assert len(talked.stored()) == 4
    assert talked.at_rest()


def test_a_session_without_turns_has_nothing_to_compact(scene: Scene) -> None:
    """No model is asked."""
    scene.sessions.create(KEY, "main")
    assert not compact(scene).compacted
    assert scene.model.calls == []


def test_a_compaction_asks_the_session_s_model(talked: Scene) -> None:
    """As its turns do."""
    talked.sessions.patch(KEY, "main", {"model": "fake/big"})
    assert compact(talked).choice == ModelChoice("fake/big")


def test_a_model_that_fails_leaves_the_history(talked: Scene) -> None:
    """Nothing is lost, and whoever asked is told."""
    talked.model.enqueue((ProviderError("no model"),))
    run = compact(talked)
    assert run.ended is not None
    assert isinstance(run.ended.error, ProviderError)
    assert not run.compacted
    assert len(talked.sessions.history(KEY).turns) == 4


def test_turns_wait_for_a_compaction(talked: Scene) -> None:
    """One at a time in a session, and a compaction can be cancelled like a run."""
    talked.model.enqueue((Gate(),))
    compaction = CompactionRun(talked.runs, MAIN, KEY)
    compaction.spawn()
    until(lambda: talked.model.active)
    waiting = talked.start("next")
    assert waiting.wait(0.05) is None
    assert compaction.cancel(RunCancelled("enough"))
    assert ended(waiting).error is None
    assert not compaction.compacted
    assert len(talked.stored()) == 5
