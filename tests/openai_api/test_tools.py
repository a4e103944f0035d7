"""The caller's tools: what is taken, and how each fault is told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.errors import InvalidRequest
from app.openai_api.schemas import load_chat_completion, sampling_of
from app.openai_api.tools import MAX_SIZE, MOST, NO_CUSTOM_TOOLS, Allowed, CallerTools, ToolChoice, choice_of
from tests.openai_api.test_messages import JSON

MESSAGES = [{"role": "user", "content": "hi"}]


def tool(name: Any = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def load(**fields: Any) -> dict[str, Any]:
    return load_chat_completion({"messages": MESSAGES, **fields}, 100_000)


def refusal(**fields: Any) -> tuple[str | None, str]:
    """The param, and what the message says behind it."""
    with pytest.raises(InvalidRequest) as refused:
        load(**fields)
    error = refused.value
    assert (error.status, error.type) == (400, "invalid_request_error")
    assert error.message.startswith(f"{error.param}: ")
    return error.param, error.message.removeprefix(f"{error.param}: ")


def nested(levels: int) -> dict[str, Any]:
    """An object that is so many levels deep."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_a_tool_is_brought_to_one_shape() -> None:
    """What the API documents is kept, nulls and everything else are left out."""
    full = tool("get_weather-2", description="d", parameters={"type": "object", "x": 1}, strict=True)
    noisy = {**full, "cache_control": {}, "function": {**full["function"], "x": 1}}
    sparse = tool("g", description=None, parameters=None, strict=None)
    assert load(tools=[noisy, sparse])["tools"] == [full, tool("g")]


@pytest.mark.parametrize("name", ["f", "A-b_9", "x" * 64])
def test_names_that_are_taken(name: str) -> None:
    """Letters, digits, _ and -, 64 at most."""
    assert load(tools=[tool(name)])["tools"] == [tool(name)]


@pytest.mark.parametrize(
    ("tools", "param", "reason"),
    [
        ({}, "tools", "must be a list of tools"),
        ("f", "tools", "must be a list of tools"),
        ([tool(), 5], "tools[1]", "must be an object"),
        ([tool(), None], "tools[1]", "must be an object"),
        ([tool(), {"type": "web_search"}], "tools[1].type", 'must be "function"'),
        ([{"type": "custom", "custom": {"name": "g"}}], "tools[0].type", NO_CUSTOM_TOOLS),
        (
            [tool(), {"type": "function", "name": "a b"}],
            "tools[1].name",
            "must be letters, digits, _ and -, 64 at most",
        ),
        ([{"name": "g", "parameters": []}], "tools[0].parameters", "must be an object, a JSON schema"),
        ([tool("a"), {"name": "a"}], "tools[1].name", "a is the name of an earlier tool"),
        ([{"function": {}, "name": "a"}], "tools[0].function", "must be an object with a name"),
        ([{"type": ["function"]}], "tools[0].type", 'must be "function"'),
        ([{"type": "function"}], "tools[0].function", "must be an object with a name"),
        ([{"type": "function", "function": "f"}], "tools[0].function", "must be an object with a name"),
        ([tool(), tool("")], "tools[1].function.name", "must be letters, digits, _ and -, 64 at most"),
        ([tool(), tool("g", description=5)], "tools[1].function.description", "must be a string"),
        ([tool(parameters=[])], "tools[0].function.parameters", "must be an object, a JSON schema"),
        ([tool(parameters="{}")], "tools[0].function.parameters", "must be an object, a JSON schema"),
        ([tool(strict="yes")], "tools[0].function.strict", "must be true or false"),
        ([tool("a"), tool("b"), tool("a")], "tools[2].function.name", "a is the name of an earlier tool"),
    ],
)
def test_a_fault_is_told_with_its_path(tools: Any, param: str, reason: str) -> None:
    """The param leads to the very value, and the message says what belongs there."""
    assert refusal(tools=tools) == (param, reason)


@pytest.mark.parametrize("name", [None, 5, "", "a b", "a.b", "é", "x" * 65, "f\n", "a/b", "٣"])
def test_names_that_are_not_taken(name: Any) -> None:
    """Every model API must be able to take a name."""
    assert refusal(tools=[tool(name)])[0] == "tools[0].function.name"


FULL = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}


@pytest.mark.parametrize(
    "given_tool",
    [
        {"type": "function", **FULL},
        {**FULL},
        {"type": None, **FULL, "function": None},
        {"function": FULL},
        {"type": None, "function": FULL},
    ],
)
def test_tools_in_the_forms_of_other_apis(given_tool: Any) -> None:
    """Without the wrapper, without the type, or both: it is the same tool."""
    assert load(tools=[given_tool])["tools"] == [{"type": "function", "function": FULL}]


def test_a_tool_of_anthropics_api() -> None:
    """Its schema has another name there."""
    assert load(tools=[{"name": "f", "input_schema": {"type": "object"}}])["tools"] == [
        tool("f", parameters={"type": "object"})
    ]


def test_how_many_tools() -> None:
    """128 are taken, one more is refused."""
    assert MOST == 128
    tools = [tool(f"f{number}") for number in range(MOST)]
    assert load(tools=tools)["tools"] == tools
    assert refusal(tools=[*tools, tool("g")]) == ("tools", "must hold 128 tools at most")


@pytest.mark.parametrize("field", ["description", "parameters"])
def test_how_large_a_tool(field: str) -> None:
    """A tool's JSON may have 256 KiB, whatever it is that is large."""
    assert MAX_SIZE == 256 * 1024

    def sized(length: int) -> dict[str, Any]:
        text = "x" * length
        return tool(**{field: text if field == "description" else {"description": text}})

    assert load(tools=[sized(MAX_SIZE - 100)])
    assert refusal(tools=[tool("g"), sized(MAX_SIZE)]) == ("tools[1].function", f"is larger than {MAX_SIZE} bytes")


def test_how_deep_a_tool() -> None:
    """A schema that could not be written into a provider's request is refused; one that is taken can be."""
    taken = nested(200)
    tools = load(tools=[tool(parameters=taken)])["tools"]
    around: Any = tools[0]["function"]["parameters"]
    for _ in range(10):
        around = [around]
    orjson.dumps(around)
    for levels in (250, 900):
        assert refusal(tools=[tool("g"), tool(parameters=nested(levels))]) == (
            "tools[1].function.parameters", "is nested too deeply",
        )  # fmt: skip


@pytest.mark.parametrize("choice", ["none", "auto", None])
def test_a_choice_that_needs_no_tools(choice: Any) -> None:
    """What leaves the model free says nothing false without tools."""
    assert load(tool_choice=choice) == load() | ({"tool_choice": choice} if choice else {})
    assert load(tools=[], tool_choice=choice)["tools"] == []


@pytest.mark.parametrize("choice", ["none", "auto", "required", tool("f")])
def test_choices_that_are_taken(choice: Any) -> None:
    """The three words, and OpenAI's object that names one of the tools."""
    assert load(tools=[tool("e"), tool("f")], tool_choice=choice)["tool_choice"] == choice


def test_a_choice_is_brought_to_one_shape() -> None:
    """What else stands in the object is left out."""
    noisy = {"type": "function", "x": 1, "function": {"name": "f", "arguments": "{}"}}
    assert load(tools=[tool()], tool_choice=noisy)["tool_choice"] == tool("f")


@pytest.mark.parametrize(
    ("given_choice", "choice"),
    [
        ("any", "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "required"}, "required"),
        ({"type": "any", "disable_parallel_tool_use": True}, "required"),
        ({"type": "function", "name": "f"}, tool("f")),
        ({"type": "tool", "name": "f"}, tool("f")),
    ],
)
def test_choices_in_the_forms_of_other_apis(given_choice: Any, choice: Any) -> None:
    """They are read as the chat API's."""
    assert load(tools=[tool("f")], tool_choice=given_choice)["tool_choice"] == choice


def test_a_demanded_tool_is_named_where_it_stands() -> None:
    """The path is that of the form in which it came."""
    for kind in ("function", "tool"):
        assert refusal(tools=[tool("f")], tool_choice={"type": kind, "name": "g"})[0] == "tool_choice.name"


@pytest.mark.parametrize("form", ["chat", "responses"])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("mode", ["auto", "required", None])
def test_tools_that_are_allowed(form: str, flat: bool, mode: str | None) -> None:
    """In either form, of the list and of its tools."""
    named = {"type": "function", "name": "f"} if flat else tool("f")
    listed = {"mode": mode, "tools": [named, {**named, "type": None}]}
    given_choice = {"type": "allowed_tools", **({"allowed_tools": listed} if form == "chat" else listed)}
    chat = load(tools=[tool("f"), tool("g")], tool_choice=given_choice)
    assert choice_of(chat) == (mode or "auto", frozenset({"f"}))


@pytest.mark.parametrize("choice", [None, "auto", "none", tool("f")])
def test_a_choice_that_allows_all(choice: Any) -> None:
    """Any other choice has no list."""
    assert choice_of(load(tools=[tool("f")], tool_choice=choice)) == (choice, None)


@pytest.mark.parametrize(
    ("listed", "path"),
    [
        ({}, ".tools"),
        ({"tools": []}, ".tools"),
        ({"tools": "f"}, ".tools"),
        ({"tools": [tool("f")] * 129}, ".tools"),
        ({"tools": [tool("f")], "mode": "none"}, ".mode"),
        ({"tools": [tool("f")], "mode": ["auto"]}, ".mode"),
        ({"tools": [tool("f"), 5]}, ".tools[1]"),
        ({"tools": [tool("f"), {"type": "custom", "name": "g"}]}, ".tools[1]"),
        ({"tools": [tool("f"), {"type": "function"}]}, ".tools[1]"),
        ({"tools": [tool("f"), tool("h")]}, ".tools[1].function.name"),
        ({"tools": [tool("f"), {"type": "function", "name": "h"}]}, ".tools[1].name"),
    ],
)
def test_lists_that_are_not_taken(listed: Any, path: str) -> None:
    """The param leads to the fault, in either form of the list."""
    tools = [tool("f"), tool("g")]
    for inner, choice in (("", listed), (".allowed_tools", {"allowed_tools": listed})):
        assert refusal(tools=tools, tool_choice={"type": "allowed_tools", **choice})[0] == f"tool_choice{inner}{path}"
    assert refusal(tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": 5})[0] == (
        "tool_choice.allowed_tools"
    )


def test_custom_tools_can_not_be_chosen() -> None:
    """The reason is that of the tools themselves."""
    choice = {"type": "custom", "custom": {"name": "f"}}
    assert refusal(tools=[tool("f")], tool_choice=choice) == ("tool_choice.type", NO_CUSTOM_TOOLS)


@pytest.mark.parametrize(
    "choice", ["all", "", 5, True, [], {}, {"type": "function"}, {"type": "function", "function": {}}, {"type": "all"},
               {"type": "function", "function": {"name": 5}}, {"function": {"name": "f"}}, {"type": ["auto"]}],
)  # fmt: skip
def test_choices_that_are_not_taken(choice: Any) -> None:
    """Anything else is refused with what is allowed."""
    param, reason = refusal(tools=[tool()], tool_choice=choice)
    assert param == "tool_choice"
    assert '"none", "auto", "required"' in reason


@pytest.mark.parametrize("tools", [{}, {"tools": []}, {"tools": None}])
def test_a_demand_needs_tools(tools: Any) -> None:
    """A call can't be demanded where there is nothing to call."""
    assert refusal(tool_choice="required", **tools) == ("tool_choice", "is required, but there are no tools")
    assert refusal(tool_choice=tool("f"), **tools)[0] == "tool_choice.function.name"


def test_a_demanded_tool_must_be_there() -> None:
    """The name that no tool has is told, and cut when it is long."""
    param, reason = refusal(tools=[tool("f")], tool_choice=tool("g" * 1000))
    assert (param, reason) == ("tool_choice.function.name", f"'{'g' * 64}' is none of the tools")


def test_the_first_fault_is_one_of_the_tools() -> None:
    """A choice is not looked at while the tools are at fault."""
    assert refusal(tools=[5], tool_choice="required")[0] == "tools[0]"


@pytest.mark.parametrize("legacy", [{"functions": [{"name": "f"}]}, {"function_call": {"name": "f"}}])
def test_legacy_functions_are_told_of_tools(legacy: Any) -> None:
    """The message names what to use instead."""
    param, reason = refusal(**legacy)
    assert (param, reason) == (next(iter(legacy)), "functions are not supported; use tools")


@pytest.mark.parametrize("wish", [True, False])
def test_parallel_calls_go_to_the_provider(wish: bool) -> None:
    """What the caller wishes for is passed on, not taken for absent."""
    assert sampling_of(load(tools=[tool()], parallel_tool_calls=wish)) == {"parallel_tool_calls": wish}


def test_tools_are_no_sampling() -> None:
    """Tools and choice don't go to the provider by two ways."""
    assert sampling_of(load(tools=[tool()], tool_choice="required")) == {}


ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["function", "tool", "allowed_tools", "custom", "any"]) | JSON,
        "name": st.sampled_from(["f", "g"]) | JSON,
        "mode": st.just("required") | JSON,
        "tools": st.lists(st.just({"type": "function", "name": "f"}) | JSON, max_size=2) | JSON,
        "allowed_tools": JSON,
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["f", "g"]) | JSON,
                "description": JSON,
                "parameters": JSON,
                "strict": JSON,
            },
        )
        | JSON,
    },
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ALMOST | JSON, max_size=3) | JSON, ALMOST | JSON)
def test_anything_is_loaded_or_refused(tools: Any, choice: Any) -> None:
    """Whatever stands there, it is refused by its path or loaded in the one shape."""
    try:
        loaded = CallerTools().deserialize(tools) or []
        for each in loaded:
            assert set(each) == {"type", "function"}
            assert {"name"} <= set(each["function"]) <= {"name", "description", "parameters", "strict"}
    except ValidationError as error:
        orjson.dumps(error.messages, option=orjson.OPT_NON_STR_KEYS)
    try:
        chosen = ToolChoice().deserialize(choice)
        named = isinstance(chosen, dict) and set(chosen) == {"type", "function"}
        assert chosen in (None, "none", "auto", "required") or named or isinstance(chosen, Allowed)
    except ValidationError as error:
        orjson.dumps(error.messages, option=orjson.OPT_NON_STR_KEYS)
