"""A run that shortens its session's history, because somebody asks for it."""

from __future__ import annotations

from app.agents.compaction import compact_stored
from app.agents.run import Run
from app.agents.runs import Runs
from app.agents.turn import Turn
from app.config.settings import Agent
from app.errors import GatewayError
from app.sessions.answers import AnswerRecord


class CompactionRun(Run):
    """No turn: it has its place in the session's lane, its deadline and its model as turns have, and leaves a summary.

    compacted: whether there was anything to shorten.
    """

    def __init__(self, runs: Runs, agent: Agent, session_key: str) -> None:
        super().__init__(runs, Turn(agent, session_key, stateless=False, messages=()))
        self.compacted = False

    def _converse(self) -> None:
        stored = self.runs.sessions.history(self.turn.session_key, self.runs.fresh_since())
        self._prefer(stored.model)
        self.window = self.runs.catalogue.window(self.turn.agent, self.choice)
        self.compacted = compact_stored(self, stored)
        self.answer.finish_reason = "stop"

    def _keep(self, error: GatewayError | None, kept: AnswerRecord | None) -> None:
        """Nothing was said."""
