"""Tool calls: gathered while the model speaks, then done, side by side where the tools allow it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent
import orjson
from gevent import Greenlet
from gevent.lock import BoundedSemaphore

from app import json_text
from app.agents.events import ToolEnded, ToolStarted
from app.agents.tools.tool import Tool, ToolFailed
from app.errors import ProviderError
from app.ids import new_call_id
from app.providers.stream import Message, ToolCallDelta

if TYPE_CHECKING:
    from app.agents.run import Run
    from app.agents.tools.toolbox import Offer

log = logging.getLogger("gateway.tools")

# Calls of one step; further ones are dropped and the model is told.
MAX_CALLS = 64
# Characters of one call's arguments, and of all in one step.
MAX_ARGUMENTS = 1024 * 1024
MAX_STEP_ARGUMENTS = 4 * MAX_ARGUMENTS
# Characters of a caller's call that are told at a time: there are clients that read no line of 64 KB.
PIECE = 16 * 1024
# Tools of one run that work at the same time.
AT_ONCE = 8
# Seconds that tools have to end when their run is ended.
TO_END = 2.0
# What later turns read of a call that was at work then.
INTERRUPTED = "error: interrupted before it ended; it may be done in part"

NOTHING_BARRED: Mapping[str, str] = MappingProxyType({})

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]")


class Call:
    """One tool call. ``shown``: its number among those that the caller sees, None for the agent's own tools."""

    __slots__ = ("_parts", "arguments_lost", "id", "name", "shown", "size")

    def __init__(self, id: str, name: str, shown: int | None) -> None:
        self.id = id
        self.name = name
        self.shown = shown
        self.size = 0
        self.arguments_lost = False
        self._parts: list[str] = []

    @property
    def arguments(self) -> str:
        """JSON text, as far as the model can write it: where it wrote nothing, an empty object."""
        text = "".join(self._parts)
        return text if text.strip() or self.arguments_lost else "{}"

    def deltas(self) -> Iterator[ToolCallDelta]:
        """The call as its caller sees it: id and name first, then the arguments."""
        assert self.shown is not None
        yield ToolCallDelta(self.shown, self.id, self.name)
        arguments = self.arguments
        for begin in range(0, len(arguments), PIECE):
            yield ToolCallDelta(self.shown, arguments=arguments[begin : begin + PIECE])

    def append(self, fragment: str) -> None:
        self._parts.append(fragment)

    def lose_arguments(self) -> None:
        self._parts.clear()
        self.arguments_lost = True


class Calls:
    """The calls of one step, as they come.

    theirs: names of the caller's tools that may be called. Whether the caller sees a call of theirs is clear only when
    the model has ended its step: one that breaks off in the middle may break off in the middle of a call.
    """

    def __init__(self, theirs: frozenset[str]) -> None:
        self._theirs = theirs
        self._shown = 0
        self._by_index: dict[int, Call | None] = {}
        self._size = 0
        self.dropped = 0

    def add(self, delta: ToolCallDelta, taken: set[str]) -> None:
        """taken: ids of earlier calls of this run. Raises ProviderError."""
        if delta.index not in self._by_index:
            self._by_index[delta.index] = self._begin(delta, taken)
        call = self._by_index[delta.index]
        if call is not None and delta.arguments:
            self._append(call, delta.arguments)

    def _begin(self, delta: ToolCallDelta, taken: set[str]) -> Call | None:
        if len(self._by_index) >= MAX_CALLS:
            self.dropped += 1
            return None
        shown = None
        if delta.name in self._theirs:
            shown, self._shown = self._shown, self._shown + 1
        # Results are bound to calls by id: an id of the gateway's own where a provider's would not tell them apart.
        id = delta.id
        if not id or (id in taken and shown is None):
            id = new_call_id()
        taken.add(id)
        # An invented name goes back to the model with its error, and model APIs take only such names.
        return Call(id, delta.name if shown is not None else _UNNAMEABLE.sub("_", delta.name)[:64] or "_", shown)

    def _append(self, call: Call, fragment: str) -> None:
        call.size += len(fragment)
        self._size += len(fragment)
        if call.size <= MAX_ARGUMENTS and self._size <= MAX_STEP_ARGUMENTS:
            call.append(fragment)
        elif call.shown is not None:
            raise ProviderError(f"the model's arguments for the tool {call.name!r} are longer than {MAX_ARGUMENTS}")
        elif not call.arguments_lost:
            call.lose_arguments()

    def all(self) -> list[Call]:
        return [call for call in self._by_index.values() if call is not None]


class Order(NamedTuple):
    """A call that is to be done: by ``tool``, or refused for ``fault``. sound: its arguments are a JSON object."""

    call: Call
    tool: Tool | None
    arguments: dict[str, Any]
    fault: str = ""
    sound: bool = True


def orders(calls: Iterable[Call], offer: Offer, barred: Mapping[str, str] = NOTHING_BARRED) -> list[Order]:
    """What each call asks for that the caller doesn't see; what is wrong with it is for the model to read.

    barred: why tools of the caller must not be called, by name.
    """
    return [_order(call, offer, barred) for call in calls if call.shown is None]


def _order(call: Call, offer: Offer, barred: Mapping[str, str]) -> Order:
    if call.arguments_lost:
        return Order(call, None, {}, f"the arguments are longer than {MAX_ARGUMENTS} characters", sound=False)
    text = call.arguments
    try:
        arguments = json_text.loads(text)
    except orjson.JSONDecodeError as error:
        return Order(call, None, {}, f"the arguments are not valid JSON ({error}): {text[:200]}", sound=False)
    if not isinstance(arguments, dict):
        return Order(call, None, {}, "the arguments must be a JSON object", sound=False)
    if _too_deep(arguments):
        return Order(call, None, {}, "the arguments are nested too deeply", sound=False)
    if call.name in barred:
        return Order(call, None, arguments, barred[call.name])
    tool = offer.tools.get(call.name)
    if tool is None:
        known = ", ".join(offer.tools) or "none"
        return Order(call, None, arguments, f"there is no tool {call.name[:64]!r}; your own tools are: {known}")
    return Order(call, tool, arguments, tool.fault_of(arguments))


def _too_deep(arguments: dict[str, Any]) -> bool:
    """Whether they can't be told to anybody: JSON is read to a depth of 1024, and written to one of 254."""
    try:
        orjson.dumps([[[[[[[[arguments]]]]]]]])
    except TypeError:
        return True
    return False


def perform(run: Run, todo: Sequence[Order], results: list[Message], limit: int) -> Iterator[ToolStarted | ToolEnded]:
    """Do what was ordered; ``results`` gets a tool message for each order, in their sequence.

    limit: characters of each result. Ending this iterator ends the tools that are at work; their results say so.
    """
    for concurrent, group in groupby(todo, key=lambda order: order.tool is not None and order.tool.concurrent):
        together = list(group)
        for batch in [together] if concurrent else [[order] for order in together]:
            outcomes: dict[str, ToolEnded] = {}
            try:
                yield from _perform(run, batch, limit, outcomes)
            finally:
                # What was done before the run was ended stays on record, and what may be half done.
                results += [_result(order.call.id, outcomes.get(order.call.id)) for order in batch]


def _perform(
    run: Run, batch: Sequence[Order], limit: int, outcomes: dict[str, ToolEnded]
) -> Iterator[ToolStarted | ToolEnded]:
    places = BoundedSemaphore(AT_ONCE)
    working: list[Greenlet[..., ToolEnded]] = []
    try:
        for order in batch:
            yield ToolStarted(order.call.id, order.call.name, order.arguments)
            working.append(gevent.spawn(_work, run, order, limit, places))
        for done in gevent.iwait(working):
            ended = done.get()
            outcomes[ended.id] = ended
            yield ended
    finally:
        # Not killall's own timeout: that is raised, in place of what ended the run.
        gevent.killall(working, block=False)
        gevent.joinall(working, timeout=TO_END)
        if busy := sum(not greenlet.dead for greenlet in working):
            log.warning("run %s: %d tools did not end within %g s", run.id, busy, TO_END)


def _work(run: Run, order: Order, limit: int, places: BoundedSemaphore) -> ToolEnded:
    call, failed = order.call, True
    if order.tool is None or order.fault:
        text = order.fault
    else:
        with places:
            try:
                text, failed = order.tool.work(run, order.arguments), False
            except ToolFailed as failure:
                text = str(failure)
            except (Exception, gevent.Timeout):
                # The model can go on without this tool; whoever runs the gateway finds in the log what broke.
                log.exception("run %s: the tool %s failed", run.id, call.name)
                text = "the tool failed for an internal reason"
    log.log(
        logging.INFO if not failed else logging.WARNING,
        "run %s: tool %s %s",
        run.id,
        call.name,
        f"failed: {text[:200]}" if failed else "done",
    )
    # One half of a surrogate pair in what a tool read would keep the whole turn from being stored.
    text = text.encode("utf-8", "replace").decode()
    return ToolEnded(call.id, call.name, failed, clipped(f"error: {text}" if failed else text, limit))


def _result(id: str, ended: ToolEnded | None) -> Message:
    message: Message = {"role": "tool", "tool_call_id": id, "content": ended.result if ended else INTERRUPTED}
    if ended is None or ended.failed:
        message["failed"] = True  # some model APIs have a field for it
    return message


def clipped(text: str, limit: int) -> str:
    """``text``, with its middle left out where it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    half = max(limit // 2, 1)
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"
