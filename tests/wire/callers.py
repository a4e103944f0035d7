"""What callers' SDKs and apps were seen to send: read as it was meant, or refused with the field's path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.wire.case import PARIS, TIME, TOOLS, WEATHER, Case, Sent, call_delta, chat, fragment
from tests.wire.requests import AGAIN, OK, after, arguments_are, calling, has, lacks, only_known_members, roles
from tests.wire.state import USER, called, calls_weather, result, said_by_assistant

PARIS_CALL = [("get_weather", PARIS)]
# Tools as the Responses API has them.
FLAT_WEATHER = {"type": "function", **WEATHER["function"], "strict": False}
FLAT_TIME = {"type": "function", **TIME["function"]}
PATCH = {"type": "custom", "name": "ApplyPatch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
HELLO = {"role": "assistant", "content": "Hello"}


def refused(param: str, *says: str, **request: Any) -> Case:
    """It is the caller's fault, and no provider is asked."""
    return Case(
        request=request,
        answers=[],
        status=400,
        error="invalid_request_error",
        says=[param, *says],
    )


def allowed(mode: str, *names: str, flat: bool = False) -> dict[str, Any]:
    tools = [
        {"type": "function", "name": each} if flat else {"type": "function", "function": {"name": each}}
        for each in names
    ]
    choice = {"mode": mode, "tools": tools}
    return {"type": "allowed_tools", **choice} if flat else {"type": "allowed_tools", "allowed_tools": choice}


def conversation_is(*expected: tuple[str, Any]) -> Callable[[Sent], None]:
    """Roles and texts behind the system's."""

    def look(sent: Sent) -> None:
        told = [(message["role"], _text(message["content"])) for message in sent[-1]["messages"]]
        assert [each for each in told if each[0] != "system"] == list(expected)

    return look


def _text(content: Any) -> str:
    return "".join(part["text"] for part in content) if isinstance(content, list) else content or ""


def tools_are(*names: str) -> Callable[[Sent], None]:
    """Each in the form of Chat Completions."""

    def look(sent: Sent) -> None:
        assert [tool["function"]["name"] for tool in sent[-1]["tools"]] == list(names)
        for tool in sent[-1]["tools"]:
            assert set(tool) == {"type", "function"}, tool
            assert tool["function"]["parameters"]["properties"], tool

    return look


def no_empty_calls(sent: Sent) -> None:
    assert roles(sent)[-3:] == ["user", "assistant", "user"]
    assert all("tool_calls" not in message and "function_call" not in message for message in sent[-1]["messages"])


def no_empty_answer(sent: Sent) -> None:
    assert all(message["content"] for message in said_by_assistant(sent))


def result_is(text: str) -> Callable[[Sent], None]:
    def look(sent: Sent) -> None:
        assert _text(sent[-1]["messages"][-1]["content"]) == text

    return look


def image_arrives(sent: Sent) -> None:
    text, image = sent[-1]["messages"][-1]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    assert (image["type"], image["image_url"]["url"]) == ("image_url", PIXEL)


def nothing_about_names(sent: Sent) -> None:
    assert all("name" not in message for message in sent[-1]["messages"])


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def plain(*messages: Mapping[str, Any], sent: Callable[[Sent], None] | None = None, **fields: Any) -> Case:
    """A request that is answered."""
    return Case(request={"messages": list(messages), **fields}, answers=[OK], text="ok", sent=sent)


MESSAGES = {
    # tashfeenahmed/freellmapi#232: aionrs writes every field
    "tool_calls: null": plain(
        USER,
        {**HELLO, "reasoning_content": "Hm.", "tool_calls": None, "function_call": None},
        AGAIN,
        sent=no_empty_calls,
    ),
    # openai/openai-python#2061: of the SDK's own parse()
    "tool_calls: []": plain(
        USER, {**HELLO, "tool_calls": [], "parsed": None, "refusal": None}, AGAIN, sent=no_empty_calls
    ),
    # tashfeenahmed/freellmapi#165: OpenAI takes both, and so do apps' histories
    "an answer that is empty": plain(USER, {"role": "assistant", "content": ""}, AGAIN, sent=no_empty_answer),
    # CommandCodeAI/command-code#820: text of the assistant in parts
    "an answer in parts": plain(
        USER,
        {"role": "assistant", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]},
        AGAIN,
        sent=conversation_is(("user", "hi"), ("assistant", "Hello"), ("user", "again")),
    ),
    # elizaOS/eliza#18079, JohnnyZ93/oai-compatible-copilot#271, anthropics/claude-code#56064
    "texts that were cut inside an emoji": plain(
        {"role": "user", "content": "a\ud83d"},
        {"role": "assistant", "content": "\ude00b"},
        {"role": "user", "content": [{"type": "text", "text": "\U0001f600\ud83d"}]},
        sent=conversation_is(("user", "a\ufffd"), ("assistant", "\ufffdb"), ("user", "\U0001f600\ufffd")),
    ),
    # MoonshotAI/kimi-cli#1764, kagent-dev/kagent#2851: the SDK has left them out, or written null
    "arguments: null, and none at all": Case(
        request=after(
            calling(
                {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": None}},
                {"id": "b", "type": "function", "function": {"name": "get_time"}},
            ),
            result("a"),
            result("b"),
        ),
        answers=[OK],
        text="ok",
        sent=arguments_are("{}", "{}"),
    ),
    # ollama/ollama's own form, kagent-dev/kagent#2851: an object in place of its text
    "arguments: an object": Case(
        request=after(
            calling(
                {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
            ),
            result("a"),
        ),
        answers=[OK],
        text="ok",
        sent=arguments_are(PARIS),
    ),
    # langchain-ai/langchain-azure#35, vercel/ai#7238
    "a call without its type": Case(
        request=after(
            calling({"index": 0, "id": "a", "function": {"name": "get_weather", "arguments": PARIS}}), result("a")
        ),
        answers=[OK],
        text="ok",
        sent=only_known_members,
    ),
    # Neroued/ninfer#56, Neroued/ninfer#110: Qwen Code sends a list, others the tool's name
    "a tool's result in parts, with the tool's name": plain(
        USER,
        calling(called()),
        {**result(content=[{"type": "text", "text": "sunny"}]), "name": "get_weather"},
        sent=result_is("sunny"),
    ),
    # Gage-Technologies/mistral-go#2: Mistral refuses the member
    "name: null, and an empty one": plain(
        {**USER, "name": None}, {**HELLO, "name": ""}, {**AGAIN, "name": ""}, sent=nothing_about_names
    ),
    # BerriAI/litellm#34029, MiaAI-Lab/DeepSeek-v4-Flash-DSpark-2x-DGX-Spark#138: parts of the Responses API
    "input_text and output_text": plain(
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]},
        {"role": "user", "content": [{"type": "input_text", "text": "again"}]},
        sent=conversation_is(("user", "hi"), ("assistant", "Hello"), ("user", "again")),
    ),
    "input_image": plain(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
            ],
        },
        sent=image_arrives,
    ),
    # openrouter.ai/docs/features/prompt-caching: marks for another maker's cache
    "cache_control on parts": plain(
        {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
        sent=conversation_is(("user", "hi")),
    ),
    # BerriAI/litellm#34029: Cursor's agent mode sends a request of the Responses API here
    "input in place of messages": refused(
        "messages", messages=None, input=[{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
    ),
}

TOOLS_AND_CHOICES = {
    # BerriAI/litellm#34029: Cursor mixes both forms
    "a flat tool beside another": Case(
        request={"tools": [WEATHER, FLAT_TIME], "tool_choice": "auto"},
        answers=[calls_weather()],
        calls=PARIS_CALL,
        sent=tools_are("get_weather", "get_time"),
    ),
    "a flat tool that is chosen": Case(
        request={"tools": [FLAT_WEATHER], "tool_choice": {"type": "function", "name": "get_weather"}},
        answers=[calls_weather()],
        calls=PARIS_CALL,
        sent=has(tool_choice={"type": "function", "function": {"name": "get_weather"}}),
    ),
    # BerriAI/litellm#24443: the Messages API's form of it
    "tool_choice: {type: auto}": Case(
        request={"tools": TOOLS, "tool_choice": {"type": "auto"}}, answers=[calls_weather()], calls=PARIS_CALL
    ),
    "tool_choice: {type: none}": Case(
        request={"tools": TOOLS, "tool_choice": {"type": "none"}}, answers=[OK], text="ok", sent=has(tool_choice="none")
    ),
    "tool_choice: {type: required}": Case(
        request={"tools": TOOLS, "tool_choice": {"type": "required"}},
        answers=[calls_weather()],
        calls=PARIS_CALL,
        sent=has(tool_choice="required"),
    ),
    # raullenchai/Rapid-MLX#774: a slip, which must not become another choice
    "tool_choice: {type: banana}": refused("tool_choice", tools=TOOLS, tool_choice={"type": "banana"}),
    # openai/openai-node#521
    "tool_choice without its type": refused("tool_choice", tools=TOOLS, tool_choice={"foo": {"name": "get_weather"}}),
    # raullenchai/Rapid-MLX#744
    "tool_choice: required, and no tools": refused("tool_choice", tools=[], tool_choice="required"),
    # vllm-project/vllm#23334, higress-group/mock-server#8: all stay offered, for the provider's cache
    "allowed_tools": Case(
        request={"tools": TOOLS, "tool_choice": allowed("auto", "get_weather")},
        answers=[calls_weather()],
        calls=PARIS_CALL,
        sent=tools_are("get_weather", "get_time"),
    ),
    # microsoft/agent-framework#5309: as the Responses API has it
    "allowed_tools in flat form": Case(
        request={"tools": TOOLS, "tool_choice": allowed("auto", "get_weather", flat=True)},
        answers=[calls_weather()],
        calls=PARIS_CALL,
    ),
    "allowed_tools, and another is called": Case(
        request={"tools": TOOLS, "tool_choice": allowed("auto", "get_weather")},
        answers=[
            chat(call_delta(fragment(0, "a", "get_time", '{"tz":"utc"}')), finish="tool_calls"),
            calls_weather(),
        ],
        calls=PARIS_CALL,
    ),
    "allowed_tools that must be called": Case(
        request={"tools": TOOLS, "tool_choice": allowed("required", "get_weather")},
        answers=[chat({"content": "No."})],
        status=502,
        error="api_error",
    ),
    "allowed_tools that nobody knows": refused(
        "tool_choice", "get_moon", tools=TOOLS, tool_choice=allowed("auto", "get_moon")
    ),
    # BerriAI/litellm#34029: Cursor's ApplyPatch
    "a custom tool": refused("tools[1]", tools=[WEATHER, PATCH]),
    # QuantumNous/new-api#2763: Zed, where there are no tools
    "tool_choice: none, parallel_tool_calls: false, and no tools": Case(
        request={"tool_choice": "none", "parallel_tool_calls": False},
        answers=[OK],
        text="ok",
        sent=lacks("tools", "tool_choice", "parallel_tool_calls"),
    ),
}

NULLS: Sequence[str] = [
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "response_format",
    "reasoning_effort",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "parallel_tool_calls",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "user",
    "metadata",
    "store",
    "audio",
    "modalities",
    "service_tier",
    "prediction",
    "verbosity",
    "web_search_options",
    "safety_identifier",
]

FIELDS = {
    # BerriAI/litellm#14330, JohnnyZ93/oai-compatible-copilot#81: SDKs that write every field
    "null in every field": Case(request=dict.fromkeys(NULLS), answers=[OK], text="ok", sent=lacks(*NULLS)),
    # gpustack/gpustack#4057: half of an odd one
    "max_tokens: 6000.5": refused("max_tokens", "integer", max_tokens=6000.5),
    # WongSaang/chatgpt-ui#99, dmemsm/HostetskiGPT#14
    "max_tokens: a text": refused("max_tokens", "integer", max_tokens="1000"),
    # langtail/langtail-node#42
    "stop: [] and an empty text": Case(request={"stop": ""}, answers=[OK], text="ok", sent=lacks("stop")),
    # developers.openai.com/api/docs/guides/tools-web-search: the agent has rules of its own for the web
    "web_search_options": Case(
        request={"web_search_options": {"search_context_size": "medium"}},
        answers=[OK],
        text="ok",
        sent=lacks("web_search_options"),
    ),
    # platform.openai.com/docs/api-reference/chat/create: what SDKs of its time fill in
    "functions: [] and function_call: none": Case(
        request={"functions": [], "function_call": "none"},
        answers=[OK],
        text="ok",
        sent=lacks("functions", "function_call"),
    ),
    # OpenMinis/OpenMinis#361, JohnnyZ93/oai-compatible-copilot#81: switches of other servers
    "fields of other servers": Case(
        request={"enable_thinking": False, "top_k": 40, "thinking": {"type": "disabled"}},
        answers=[OK],
        text="ok",
        sent=has(enable_thinking=False, top_k=40, thinking={"type": "disabled"}),
    ),
}

CASES = {**MESSAGES, **TOOLS_AND_CHOICES, **FIELDS}
