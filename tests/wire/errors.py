"""What a provider says went wrong, as bodies of errors."""

from __future__ import annotations

import json
from typing import Any

from tests.wire.case import Case, as_json, data, http, stream

BAD_REQUEST, FORBIDDEN, NOT_FOUND = "400 Bad Request", "403 Forbidden", "404 Not Found"
TOO_LARGE, UNREADABLE, TOO_MANY = "413 Payload Too Large", "422 Unprocessable Entity", "429 Too Many Requests"
BROKEN, BAD_GATEWAY = "500 Internal Server Error", "502 Bad Gateway"


def refused(answer: bytes, *says: str, agent: str = "main") -> Case:
    """The request is wrong: the caller learns why."""
    return Case(agent=agent, answers=[answer], status=400, error="invalid_request_error", says=says)


def too_long(answer: bytes, *says: str, agent: str = "main") -> Case:
    """The conversation is too long for the model."""
    code = "context_length_exceeded"
    return Case(agent=agent, answers=[answer], status=400, error="invalid_request_error", code=code, says=says)


def limited(answer: bytes, *says: str, agent: str = "main") -> Case:
    return Case(agent=agent, answers=[answer], status=429, error="rate_limit_error", says=says)


def unpaid(answer: bytes, *says: str, agent: str = "main") -> Case:
    code = "insufficient_quota"
    return Case(agent=agent, answers=[answer], status=502, error="upstream_error", code=code, says=says)


def no_key(answer: bytes, *says: str, agent: str = "main") -> Case:
    """The provider refuses the gateway's key."""
    return Case(agent=agent, answers=[answer], status=502, error="upstream_auth_error", says=says)


def broken(answer: bytes, *says: str, tries: int = 3, agent: str = "main") -> Case:
    """The provider fails, and has been asked so often."""
    return Case(agent=agent, answers=[answer] * tries, status=502, error="upstream_error", says=says)


def page(title: str, status: str) -> bytes:
    """A page of a proxy between gateway and provider."""
    body = f"<html> <head><title>{title}</title></head> <body> <center><h1>{title}</h1></center> </body></html>"
    return http(body.encode(), status=status, kind="text/html; charset=UTF-8")


def within(raw: Any, code: int = 400) -> bytes:
    """OpenRouter's error around that of the provider behind it."""
    error = {"message": "Provider returned error", "code": code, "metadata": {"raw": raw, "provider_name": "Other"}}
    return as_json({"error": error}, status=f"{code} X")


SHAPES = {
    "an event that is an error without the key error": too_long(
        stream(
            data(
                {
                    "object": "error",
                    "message": "maximum context length is 4096 tokens",
                    "type": "BadRequestError",
                    "param": None,
                    "code": 400,
                }
            )
        ),
        "maximum context length is 4096 tokens",
    ),
    "a list of details": refused(
        as_json(
            {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "stream_options"],
                        "msg": "Extra inputs are not permitted",
                    }
                ]
            },
            status=UNREADABLE,
        ),
        "Extra inputs are not permitted",
        "stream_options",
        agent="no-usage",
    ),
    # Gitlawb/openclaude#739, theroyallab/tabbyAPI#317: each of them, and where
    "a list of several details": refused(
        as_json(
            {
                "detail": [
                    {"type": "extra_forbidden", "loc": ["body", "store"], "msg": "Extra inputs are not permitted"},
                    {"type": "missing", "loc": ["body", "max_tokens"], "msg": "Field required", "input": None},
                ]
            },
            status=UNREADABLE,
        ),
        "store",
        "Extra inputs are not permitted",
        "max_tokens",
        "Field required",
    ),
    # nocmt/LLMSearchPlus#2: xAI has the words in error, and a sentence for a code
    "a sentence as code, a text as error": refused(
        as_json(
            {
                "code": "Client specified an invalid argument",
                "error": "The model expects a single `text` element per message.",
            },
            status=BAD_REQUEST,
        ),
        "expects a single `text` element",
    ),
    # continuedev/continue#12795, yuntianhe2014/Easy-RAG#9: Ollama
    "a text as error": broken(
        as_json({"error": "model requires more system memory (7.5 GiB) than is available (5.2 GiB)"}, status=BROKEN),
        "requires more system memory",
    ),
    # anomalyco/opencode#23773, anomalyco/opencode#18552: Cloudflare
    "a list of errors": broken(
        as_json(
            {
                "result": None,
                "success": False,
                "errors": [{"code": 7003, "message": "Could not route to /client/v4, is your identifier invalid?"}],
                "messages": [],
            },
            status=NOT_FOUND,
        ),
        "Could not route to",
        tries=1,
    ),
    # NVIDIA/nvcf#1690: RFC 7807
    "a problem document": limited(
        as_json(
            {"type": "about:blank", "title": "Too Many Requests", "status": 429, "detail": "at most 10 a minute"},
            status=TOO_MANY,
        ),
        "at most 10 a minute",
    ),
    # NVIDIA/nvcf#1690: echo's own
    "a message alone": limited(as_json({"message": "rate limit exceeded"}, status=TOO_MANY), "rate limit exceeded"),
    # missuo/koe#117
    "no body": limited(http(b"", status=TOO_MANY)),
    # pingcap/autoflow#281: Spring
    "a page's name and path": broken(
        as_json(
            {"timestamp": "2024-09-17T01:04:34", "status": 404, "error": "Not Found", "path": "/v4/completions"},
            status=NOT_FOUND,
        ),
        "Not Found",
        tries=1,
    ),
    # vllm-project/vllm#49239: a hundred megabytes that repeat the input; its beginning says enough
    "a body that has no end": refused(
        as_json(
            {"error": {"message": "12047 validation errors: 'msg': 'Input should be a valid string'" + "x" * 100_000}},
            status=BAD_REQUEST,
        ),
        "12047 validation errors",
    ),
    # BerriAI/litellm#36598: what a guardrail found, as an object
    "an object as message": refused(
        as_json(
            {
                "error": {
                    "type": "guardrail_error",
                    "message": {"error": "Violated guardrail policy", "policy": "no secrets"},
                }
            },
            status=BAD_REQUEST,
        ),
        "Violated guardrail policy",
    ),
}

WITHIN = {
    # decocms/studio#6827
    "an error within, as an event": refused(
        within('data: {"error":{"code":"invalid_parameter_error","message":"messages must contain the word json"}}'),
        "messages must contain the word json",
    ),
    # smixs/iva-agent#18
    "an error within, as an object": refused(
        within({"error": {"message": "The model `gpt-4` does not exist", "type": "invalid_request_error"}}),
        "does not exist",
    ),
    # Kilo-Org/kilocode#3566: {"detail": …}, {"message": …}, {"error": "…"}
    "a detail within": refused(within('{"detail":"Unsupported parameter: top_k"}'), "Unsupported parameter: top_k"),
    "a text as error within": refused(within('{"error":"top_k is not supported"}'), "top_k is not supported"),
    # continuedev/continue#10290
    "JSON as message: a key that is refused": no_key(
        as_json(
            {
                "error": {
                    "message": json.dumps(
                        {
                            "error": {
                                "code": 400,
                                "message": "API key not valid. Please pass a valid API key.",
                                "status": "INVALID_ARGUMENT",
                                "details": [{"reason": "API_KEY_INVALID", "domain": "googleapis.com"}],
                            }
                        },
                        indent=2,
                    ),
                    "code": 400,
                    "status": "Bad Request",
                }
            },
            status=BAD_REQUEST,
        )
    ),
    # musistudio/claude-code-router#1071: JSON and a stack trace in the message
    "JSON within the words: no credit": unpaid(
        as_json(
            {
                "error": {
                    "message": 'Error from provider(zai,glm-4.6: 429): {"error":{"code":"1113","message":"Insufficient '
                    'balance or no resource package."}}Error: Error from provider\n    at nt (cli.js:1:2)',
                    "type": "api_error",
                    "code": "provider_response_error",
                }
            },
            status=TOO_MANY,
        ),
        "Insufficient balance",
    ),
    # jasonacox/TinyLLM#17: a proxy's exception around Python's text of the error
    "Python within the words": limited(
        as_json(
            {
                "error": {
                    "message": "litellm.RateLimitError: AzureException RateLimitError - Error code: 429 - {'error': "
                    "{'code': '429', 'message': 'Requests have exceeded token rate limit. Retry after 86400 s.'}}",
                    "type": "throttling_error",
                    "param": None,
                    "code": "429",
                }
            },
            status=TOO_MANY,
        ),
        "exceeded token rate limit",
    ),
}

PAGES = {
    # perplexityai/api-discussion#284, nearai/ironclaw#1994
    "a page instead of a 502": broken(page("502 Bad Gateway", BAD_GATEWAY), "502"),
    # ollama/ollama#3694
    "a page of a proxy that did not wait": broken(page("A timeout occurred", "524 X"), "524"),
    # openai/codex#6252: no word of the key
    "a page that blocks": broken(page("Sorry, you have been blocked", FORBIDDEN), tries=1),
}

EVENTS = {
    # lucasjinreal/Crane#121
    "an event of plain words": broken(stream("data: error: the engine is gone\n\n"), "the engine is gone"),
    # davidmigloz/ai_clients_dart#88
    "an event named error with plain words": broken(
        stream("event: error\ndata: Too many requests, please slow down\n\n"), "Too many requests, please slow down"
    ),
    # ggml-org/llama.cpp#16104, ggml-org/llama.cpp#16109
    "a field named error": broken(
        stream('error: {"code":500,"message":"Compute error.","type":"server_error"}\n\n'), "Compute error."
    ),
    # openrouter.ai/docs/api/reference/errors-and-debugging
    "an error beside a choice that ends with it": broken(
        stream(
            data(
                {
                    "id": "cmpl-abc",
                    "object": "chat.completion.chunk",
                    "error": {"code": "server_error", "message": "Provider disconnected unexpectedly"},
                    "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
                }
            )
        ),
        "Provider disconnected unexpectedly",
    ),
    # api.koog.ai, OpenRouterStreamChoice: choices have an error of their own
    "an error within a choice": limited(
        stream(
            data(
                {
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"content": ""},
                            "finish_reason": "error",
                            "error": {"code": 429, "message": "Rate limited upstream"},
                        }
                    ]
                }
            )
        ),
        "Rate limited upstream",
    ),
    # BerriAI/litellm#41826: in the middle of Anthropic's events, with a number as text
    "anthropic: an error as the other API writes it": limited(
        stream(data({"error": {"message": "slow down", "type": "None", "param": "None", "code": "429"}}, done=False)),
        "slow down",
        agent="an",
    ),
    # runpod-workers/worker-vllm#57
    "a 404 within a 200": broken(
        as_json(
            {
                "code": 404,
                "message": "The model `m` does not exist.",
                "object": "error",
                "param": None,
                "type": "NotFoundError",
            }
        ),
        "does not exist",
        tries=1,
    ),
}

CASES = SHAPES | WITHIN | PAGES | EVENTS
