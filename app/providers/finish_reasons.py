"""Why a model stopped, in the words of every dialect, as the four that callers know.

Sources: https://platform.openai.com/docs/api-reference/chat/object, https://ai.google.dev/api/generate-content,
https://docs.mistral.ai/api/, https://api-docs.deepseek.com/api/create-chat-completion,
https://docs.z.ai/api-reference/llm/chat-completion, https://docs.cohere.com/reference/chat
https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons
"""

from __future__ import annotations

from typing import Any

from app.errors import ProviderError, ProviderFault

STOP, LENGTH, TOOL_CALLS, CONTENT_FILTER = "stop", "length", "tool_calls", "content_filter"

_READ = {
    LENGTH: """length max_tokens max_output_tokens max_completion_tokens model_length token_limit
        model_context_window_exceeded context_length_exceeded insufficient_system_resource incomplete""",
    TOOL_CALLS: "tool_calls tool_call tool_use function_call function_calls",
    CONTENT_FILTER: """content_filter content_filtered content_filter_error safety image_safety recitation
        image_recitation blocklist prohibited_content image_prohibited_content spii language sensitive refusal
        guardrail_intervened guardrails error_toxic""",
}
_MEANINGS = {word: meaning for meaning, words in _READ.items() for word in words.split()}
# The generation broke off on the server's side: what came of it is no answer.
_FAILED = frozenset({"error", "abort", "aborted", "cancelled", "network_error"})
# A tool call that the server itself could not read.
_UNREADABLE = frozenset({"malformed_function_call", "unexpected_tool_call", "missing_thought_signature"})


def finish_reason(provider: str, said: Any) -> str:
    """``stop``, ``length``, ``tool_calls`` or ``content_filter``; a word that nobody knows is ``stop``.

    Raises TypeError for what is no word, ProviderError for a reason that says that there is no answer.
    """
    if said == STOP:
        return STOP
    if not isinstance(said, str):
        raise TypeError(f"a reason expected, found {type(said).__name__}")
    # Some proxies say both: ``content_filter: RECITATION``.
    words = [word.strip() for word in said.lower().split(":")]
    if _FAILED.intersection(words):
        raise ProviderError(f"provider {provider} says that its generation failed: {said[:100]}")
    if _UNREADABLE.intersection(words):
        raise ProviderFault(
            f"provider {provider} says that its model wrote a tool call that it can't read: {said[:100]}"
        )
    return next((_MEANINGS[word] for word in words if word in _MEANINGS), STOP)
