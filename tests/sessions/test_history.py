"""How a request's messages meet what its session holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.sessions.history import Meeting, meet, text_of


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(content: Any, *call_ids: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in call_ids]
    return message | ({"tool_calls": calls} if calls else {})


def tool(call_id: str, text: str = "42") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


STORED = [user("one"), assistant("two")]


def test_an_empty_session_takes_the_whole_history() -> None:
    """The first request of a session may bring a conversation from elsewhere."""
    request = [user("a"), assistant("b"), user("c")]
    assert meet([], request) == Meeting([], request)


def test_a_caller_who_sends_only_what_is_new() -> None:
    """Without an assistant message all of the request is new."""
    request = [user("three"), user("four")]
    assert meet(STORED, request) == Meeting(STORED, request)


def test_a_caller_who_resends_everything_doubles_nothing() -> None:
    """Only what follows the request's last assistant message is new."""
    assert meet(STORED, [*STORED, user("three")]) == Meeting(STORED, [user("three")])


def test_a_caller_who_resends_the_last_answer_only() -> None:
    """A request cut to a window of recent messages continues the same session."""
    stored = [*STORED, user("three"), assistant("four")]
    assert meet(stored, [assistant("four"), user("five")]) == Meeting(stored, [user("five")])


def test_an_answer_from_further_back_is_known_too() -> None:
    """The request's last answer may be any of the session's, not only its latest."""
    stored = [*STORED, user("three"), assistant("four")]
    assert meet(stored, [*STORED, user("other")]) == Meeting(stored, [user("other")])


def test_another_conversation_is_its_own() -> None:
    """When the session doesn't know the last answer, the request's history is used and the rest is new."""
    request = [user("x"), assistant("y"), user("z")]
    assert meet(STORED, request) == Meeting([user("x"), assistant("y")], [user("z")], foreign=True)


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
    assert not meet(STORED, [user("one"), assistant(resent), user("three")]).foreign


def test_a_user_who_says_the_same_is_not_the_answer() -> None:
    """Only an assistant's message is compared with an assistant's."""
    assert meet([user("two"), assistant("x")], [user("one"), assistant("two"), user("three")]).foreign


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_answer_is_recognized(empty: str | None) -> None:
    """An answer without text matches one that is resent as null or as nothing."""
    assert not meet([user("one"), assistant("")], [user("one"), assistant(empty), user("two")]).foreign


def test_tool_results_bind_to_the_stored_call() -> None:
    """Results that come alone continue the session that holds their calls."""
    stored = [user("one"), assistant(None, "c1", "c2")]
    assert meet(stored, [tool("c1"), tool("c2")]) == Meeting(stored, [tool("c1"), tool("c2")])


def test_calls_are_told_apart_by_their_ids() -> None:
    """An assistant message with the same text but other calls is another message."""
    stored = [user("one"), assistant(None, "c1")]
    assert not meet(stored, [*stored, tool("c1")]).foreign
    assert meet(stored, [user("one"), assistant(None, "c9"), tool("c9")]).foreign


def test_what_stands_between_the_last_answer_and_the_end_is_new() -> None:
    """Tool results and user messages after the last answer are kept in order."""
    stored = [user("one"), assistant("let me see", "c1")]
    new = [tool("c1"), user("and now?")]
    assert meet(stored, [*stored, *new]) == Meeting(stored, new)


def test_an_interrupted_answer_keeps_its_mark() -> None:
    """A client that resends the cut answer as it was stored continues the session."""
    stored = [user("one"), assistant("Once upon [interrupted]")]
    assert not meet(stored, [*stored, user("go on")]).foreign


MESSAGES = st.lists(
    st.one_of(st.sampled_from(["a", "b", "c"]).map(user), st.sampled_from(["x", "y", ""]).map(assistant)), max_size=8
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MESSAGES, MESSAGES, st.sampled_from(["a", "b"]).map(user))
def test_what_is_met_loses_and_doubles_nothing(stored: list[Any], request_: list[Any], last: Any) -> None:
    """For any session and request, what is new ends the request, and the history is the session's or the request's."""
    request = [*request_, last]
    before = ([*stored], [*request])
    meeting = meet(stored, request)
    assert (stored, request) == before
    assert meeting.new
    assert request[len(request) - len(meeting.new) :] == meeting.new
    if not stored:
        assert meeting == Meeting([], request)
    elif meeting.foreign:
        assert meeting.history + meeting.new == request
    else:
        assert meeting.history == stored
        assert all(message["role"] != "assistant" for message in meeting.new)


def test_text_of_a_message() -> None:
    """The text is the same whether it stands as a string, in parts, or not at all."""
    assert text_of(user("a b")) == "a b"
    assert (
        text_of({"content": [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": " b"}]})
        == "a b"
    )
    assert text_of({"content": None}) == ""
