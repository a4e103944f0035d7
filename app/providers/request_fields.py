"""Which fields of a caller's request reach a provider: each kind of server takes others.

``docs/providers.md`` has the same table for users; ``tests/providers/test_request_fields.py`` keeps the two together.
"""

from __future__ import annotations

from collections.abc import Iterable


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What every OpenAI-compatible server knows.
COMPLETIONS = frozenset(
    {
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "response_format",
        "reasoning_effort",
        "logit_bias",
        "parallel_tool_calls",
    }
)

# What OpenAI itself takes besides; most others answer 400 to a field that they don't know.
OPENAI = frozenset(
    {
        "verbosity",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "safety_identifier",
        "prediction",
    }
)

# What servers of open models take besides, such as vLLM, SGLang and llama.cpp; OpenAI answers 400 to each.
COMPATIBLE = _names(
    """
    top_k min_p typical_p top_a repetition_penalty repeat_penalty min_tokens stop_token_ids length_penalty ignore_eos
    skip_special_tokens include_stop_str_in_output bad_words chat_template_kwargs enable_thinking thinking
    thinking_budget structured_outputs guided_json guided_regex guided_choice guided_grammar grammar json_schema
    mirostat mirostat_tau mirostat_eta dynatemp_range xtc_probability dry_multiplier samplers reasoning
    reasoning_format
    """
)

# The gateway's own, or what reaches into the server: code that it runs, another's cache, another model than the
# operator's choice. Nothing passes these on, whatever ``passFields`` says.
NEVER = _names(
    """
    model messages stream stream_options tools tool_choice functions function_call n best_of logprobs top_logprobs
    prompt input store background previous_response_id conversation user echo add_generation_prompt
    continue_final_message chat_template documents mm_processor_kwargs kv_transfer_params cache_salt request_id priority
    lora id_slot slot_id cache_prompt return_token_ids return_tokens_as_token_ids provider models route transforms
    plugins api_key base_url headers metadata modalities audio web_search_options moderation return_progress
    """
)

# The formats that have names of their own for what they take.
_MESSAGES = COMPLETIONS - {"presence_penalty", "frequency_penalty", "seed", "logit_bias"}
_RESPONSES = COMPLETIONS - {"presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias"}


def taken(api: str, *, openai: bool, pass_fields: Iterable[str] | None = None) -> frozenset[str]:
    """Names of the fields that a provider is sent when the caller sets them.

    openai: it is OpenAI's own server. pass_fields: the operator's list in place of the compatible servers' usual one.
    """
    if api == "anthropic-messages":
        known, usual = _MESSAGES, frozenset[str]()
    elif api == "openai-responses":
        known, usual = _RESPONSES | (OPENAI - {"prediction"} if openai else frozenset()), frozenset[str]()
    else:
        known, usual = COMPLETIONS | (OPENAI if openai else frozenset()), frozenset() if openai else COMPATIBLE
    return known | ((usual if pass_fields is None else frozenset(pass_fields)) - NEVER)
