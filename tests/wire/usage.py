"""Usage: in odd places, under other names, null or not at all, in all three formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.wire.case import USAGE, Case, as_json, chat, chunk, completion, data, named, stream, usage_chunk
from tests.wire.formats import responses, text_block

SAID = [chunk({"content": "Hello"}), chunk({}, "stop")]
ZEROS = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
HELLO_ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}


def of_which(cached: int | None = None, reasoning: int | None = None) -> Callable[[Mapping[str, Any]], None]:
    """The answer tells so many tokens of the prompt and of the completion."""

    def check(answer: Mapping[str, Any]) -> None:
        usage = answer["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], usage
        if cached is not None:
            assert usage["prompt_tokens_details"]["cached_tokens"] == cached, usage
        if reasoning is not None:
            assert usage["completion_tokens_details"]["reasoning_tokens"] == reasoning, usage

    return check


def counted(
    prompt: int, completion: int, checks: Callable[[Mapping[str, Any]], None] | None = None, **usage: Any
) -> Case:
    """A stream whose last chunk tells this usage."""
    return Case(
        answers=[stream(data(*SAID, usage_chunk(**usage)))], text="Hello", usage=(prompt, completion), checks=checks
    )


def anthropic(start: Any, end: Any, *, usage: tuple[int, int], cached: int = 0) -> Case:
    """An Anthropic answer with usage at its start and at its end."""
    head = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "usage": start}
    events = [
        {"type": "message_start", "message": head},
        *text_block(0, "Hello"),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": end},
        {"type": "message_stop"},
    ]
    return Case(agent="an", answers=[stream(named(*events))], text="Hello", usage=usage, checks=of_which(cached=cached))


def responded(prompt: int, completion: int, usage: Any) -> Case:
    """A response of the Responses API with this usage."""
    return Case(
        agent="re", answers=[responses(output=[HELLO_ITEM], usage=usage)], text="Hello", usage=(prompt, completion)
    )


PLACES = {
    "usage within the choice": Case(
        answers=[stream(data(chunk({"content": "Hello"}), chunk({}, "stop", usage=USAGE)))],
        text="Hello",
        usage=(11, 5),
    ),
    # odysseus-dev/odysseus#1703
    "usage in the chunk of the finish reason, with a role and null": Case(
        answers=[
            stream(
                data(
                    {**chunk({"content": "Hello"}), "usage": None},
                    {**chunk({"role": "assistant", "content": None}, "stop"), "usage": USAGE},
                )
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # BerriAI/litellm#17136, openai/openai-agents-python#2126: Grok
    "chunks without usage behind the one that has it": Case(
        answers=[
            stream(
                data(
                    chunk({"content": "Hello"}),
                    {**chunk({}, "stop"), "usage": USAGE},
                    {**chunk(), "choices": [], "usage": None},
                    {**chunk(), "choices": []},
                )
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # Portkey-AI/gateway#548: Cohere on SambaNova
    "the same usage in each chunk": Case(
        answers=[
            stream(data(*({**chunk({"content": part}), "usage": USAGE} for part in ("Hel", "lo")), chunk({}, "stop")))
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # router-for-me/CLIProxyAPI#4053
    "zeros before the usage": Case(
        answers=[stream(data({**chunk({"content": "Hello"}), "usage": ZEROS}, chunk({}, "stop"), usage_chunk()))],
        text="Hello",
        usage=(11, 5),
    ),
}

NOTHING = {
    # openai/openai-agents-python#1179
    "usage whose numbers are null": counted(0, 0, prompt_tokens=None, completion_tokens=None, total_tokens=None),
    # FoundationAgents/MetaGPT#1810
    "one JSON body whose usage is empty": Case(
        answers=[as_json(completion({"content": "Hello"}, usage={}))], text="Hello", usage=(0, 0)
    ),
    # simonw/llm#1697, huggingface/smolagents#2630
    "one JSON body whose usage is null": Case(
        answers=[as_json(completion({"content": "Hello"}, usage=None))], text="Hello", usage=(0, 0)
    ),
    # baptisteArno/typebot.io#1872
    "no usage at all": Case(answers=[chat({"content": "Hello"}, usage=False)], text="Hello", usage=(0, 0)),
}

DETAILS = {
    # 567-labs/instructor#1104
    "details that are null": counted(
        2327,
        204,
        prompt_tokens=2327,
        completion_tokens=204,
        total_tokens=2531,
        prompt_tokens_details=None,
        completion_tokens_details=None,
    ),
    # BerriAI/litellm#15376
    "numbers within the details that are null": counted(
        12,
        204,
        of_which(cached=0),
        prompt_tokens=12,
        completion_tokens=204,
        total_tokens=216,
        prompt_tokens_details={"audio_tokens": None, "cached_tokens": 0, "text_tokens": None},
        completion_tokens_details={"reasoning_tokens": None},
    ),
    # mozilla-ai/any-llm#795: DeepSeek
    "cached tokens as hits and misses": counted(
        100,
        50,
        of_which(cached=80),
        prompt_tokens=100,
        prompt_cache_hit_tokens=80,
        prompt_cache_miss_tokens=20,
        completion_tokens=50,
        total_tokens=150,
    ),
    # earendil-works/pi#8119: Kimi
    "cached tokens beside the others": counted(
        100, 50, of_which(cached=80), prompt_tokens=100, completion_tokens=50, total_tokens=150, cached_tokens=80
    ),
    # ithtelab/workbuddy-manager#39
    "cached tokens under one name, zeros under the others": counted(
        1204,
        50,
        of_which(cached=1024),
        prompt_tokens=1204,
        completion_tokens=50,
        total_tokens=1254,
        cached_tokens=0,
        cache_read_input_tokens=0,
        prompt_tokens_details={"cached_tokens": 0},
        prompt_cache_hit_tokens=1024,
        prompt_cache_write_tokens=0,
    ),
    # vercel/ai#12425, Wei-Shaw/sub2api#5771: Grok; router-for-me/CLIProxyAPI#5743: Gemini
    "reasoning tokens that only the total includes": counted(
        12,
        387,
        of_which(reasoning=386),
        prompt_tokens=12,
        completion_tokens=1,
        total_tokens=399,
        completion_tokens_details={"reasoning_tokens": 386},
    ),
    # BerriAI/litellm#10691: OpenAI's way, the tokens are not counted twice
    "reasoning tokens that the completion includes": counted(
        12,
        387,
        of_which(reasoning=386),
        prompt_tokens=12,
        completion_tokens=387,
        total_tokens=399,
        completion_tokens_details={"reasoning_tokens": 386},
    ),
}

ANTHROPIC = {
    # zai-org/GLM-5#139
    "anthropic: zeros at the start, all at the end": anthropic(
        {"input_tokens": 0, "output_tokens": 0},
        {"input_tokens": 14, "output_tokens": 5, "cache_read_input_tokens": 6},
        usage=(20, 5),
        cached=6,
    ),
    # decolua/9router#2209
    "anthropic: tokens read from the cache and written to it": anthropic(
        {
            "input_tokens": 50,
            "cache_read_input_tokens": 2400,
            "cache_creation_input_tokens": 120,
            "output_tokens": 1,
        },
        {"output_tokens": 5},
        usage=(2570, 5),
        cached=2400,
    ),
    # vllm-project/vllm#40912
    "anthropic: null for what the cache gave": anthropic(
        {
            "input_tokens": 11,
            "output_tokens": 0,
            "cache_read_input_tokens": None,
            "cache_creation_input_tokens": None,
        },
        {
            "input_tokens": 11,
            "output_tokens": 5,
            "cache_read_input_tokens": None,
            "cache_creation_input_tokens": None,
        },
        usage=(11, 5),
    ),
    # tensorzero/tensorzero#5481
    "anthropic: what the end tells is the whole": anthropic(
        {"input_tokens": 25, "output_tokens": 1}, {"input_tokens": 25, "output_tokens": 15}, usage=(25, 15)
    ),
    # chenyme/grok2api#612
    "anthropic: zeros at the start, nothing of the prompt at the end": anthropic(
        {"input_tokens": 0, "output_tokens": 0}, {"output_tokens": 54}, usage=(0, 54)
    ),
}

RESPONSES = {
    # vercel/ai#20102: Exa
    "responses: usage that is null": responded(0, 0, None),
    # smallmain/vscode-unify-chat-provider#277
    "responses: usage without details": responded(11, 5, {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16}),
    # pingmike2/freebuff2api-wokers#10
    "responses: usage under the names of the other API": responded(11, 5, USAGE),
    # openai/openai-agents-python#4901
    "responses: incomplete with nothing but thoughts": Case(
        agent="re",
        answers=[
            responses(
                status="incomplete",
                error=None,
                incomplete_details={"reason": "max_output_tokens"},
                output=[{"type": "reasoning", "id": "rs", "status": "incomplete", "summary": []}],
                usage={
                    "input_tokens": 84,
                    "output_tokens": 16,
                    "total_tokens": 100,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens_details": {"reasoning_tokens": 16},
                },
            )
        ],
        text=None,
        finish="length",
        usage=(84, 16),
        checks=of_which(cached=0, reasoning=16),
    ),
}

CASES = {**PLACES, **NOTHING, **DETAILS, **ANTHROPIC, **RESPONSES}
