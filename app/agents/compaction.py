"""Making room in a run's context: the model itself writes down what the older turns said."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from app.agents.context import Context
from app.errors import ContextOverflow
from app.providers.stream import Completed, Message, ModelCall, TextDelta
from app.sessions.record import History

if TYPE_CHECKING:
    from app.agents.run import Run

log = logging.getLogger("gateway.runs")

_TASK = (
    "You keep the memory of a conversation. Keep names, numbers, facts, decisions, file paths, what the user wants and "
    "what is still open. Leave out small talk. Answer with the summary alone, in at most {words} words."
)


def compact(run: Run, context: Context, room: int) -> bool:
    """Shorten ``context`` so that it takes less than ``room`` tokens. False when there is nothing to shorten.

    The summary of stored turns is stored beside them, so that the next turn begins with it. Raises ProviderError.
    """
    before = context.size()
    covered = context.compact(room, lambda summary, piece, most: _summary(run, summary, piece, most))
    if covered is None:
        return False
    log.info("run %s: the history was compacted from about %d to %d tokens", run.id, before, context.size())
    if covered and not run.turn.stateless:
        run.runs.sessions.summarise(run.turn.session_key, covered, context.summary)
    return True


def compact_stored(run: Run, history: History) -> bool:
    """Shorten what later turns of the session read, whether or not it fits the window. False when nothing can be.

    Raises ProviderError.
    """
    context = Context("", history.turns, (), summary=history.summary)
    before = context.size()
    room = min(before, run.window or before)
    covered = context.compact(room, lambda summary, piece, most: _summary(run, summary, piece, most))
    if not covered:
        return False
    run.runs.sessions.summarise(run.turn.session_key, covered, context.summary)
    log.info("run %s: the session was compacted from about %d to %d tokens", run.id, before, context.size())
    return True


def _summary(run: Run, summary: str, piece: str, most: int) -> str:
    """The model's summary of ``piece`` on top of an earlier one. most: tokens."""
    try:
        return _ask(run, summary, piece, most)
    except ContextOverflow:
        if len(piece) < 200:
            raise
        # The window is smaller than it was thought to be.
        half = len(piece) // 2
        return _summary(run, _summary(run, summary, piece[:half], most), piece[half:], most)


def _ask(run: Run, summary: str, piece: str, most: int) -> str:
    earlier = f"The summary so far:\n{summary}\n\n" if summary else ""
    messages: list[Message] = [
        {"role": "system", "content": _TASK.format(words=most // 2)},
        {"role": "user", "content": f"{earlier}What was said since:\n{piece}\nWrite the new summary."},
    ]
    said = []
    call = ModelCall("", messages, run.deadline, {"max_tokens": most})
    for delta in run.runs.catalogue.stream(run.choice, call):
        if isinstance(delta, TextDelta):
            said.append(delta.text)
        elif isinstance(delta, Completed):
            run.answer.usage = run.answer.usage.plus(delta.usage)
    return "".join(said)
