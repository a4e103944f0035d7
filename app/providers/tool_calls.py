"""Tool calls put together from what servers send of them: each server has its own reading of its format."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterator
from typing import Any

import orjson

from app.concurrency.slices import taking_turns
from app.errors import ProviderError, ProviderFault
from app.ids import new_call_id
from app.providers.finish_reasons import STOP
from app.providers.sse import checked
from app.providers.stream import ToolCallDelta

log = logging.getLogger("gateway.providers")

# Calls of one answer, and characters of all; the agent loop has lower bounds for what it does with them.
MAX_CALLS = 1000
MAX_SIZE = 16 * 1024 * 1024
# Levels of arguments that are looked into.
MAX_LEVELS = 200
# What a fragment counts besides its text.
OVERHEAD = 64
# Characters of one call that are read to find out whether it is whole, again and again as it grows. Servers that need
# this send a few hundred fragments; one that never ends must not cost minutes.
MAX_READ = 32 * 1024 * 1024
_UNSOUND = object()


class _Call:
    """A call as far as it was told. extra: what the server wants back with it."""

    __slots__ = ("_read", "extra", "fragments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.fragments: list[str] = []
        self.extra: Any = None
        self._read = 0

    @property
    def is_whole(self) -> bool:
        if self._read > MAX_READ or not self.fragments or not self.fragments[-1].rstrip().endswith("}"):
            return False  # without putting megabytes together for each fragment
        return isinstance(self.parsed("".join(self.fragments)), dict)

    def parsed(self, arguments: str) -> Any:
        """As ``_parsed``; ``_UNSOUND``, too, for a call that was read so often."""
        self._read += len(arguments)
        return _parsed(arguments) if self._read <= MAX_READ else _UNSOUND


class ToolCalls:
    """The calls of one answer, from fragments. ``place``: whatever a server tells its calls apart by.

    Understood besides the documented ways: names and ids that come late, come again or change, no index, no id, one
    index for several calls, one id for several calls, arguments as an object, or told again, whole or so far. What a
    fragment means is sometimes clear from what follows only, so the calls are told when the answer is whole.
    """

    def __init__(self, provider: str, names: frozenset[str] = frozenset()) -> None:
        """names: of the tools that the model was offered."""
        self._provider = provider
        self._names = names
        self._calls: list[_Call] = []
        self._by_place: dict[Any, _Call] = {}
        self._size = 0

    def read(self, fragments: Any, *, whole: bool = False) -> None:
        """Take in the ``tool_calls`` of one chunk, or of a ``whole`` message, where each is a call of its own.

        Raises AttributeError or TypeError for an unknown shape, ProviderFault for too much.
        """
        fragments = [fragments] if isinstance(fragments, dict) else list(filter(None, fragments))
        for position, fragment in enumerate(fragments):
            id = fragment.get("id")
            function = fragment.get("function") or (fragment if "arguments" in fragment else {})
            place = fragment.get("index")
            if place is None and len(fragments) > 1:
                place = ("position", position)  # all that tells them apart
            self.add(
                place,
                str(id) if type(id) is int else id,
                function.get("name"),
                function.get("arguments"),
                fragment.get("extra_content"),
                begins=whole,
            )

    def add(
        self,
        place: Any,
        id: Any = None,
        name: Any = None,
        arguments: Any = None,
        extra: Any = None,
        *,
        begins: bool = False,
    ) -> None:
        """Take in one fragment; what is absent or empty in it says nothing. begins: it is a call of its own.

        Raises TypeError for what is no text, ProviderFault for too much.
        """
        id, name, arguments = checked(id or ""), checked(name or ""), self._text(arguments)
        if extra:
            self._text({"": extra})  # it has to be written again
        if not (id or name or arguments or extra):
            return
        self._size += len(id) + len(name) + len(arguments) + OVERHEAD
        if self._size > MAX_SIZE:
            raise ProviderFault(f"provider {self._provider} sent tool calls of more than {MAX_SIZE} characters")
        call = None if begins else self._continued(place, id, name, arguments)
        if call is None:
            if len(self._calls) >= MAX_CALLS:
                raise ProviderFault(f"provider {self._provider} sent more than {MAX_CALLS} tool calls")
            call = _Call()
            self._calls.append(call)
        if place is not None:
            self._by_place[place] = call
        call.id = call.id or id
        # Some servers write a name in pieces, each time as far as it goes.
        call.name = name if name.startswith(call.name) else call.name + name if self._joins(call, name) else call.name
        call.extra = extra or call.extra
        if arguments:
            call.fragments.append(arguments)

    def settle(self, place: Any, id: Any = None, name: Any = None, arguments: Any = None) -> None:
        """Take in a call that is whole, whether its fragments came before or not. Raises as ``add`` does."""
        known = next((call for call in self._calls if id and call.id == id), None)
        there = self._by_place.get(place)
        # Some servers give one place to several calls.
        if known is None and there is not None and not (id and there.id):
            known = there
        whole = self._text(arguments)
        if known is None:
            self.add(place, id, name, whole, begins=True)
        else:
            known.id, known.name = known.id or checked(id or ""), known.name or checked(name or "")
            if whole and whole != "".join(known.fragments):
                known.fragments[:] = [whole]

    def told(self, *, said: bool, decode: bool = False) -> Iterator[ToolCallDelta]:
        """The calls, each from its id and name to its last argument; none without arguments: they are ``{}`` then.

        said: the answer has text besides; one that has not must hold a call.
        decode: the server writes texts in the arguments as in HTML, ``&quot;`` for a quotation mark. Raises
        ProviderFault for a call that can't be read: nobody can carry it out, and asking again would cost again.
        """
        ids: set[str] = set()
        told = [call for call in self._calls if call.name or call.fragments]
        if not (told or said) or not all(call.name for call in told):
            raise ProviderFault(f"provider {self._provider} sent a tool call that can't be read: it has no name")
        for index, call in enumerate(taking_turns(_once(told))):
            # Results are bound to calls by id. OpenAI takes one of 40 characters at most.
            id = call.id if call.id and call.id not in ids else new_call_id()
            ids.add(id)
            yield ToolCallDelta(index, id, call.name)
            for fragment in self._arguments(call, decode):
                yield ToolCallDelta(index, arguments=fragment)

    @property
    def extras(self) -> list[Any]:
        """What the server wants back with each call of ``told``; None for most."""
        return [call.extra for call in _once(self._calls) if call.name]

    def __len__(self) -> int:
        """How many there are, readable or not."""
        return len(self._calls)

    def fill(self, position: int, id: Any, arguments: Any) -> None:
        """Give arguments to a call that has none yet: the one of this id, or else in this place of all."""
        call = next((each for each in self._calls if each.id == id), None)
        call = call or (self._calls[position] if position < len(self._calls) else None)
        if call is not None and not call.fragments and (whole := self._text(arguments)):
            call.fragments.append(whole)

    @property
    def are_whole(self) -> bool:
        """Whether no call breaks off in the middle of its arguments."""
        return all(call.is_whole for call in self._calls if call.fragments)

    def _continued(self, place: Any, id: str, name: str, arguments: str) -> _Call | None:
        """The call that a fragment goes on with; None for one that begins another."""
        by_place = self._by_place.get(place) if place is not None else None
        by_id = next((call for call in self._calls if call.id == id), None) if id else None
        latest = self._calls[-1] if self._calls else None
        if not name:
            # Whatever id it has, its place says where it belongs; a name may come later. Some servers count on.
            if place is None:
                return by_id or latest
            drifted = latest is not None and not id and latest.name and not latest.is_whole
            return by_place or (latest if drifted else None)
        known = by_place if place is not None else by_id or (latest if not id else None)
        if known is None or not known.name:
            return known
        if not name.startswith(known.name):
            return known if self._joins(known, name) and (not id or id == known.id) else None
        if id and id == known.id:
            return known
        if place is not None and not id:
            # Told once more, unless it is another call under the same index.
            again = known.is_whole and isinstance(_parsed(arguments), dict) and arguments != "".join(known.fragments)
            return None if again else known
        # The same tool under another id, or none: the same call as long as that has not all of its arguments.
        same_call = bool(arguments) and not known.is_whole and (bool(known.fragments) or place is not None)
        return known if same_call else None

    def _joins(self, call: _Call, piece: str) -> bool:
        """Whether a name came in two pieces."""
        return bool(piece) and call.name + piece in self._names and piece not in self._names

    def _text(self, arguments: Any) -> str:
        if not isinstance(arguments, dict):
            return checked(arguments) if arguments is not None else ""
        try:
            return orjson.dumps([[[[arguments]]]]).decode()[4:-4]  # as deep as it stands in a request
        except TypeError:
            raise ProviderFault(f"provider {self._provider} sent a tool call that is nested too deeply") from None

    def _arguments(self, call: _Call, decode: bool) -> list[str]:
        fragments = call.fragments
        parsed = _parsed("".join(fragments))
        if decode and isinstance(parsed, dict):
            return [self._text(_unescaped(parsed))]
        if parsed is None:
            return ["{}"]
        if isinstance(parsed, str) and isinstance(_parsed(parsed), dict):
            return [parsed]  # encoded twice
        if parsed is not _UNSOUND:
            return fragments
        # Some servers send the arguments so far, or all of them again, or "{}" until they know better.
        text, dropped = "", []
        for fragment in fragments:
            if fragment.startswith(text):
                text = fragment
            elif fragment.lstrip().startswith("{") and isinstance(call.parsed(text), dict):
                dropped.append(text)
                text = fragment
            else:
                text += fragment
        final = _parsed(text)
        if not isinstance(final, dict):
            return fragments
        if any(not _parsed(each).keys() <= final.keys() for each in dropped):
            raise ProviderFault(f"provider {self._provider} sent one call of the tool {call.name!r} with two arguments")
        return [text]


def ended_in_order(provider: str, began: bool, said: bool, calls: ToolCalls) -> str:
    """The finish reason of an answer whose server ended it in order but gave none: ``stop``.

    said: it has text. Raises ProviderError where it is no answer. One that began was paid for, and isn't asked for
    again.
    """
    if not began:
        raise ProviderError(f"provider {provider} sent an empty answer")
    if not (said or calls):
        raise ProviderFault(f"provider {provider} ended its answer without a word, a tool call or a finish reason")
    if not calls.are_whole:
        raise ProviderError(f"provider {provider} ended its answer in the middle of a tool call")
    log.warning("provider %s ended its answer without a finish reason; it is taken as whole", provider)
    return STOP


def _once(calls: list[_Call]) -> list[_Call]:
    """The calls without those that are told once more under the same id, word for word."""
    seen: dict[tuple[str, str, str], _Call] = {}
    for call in calls:
        name = (call.id, call.name, "".join(call.fragments)) if call.id else (f"\0{len(seen)}", "", "")
        seen.setdefault(name, call)
    return list(seen.values())


def _parsed(arguments: str) -> Any:
    """What the JSON holds, None for blank text, ``_UNSOUND`` for what is no JSON."""
    try:
        return orjson.loads(arguments) if arguments.strip() else None
    except orjson.JSONDecodeError:
        return _UNSOUND


def _unescaped(value: Any, levels: int = MAX_LEVELS) -> Any:
    """What is nested deeper stays as it is: it is refused where it is used."""
    if isinstance(value, dict) and levels:
        return {key: _unescaped(each, levels - 1) for key, each in value.items()}
    if isinstance(value, list) and levels:
        return [_unescaped(each, levels - 1) for each in value]
    return html.unescape(value) if isinstance(value, str) else value
