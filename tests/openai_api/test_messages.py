"""Messages of a request: what they are brought to, and which path names a fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.openai_api.messages import Conversation, Messages
from app.openai_api.tools import NO_CUSTOM_TOOLS


def load(*messages: Any) -> Conversation:
    loaded = Messages().deserialize(list(messages))
    assert isinstance(loaded, Conversation)
    return loaded


def faults(*messages: Any) -> Any:
    with pytest.raises(ValidationError) as refused:
        load(*messages)
    return refused.value.messages


def user(content: Any = "hi", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def test_a_conversation_stays_as_it_is() -> None:
    """Roles, names, parts, tool calls and results keep their order and their words."""
    conversation = [
        user("one", name="Ann"),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": "so"},
        user(PARTS),
    ]
    assert load(*conversation) == Conversation("", conversation, [0, 1, 2, 3, 4])


def test_instructions_are_joined_by_a_blank_line() -> None:
    """System and developer messages leave the conversation, wherever they stand, in their order."""
    loaded = load(
        {"role": "system", "content": "A"},
        user(),
        {"role": "developer", "content": PARTS},
        {"role": "system", "content": ""},
        {"role": "system", "content": "C"},
    )
    assert loaded == Conversation("A\n\nab\n\nC", [user()], [1])
    assert loaded.last == 1


def test_what_is_not_known_of_a_message_is_dropped() -> None:
    """Fields that no model reads, such as those that SDKs add, don't reach the provider."""
    extra = {"refusal": None, "audio": None, "annotations": [], "reasoning_content": "hm", "x": 1}
    assert load(user(x=1), {"role": "assistant", "content": "a", **extra}).messages == [
        user(),
        {"role": "assistant", "content": "a"},
    ]


def test_parts_keep_only_their_text() -> None:
    """A cache mark beside a text is not passed on; a refusal is text."""
    parts = [{"type": "text", "text": "a", "cache_control": {}}, {"type": "refusal", "refusal": "no"}]
    assert load(user(parts)).messages == [user([{"type": "text", "text": "a"}, {"type": "text", "text": "no"}])]


def test_a_refusal_is_what_the_assistant_said() -> None:
    """An assistant message that refused keeps its words, behind its text, as they are on record."""
    assert load(user(), {"role": "assistant", "content": None, "refusal": "no"}).messages[1]["content"] == "no"
    for text in ("Hm.", "Hm.\n\n"):
        said = load(user(), {"role": "assistant", "content": text, "refusal": "no"}).messages[1]
        assert said["content"] == "Hm.\n\nno"
    parts = [{"type": "text", "text": "Hm."}]
    said = load(user(), {"role": "assistant", "content": parts, "refusal": "no"}).messages[1]
    assert said["content"] == [*parts, {"type": "text", "text": "\n\nno"}]


def test_a_legacy_call_and_its_result_are_bound_by_an_id() -> None:
    """``function_call`` and role ``function`` become a tool call and a tool result."""
    _, call, result = load(
        user(),
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
    ).messages
    assert call["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert result == {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "42"}


def test_a_legacy_result_answers_the_latest_call_of_its_name() -> None:
    """Two calls of the same function are answered each by the result after it."""
    legacy = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    messages = load(
        user(),
        legacy,
        {"role": "function", "name": "f", "content": "1"},
        legacy,
        {"role": "function", "name": "f", "content": "2"},
    ).messages
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]
    assert messages[4]["tool_call_id"] == messages[3]["tool_calls"][0]["id"]
    assert messages[2]["tool_call_id"] != messages[4]["tool_call_id"]


def test_tool_results_alone_are_a_turn() -> None:
    """In a session the results may be all that is new."""
    result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    assert load(result).messages == [result]


@pytest.mark.parametrize("value", [None, {}, "hi", 5, [], True])
def test_what_is_no_list_of_messages(value: Any) -> None:
    """There is at least one message."""
    with pytest.raises(ValidationError):
        Messages().deserialize(value)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "a"}],
        [{"role": "assistant", "content": "a"}],
        [{"role": "developer", "content": "a"}, {"role": "assistant", "content": "b"}],
    ],
)
def test_somebody_has_to_ask(messages: list[Any]) -> None:
    """A conversation without a user's message or a tool's result asks nothing."""
    assert faults(*messages) == ["must hold a user message"]


ROLES = ["must be one of system, developer, user, assistant, tool, function"]
CONTENT = ["must be a string or a list of content parts"]


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        (5, ["must be an object"]),
        (None, ["must be an object"]),
        ([], ["must be an object"]),
        ({}, {"role": ROLES}),
        ({"role": "robot", "content": "a"}, {"role": ROLES}),
        ({"role": ["user"], "content": "a"}, {"role": ROLES}),
        ({"role": "User", "content": "a"}, {"role": ROLES}),
        ({"role": "user"}, {"content": CONTENT}),
        ({"role": "user", "content": None}, {"content": CONTENT}),
        ({"role": "user", "content": 5}, {"content": CONTENT}),
        ({"role": "user", "content": []}, {"content": CONTENT}),
        ({"role": "user", "content": {}}, {"content": CONTENT}),
        ({"role": "system", "content": None}, {"content": CONTENT}),
        ({"role": "assistant", "content": None}, {"content": CONTENT}),
        ({"role": "assistant", "content": None, "tool_calls": []}, {"content": CONTENT}),
        ({"role": "assistant", "content": None, "refusal": 5}, {"refusal": ["must be a string"]}),
        ({"role": "assistant", "content": "a", "refusal": ["no"]}, {"refusal": ["must be a string"]}),
        ({"role": "user", "content": "a", "name": 5}, {"name": ["must be a string"]}),
        ({"role": "tool", "content": "a"}, {"tool_call_id": ["must name the tool call that this answers"]}),
        (
            {"role": "tool", "content": "a", "tool_call_id": ""},
            {"tool_call_id": ["must name the tool call that this answers"]},
        ),
        ({"role": "tool", "tool_call_id": "c"}, {"content": CONTENT}),
        ({"role": "function", "content": "a"}, {"name": ["must name the function that was called"]}),
        ({"role": "function", "content": "a", "name": "f"}, {"name": ["no earlier assistant message calls 'f'"]}),
    ],
)
def test_faults_name_their_field(message: Any, fault: Any) -> None:
    """A fault stands under the message's number and its field."""
    assert faults(user(), message) == {1: fault}


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (5, "must be a part of type text, image_url or file"),
        ({}, "must be a part of type text, image_url or file"),
        ({"type": "video"}, "must be a part of type text, image_url or file"),
        ({"type": ["text"], "text": "a"}, "must be a part of type text, image_url or file"),
        ({"type": "text"}, "must hold a string in text"),
        ({"type": "text", "text": 5}, "must hold a string in text"),
        ({"type": "input_text", "text": None}, "must hold a string in text"),
        ({"type": "refusal"}, "must hold a string in refusal"),
        ({"type": "input_audio"}, "audio is not supported; send what is said in it as text"),
        ({"type": "video_url"}, "video is not supported; send pictures of it as image_url"),
    ],
)
def test_a_part_that_is_not_taken(part: Any, reason: str) -> None:
    """The fault names the part by its number and says why."""
    assert faults(user([PARTS[0], part])) == {0: {"content": {1: [reason]}}}


IMAGE = {"type": "image_url", "image_url": {"url": "data:x", "detail": "low"}}


def test_images_of_users_and_tools() -> None:
    """An image part keeps its URL and detail, in messages of both roles; a URL alone is an image too."""
    extra = {"type": "image_url", "image_url": {"url": "data:x", "detail": "low", "x": 1}, "cache_control": {}}
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    messages = load(
        user([PARTS[0], extra]),
        {"role": "tool", "tool_call_id": "c1", "content": [extra]},
        call,
        {"role": "function", "name": "f", "content": [extra]},
        user([{"type": "image_url", "image_url": "https://a/b"}]),
        user([{"type": "image_url", "image_url": {"url": "data:x", "detail": None}}]),
    ).messages
    assert messages[0]["content"] == [PARTS[0], IMAGE]
    assert messages[1]["content"] == messages[3]["content"] == [IMAGE]
    assert messages[4]["content"] == [{"type": "image_url", "image_url": {"url": "https://a/b"}}]
    assert messages[5]["content"] == [{"type": "image_url", "image_url": {"url": "data:x"}}]


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
def test_images_of_others(role: str) -> None:
    """Who does not see can't show: other roles hold text alone."""
    reason = "images and files stand in messages of user and tool alone"
    assert faults(user(), {"role": role, "content": [PARTS[0], IMAGE]}) == {1: {"content": {1: [reason]}}}


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (None, ["must be an object with a url"]),
        (5, ["must be an object with a url"]),
        (["x"], ["must be an object with a url"]),
        ({}, {"url": ["must be a string: data:, http:// or https://"]}),
        ({"url": 5}, {"url": ["must be a string: data:, http:// or https://"]}),
        ({"url": ""}, {"url": ["must be a string: data:, http:// or https://"]}),
        ("", {"url": ["must be a string: data:, http:// or https://"]}),
        ({"url": "x", "detail": "huge"}, {"detail": ["must be one of auto, low, high, original"]}),
        ({"url": "x", "detail": ["low"]}, {"detail": ["must be one of auto, low, high, original"]}),
    ],
)
def test_an_image_of_another_shape(image: Any, fault: Any) -> None:
    """The fault stands at the field of the image that is wrong."""
    assert faults(user([PARTS[0], {"type": "image_url", "image_url": image}])) == {
        0: {"content": {1: {"image_url": fault}}}
    }


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        (5, ["must be a list"]),
        ({}, ["must be a list"]),
        ([5], {0: ["must be an object with an id"]}),
        ([CALL, {"id": ""}], {1: ["must be an object with an id"]}),
        ([{"id": "c"}], {0: {"function": ["must be an object with the strings name and arguments"]}}),
        (
            [{"id": "c", "function": {"name": 5}}],
            {0: {"function": ["must be an object with the strings name and arguments"]}},
        ),
        (
            [{"id": "c", "function": {"name": "f", "arguments": [1]}}],
            {0: {"function": ["must be an object with the strings name and arguments"]}},
        ),
        ([{"id": "c", "type": "custom", "custom": {}}], {0: {"type": [NO_CUSTOM_TOOLS]}}),
    ],
)
def test_faults_of_tool_calls(calls: Any, fault: Any) -> None:
    """A call without id, name or text for its arguments is refused under its number."""
    assert faults({"role": "assistant", "content": None, "tool_calls": calls}) == {0: {"tool_calls": fault}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = ["text", "input_text", "output_text", "refusal", "file", "input_file", "image_url", "input_image", "video_url"]
DATA = st.sampled_from(
    ["data:text/plain;base64,aGk=", "aGk=", "data:text/plain;base64,/w==", "data:application/pdf;base64,aA=="]
)
FILES = st.fixed_dictionaries(
    {}, optional={"file_data": JSON | DATA, "filename": JSON | st.just("a.txt"), "file_id": JSON}
)
ALMOST = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "function", "robot"])},
    optional={
        "content": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(KINDS) | JSON},
                optional={
                    "text": JSON,
                    "refusal": JSON,
                    "image_url": JSON,
                    "detail": JSON,
                    "file": JSON | FILES,
                    "file_data": JSON | DATA,
                    "filename": JSON | st.just("a.txt"),
                },
            )
        ),
        "name": JSON,
        "refusal": JSON,
        "tool_call_id": JSON,
        "tool_calls": JSON | st.lists(st.fixed_dictionaries({"id": JSON}, optional={"function": JSON})),
        "function_call": JSON | st.fixed_dictionaries({"name": JSON}, optional={"arguments": JSON}),
    },
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(JSON | ALMOST, max_size=4) | JSON)
def test_any_value_is_loaded_or_refused(value: Any) -> None:
    """No JSON value is anything else than a conversation or a fault, and what is loaded has known roles."""
    try:
        loaded = Messages().deserialize(value)
    except ValidationError:
        return
    assert isinstance(loaded.instructions, str)
    assert all(message["role"] in ("user", "assistant", "tool") for message in loaded.messages)
    assert loaded.messages


DEEP: Any = {}
for _ in range(300):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("given_arguments", "arguments"),
    [
        ({}, "{}"),
        ({"arguments": None}, "{}"),
        ({"arguments": " "}, "{}"),
        ({"arguments": {"a": "é"}}, '{"a":"é"}'),
        ({"arguments": " {} "}, " {} "),
    ],
)
@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": "function"}])
def test_arguments_as_clients_send_them(given_arguments: Any, arguments: str, kind: Any) -> None:
    """None at all, null, nothing, or an object in place of its text; the type may be left out."""
    function = {"name": "f", **given_arguments}
    sent = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", **kind, "function": function}]}
    (call,) = load(user(), sent).messages[1]["tool_calls"]
    assert call == {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    legacy = load(user(), {"role": "assistant", "function_call": function}).messages[1]["tool_calls"]
    assert legacy[0]["function"]["arguments"] == arguments


def test_arguments_that_are_nested_too_deeply() -> None:
    """They could not be sent on."""
    sent = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": DEEP}}]}
    assert faults(user(), sent) == {1: {"tool_calls": {0: {"function": {"arguments": ["is nested too deeply"]}}}}}


def test_too_many_calls_in_one_message() -> None:
    """A message makes 128 calls at most, as many as there may be tools."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    with pytest.raises(ValidationError, match="128"):
        Messages().deserialize([{"role": "assistant", "tool_calls": [call] * 129}, {"role": "user", "content": "hi"}])


def test_the_result_of_a_function_is_that_of_its_latest_call() -> None:
    """The legacy form has names instead of ids."""
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ("c1", "c2")]
    given = [{"role": "assistant", "tool_calls": [call]} for call in calls]
    read = Messages().deserialize([*given, {"role": "function", "name": "f", "content": "x"}])
    assert read.messages[-1] == {"role": "tool", "tool_call_id": "c2", "content": "x"}
