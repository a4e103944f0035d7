"""How a request's messages meet what its session holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import InvalidRequest
from app.providers.stream import text_of
from app.sessions.history import NO_RESULT, Meeting, PastTurn, holds_reply, meet, paired, shown_text

Message = dict[str, Any]


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(content: Any, *call_ids: str) -> Message:
    message = {"role": "assistant", "content": content}
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in call_ids]
    return message | ({"tool_calls": calls} if calls else {})


def tool(call_id: str, text: str = "42") -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def past(*turns: Sequence[Message]) -> list[PastTurn]:
    """Stored turns, numbered from 1."""
    return [PastTurn(number, list(messages)) for number, messages in enumerate(turns, 1)]


def refusal(stored: list[PastTurn], request: list[Message]) -> str:
    with pytest.raises(InvalidRequest) as refused:
        meet(stored, request)
    assert refused.value.param == "messages"
    return refused.value.message


ONE = [user("one"), assistant("two")]
STORED = past(ONE)


def test_an_empty_session_takes_the_whole_history() -> None:
    """The first request of a session may bring a conversation from elsewhere."""
    request = [user("a"), assistant("b", "c1"), tool("c1"), assistant("c"), user("d")]
    assert meet([], request) == Meeting([], request)


def test_a_caller_who_sends_only_what_is_new() -> None:
    """Without an assistant message all of the request is new."""
    request = [user("three"), user("four")]
    assert meet(STORED, request) == Meeting(STORED, request)


def test_a_caller_who_resends_everything_doubles_nothing() -> None:
    """Only what follows the request's last assistant message is new."""
    assert meet(STORED, [*ONE, user("three")]) == Meeting(STORED, [user("three")])


def test_a_caller_who_resends_the_last_answer_only() -> None:
    """A request cut to a window of recent messages continues the same session."""
    stored = past(ONE, [user("three"), assistant("four")])
    assert meet(stored, [assistant("four"), user("five")]) == Meeting(stored, [user("five")])


def test_an_answer_from_further_back_is_known_too() -> None:
    """The request's last answer may be any of the session's, not only its latest."""
    stored = past(ONE, [user("three"), assistant("four")])
    assert meet(stored, [*ONE, user("other")]) == Meeting(stored, [user("other")])


def test_an_answer_of_a_conversation_that_was_taken_over_is_known() -> None:
    """Each answer of a first request that brought several can be gone on from."""
    stored = past([user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f")])
    for reply in ("b", "d", "f"):
        assert meet(stored, [assistant(reply), user("g")]) == Meeting(stored, [user("g")])


def test_another_conversation_is_its_own() -> None:
    """When the session doesn't know the last answer, the request's history is used and the rest is new."""
    request = [user("x"), assistant("y"), user("z")]
    assert meet(STORED, request) == Meeting([PastTurn(0, [user("x"), assistant("y")])], [user("z")], foreign=True)


@pytest.mark.parametrize(
    "resent",
    [
        "two",
        " two\n",
        [{"type": "text", "text": "two"}],
        [{"type": "text", "text": "t"}, {"type": "text", "text": "wo"}],
    ],
)
def test_an_answer_is_recognized_by_its_text(resent: Any) -> None:
    """Parts instead of a string and space at the ends are the same answer."""
    request = [user("one"), assistant(resent), user("three")]
    assert not meet(STORED, request).foreign
    assert holds_reply(STORED, request)


def test_a_user_who_says_the_same_is_not_the_answer() -> None:
    """Only an assistant's message is compared with an assistant's."""
    request = [user("one"), assistant("two"), user("three")]
    assert meet(past([user("two"), assistant("x")]), request).foreign
    assert not holds_reply(past([user("two"), assistant("x")]), request)
    assert not holds_reply(STORED, [user("two")])


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_answer_is_recognized(empty: str | None) -> None:
    """An answer without text matches one that is resent as null or as nothing."""
    stored = past([user("one"), assistant("")])
    assert not meet(stored, [user("one"), assistant(empty), user("two")]).foreign


def test_an_interrupted_answer_keeps_its_mark() -> None:
    """A client that resends the cut answer as it was stored continues the session."""
    stored = past([user("one"), assistant("Once upon [interrupted]")])
    assert not meet(stored, [user("one"), assistant("Once upon [interrupted]"), user("go on")]).foreign


# The agent's own tools: the caller saw one answer, the session holds its steps.

STEPS = [user("one"), assistant("I look.", "own-1"), tool("own-1"), assistant(None, "own-2"), tool("own-2")]


def test_an_answer_of_several_steps_is_recognized_as_the_caller_saw_it() -> None:
    """The texts of all steps in one, without the calls of the agent's own tools, are that turn's answer."""
    stored = past([*STEPS, assistant("Done.")])
    assert shown_text(stored[0].messages) == "I look.\n\nDone."
    assert not meet(stored, [user("one"), assistant("I look.\n\nDone."), user("two")]).foreign
    assert meet(stored, [user("one"), assistant("I look."), user("two")]).foreign


def test_a_call_of_the_callers_tools_beside_own_ones_is_recognized() -> None:
    """The caller resends the calls that it saw; those that the agent did itself are not among them."""
    stored = past([user("one"), assistant("I look.", "own-1", "c1"), tool("own-1")])
    request = [user("one"), assistant("I look.", "c1"), tool("c1")]
    assert meet(stored, request) == Meeting(stored, [tool("c1")])


# Results of the caller's tools.


def test_tool_results_bind_to_the_stored_call() -> None:
    """Results that come alone continue the session that holds their calls."""
    stored = past([user("one"), assistant(None, "c1", "c2")])
    assert meet(stored, [tool("c1"), tool("c2")]) == Meeting(stored, [tool("c1"), tool("c2")])


def test_calls_are_told_apart_by_their_ids() -> None:
    """An assistant message with the same text but other calls is another message."""
    stored = past([user("one"), assistant(None, "c1")])
    assert not meet(stored, [user("one"), assistant(None, "c1"), tool("c1")]).foreign
    assert meet(stored, [user("one"), assistant(None, "c9"), tool("c9")]).foreign


def test_what_stands_between_the_last_answer_and_the_end_is_new() -> None:
    """Tool results and user messages after the last answer are kept in order."""
    first = [user("one"), assistant("let me see", "c1")]
    new = [tool("c1"), user("and now?")]
    assert meet(past(first), [*first, *new]) == Meeting(past(first), new)


def test_a_result_that_the_session_has_is_not_doubled() -> None:
    """What is resent after it was stored is left out; if nothing else came, that is told."""
    stored = past([user("one"), assistant(None, "c1")], [tool("c1"), assistant("two")])
    assert meet(stored, [tool("c1"), user("more")]).new == [user("more")]
    assert "has its result already" in refusal(stored, [tool("c1")])


@pytest.mark.parametrize("stored", [[], STORED, past([user("one"), assistant(None, "c1")])])
@pytest.mark.parametrize(
    "request_", [[tool("c9"), user("x")], [user("a"), assistant("b"), tool("c9")], [tool("c9"), assistant("", "c9")]]
)
def test_a_result_without_a_call_is_refused(stored: list[PastTurn], request_: list[Message]) -> None:
    """A result answers a call of an earlier message, in the session or in the request; otherwise its id is named."""
    assert "no earlier message makes the tool call 'c9'" in refusal(stored, [*request_, user("?")])


@pytest.mark.parametrize("stored", [[], past([user("one"), assistant(None, "c1")])])
def test_a_second_result_for_a_call_is_refused(stored: list[PastTurn]) -> None:
    """Of two results for one call the model could read one alone, so the caller is told."""
    calls = [] if stored else [user("one"), assistant(None, "c1")]
    assert "'c1', or it has its result already" in refusal(stored, [*calls, tool("c1", "a"), tool("c1", "b")])


def test_an_id_that_a_server_gives_again_is_another_call() -> None:
    """Servers that count calls from 0 in each answer can be answered each time."""
    stored = past(
        [user("one"), assistant(None, "call_0")], [tool("call_0", "1"), assistant("two")],
        [user("three"), assistant(None, "call_0")],
    )  # fmt: skip
    assert meet(stored, [tool("call_0", "3")]).new == [tool("call_0", "3")]
    both = [message for turn in stored for message in turn.messages] + [tool("call_0", "3")]
    assert [message["content"] for message in paired(both) if message["role"] == "tool"] == ["1", "3"]


# What a model is given.


def test_results_stand_right_behind_their_calls() -> None:
    """Results that came later, mixed with other messages, move to their calls, in the calls' order."""
    messages = [user("a"), assistant("b", "c1", "c2"), user("c"), tool("c2", "2"), user("d"), tool("c1", "1")]
    assert paired(messages) == [
        user("a"), assistant("b", "c1", "c2"), tool("c1", "1"), tool("c2", "2"), user("c"), user("d"),
    ]  # fmt: skip


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    """Model APIs refuse a call without a result, so the model reads that there was none."""
    assert paired([assistant("", "c1"), user("never mind")]) == [
        assistant("", "c1"), tool("c1", NO_RESULT), user("never mind"),
    ]  # fmt: skip


def test_a_result_without_its_call_is_left_out() -> None:
    """Model APIs refuse a result whose call they can't see, as after a conversation from elsewhere."""
    assert paired([user("a"), tool("c1"), assistant("b")]) == [user("a"), assistant("b")]


def test_a_call_that_was_given_up_does_not_take_the_next_ones_result() -> None:
    """Where two calls have one id, a result belongs to the latest call before it."""
    messages = [assistant("", "call_0"), user("never mind"), assistant("", "call_0"), tool("call_0", "for the second")]
    assert [message["content"] for message in paired(messages)] == ["", NO_RESULT, "never mind", "", "for the second"]


def test_a_conversation_without_tools_stays_as_it_is() -> None:
    """Without calls and results there is nothing to arrange."""
    assert paired(ONE) == ONE
    assert paired([]) == []


TEXTS = st.lists(
    st.one_of(st.sampled_from(["a", "b", "c"]).map(user), st.sampled_from(["x", "y", ""]).map(assistant)), max_size=8
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS, st.lists(st.integers(0, 8), max_size=3), TEXTS, st.sampled_from(["a", "b"]).map(user))
def test_what_is_met_loses_and_doubles_nothing(
    stored: list[Message], cuts: list[int], request_: list[Message], last: Message
) -> None:
    """For any session and request, what is new ends the request, and the history is the session's or the request's."""
    places = [0, *sorted(cuts), len(stored)]
    turns = past(*(part for a, b in pairwise(places) if (part := stored[a:b])))
    request = [*request_, last]
    before = (past(*(turn.messages for turn in turns)), [*request])
    meeting = meet(turns, request)
    assert (turns, request) == before
    assert meeting.new
    assert request[len(request) - len(meeting.new) :] == meeting.new
    if not turns:
        assert meeting == Meeting([], request)
    elif meeting.foreign:
        assert [message for turn in meeting.past for message in turn.messages] + meeting.new == request
        assert {turn.id for turn in meeting.past} == {0}
    else:
        assert meeting.past == turns
        assert all(message["role"] != "assistant" for message in meeting.new)


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Users, answers, calls and results in any order: ids may repeat, results may be missing, late or for no call."""
    ids = st.sampled_from(["c1", "c2", "c3"])
    said = st.integers(0, 999).map(str)
    message = st.one_of(
        said.map(user),
        st.builds(lambda text, calls: assistant(text, *calls), said, st.lists(ids, max_size=3)),
        st.builds(tool, ids, said),
    )
    return draw(st.lists(message, max_size=12))


def calls_of(messages: Sequence[Message]) -> list[str]:
    return [call["id"] for message in messages for call in message.get("tool_calls", ())]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
def test_pairing_keeps_all_and_puts_each_result_behind_its_call(messages: list[Message]) -> None:
    """Everything but results keeps its order, each call is directly followed by its results, none is used twice."""
    ordered = paired(messages)
    assert [m for m in ordered if m["role"] != "tool"] == [m for m in messages if m["role"] != "tool"]
    following: list[str] = []
    for message in ordered:
        if message["role"] == "tool":
            assert following, "a result stands behind no call"
            assert message["tool_call_id"] == following.pop(0)
        else:
            assert not following, "a call has no result"
            following = calls_of([message])
    assert not following
    # By identity: every result that was given stands once, and what was made up says so.
    given_ids = {id(message) for message in messages}
    used = Counter(id(message) for message in ordered if message["role"] == "tool" and id(message) in given_ids)
    assert all(count == 1 for count in used.values())
    assert all(m["content"] == NO_RESULT for m in ordered if m["role"] == "tool" and id(m) not in given_ids)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
def test_what_a_session_takes_a_model_reads(messages: list[Message]) -> None:
    """A conversation that is taken in, at once or message by message, loses none of its results when it is paired."""
    stored: list[PastTurn] = []
    taken: list[Message] = []
    for message in messages:
        if message["role"] == "assistant":
            stored = past([*taken, message])
            taken.append(message)
            continue
        try:
            new = meet(stored, [message]).new if stored else meet([], [*taken, message]).new[len(taken) :]
        except InvalidRequest:
            assert message["role"] == "tool"
            continue
        taken += new
        stored = past(taken) if stored else []
    results = [message for message in taken if message["role"] == "tool"]
    assert all(any(result is message for message in paired(taken)) for result in results)


def test_text_of_a_message() -> None:
    """The text is the same whether it stands as a string, in parts, or not at all."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": " b"}]
    assert text_of(user("a b")) == text_of({"content": parts}) == "a b"
    assert text_of({"content": None}) == ""
