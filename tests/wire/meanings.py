"""What a provider's error means for the caller, whatever its status."""

from __future__ import annotations

from tests.wire.case import Case, as_json, completion, data, stream
from tests.wire.errors import (
    BAD_REQUEST,
    BROKEN,
    FORBIDDEN,
    TOO_LARGE,
    TOO_MANY,
    UNREADABLE,
    broken,
    limited,
    no_key,
    refused,
    too_long,
    unpaid,
)

KEY = {
    # continuedev/continue#10161, openai/codex#1352: xAI
    "a refused key as 400": no_key(
        as_json(
            {
                "code": "Client specified an invalid argument",
                "error": "Incorrect API key provided: gs***tF. You can obtain an API key from https://console.x.ai.",
            },
            status=BAD_REQUEST,
        )
    ),
    # anomalyco/opencode#32051: Cloudflare
    "a refused key in a list of errors": no_key(
        as_json(
            {"result": None, "success": False, "errors": [{"code": 10000, "message": "Authentication error"}]},
            status="401 Unauthorized",
        )
    ),
    # milind-soni/OpenMausBot#1200: MiniMax
    "a refused key as 200": no_key(
        as_json({"choices": None, "base_resp": {"status_code": 1004, "status_msg": "not authorized"}})
    ),
}

CREDIT = {
    # QuantumNous/new-api#1401, QwenLM/qwen-code#54: DashScope
    "an account in arrears as 400": unpaid(
        as_json(
            {
                "error": {
                    "message": "Access denied, please make sure your account is in good standing.",
                    "type": "Arrearage",
                    "param": "",
                    "code": "Arrearage",
                }
            },
            status=BAD_REQUEST,
        ),
        "in good standing",
    ),
    # zai-org/GLM-5#148, macanderson/stella#2
    "no balance as 429": unpaid(
        as_json(
            {"error": {"code": "1113", "message": "Insufficient balance or no resource package. Please recharge."}},
            status=TOO_MANY,
        ),
        "Please recharge",
    ),
    # zhayujie/CowAgent#2910, continuedev/continue#11823
    "no balance in Chinese": unpaid(
        as_json({"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}, status=TOO_MANY),
        "余额不足",
    ),
    # zai-org/feedback#789: the type says otherwise
    "anthropic: no balance as a rate limit": unpaid(
        as_json(
            {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "code": "1113",
                    "message": "[1113][Insufficient balance or no resource package. Please recharge.][2026]",
                },
                "request_id": "2026",
            },
            status=TOO_MANY,
        ),
        "Insufficient balance",
        agent="an",
    ),
    # MiniMax-AI/MiniMax-M2#62
    "anthropic: no balance as 500": unpaid(
        as_json(
            {"type": "error", "error": {"type": "api_error", "message": "insufficient balance (1008)"}}, status=BROKEN
        ),
        "insufficient balance (1008)",
        agent="an",
    ),
    # modelscope/modelscope#1691
    "no balance as 429 with a type for it": unpaid(
        as_json(
            {
                "error": {
                    "http_code": "429",
                    "message": "insufficient balance (1008)",
                    "type": "insufficient_balance_error",
                },
                "request_id": "x",
            },
            status=TOO_MANY,
        ),
        "insufficient balance",
    ),
    # Wei-Shaw/sub2api#890
    "no balance as 403": unpaid(
        as_json({"code": "INSUFFICIENT_BALANCE", "message": "Insufficient account balance"}, status=FORBIDDEN),
        "Insufficient account balance",
    ),
    # vercel/ai#9290
    "no balance, told a second time in param": unpaid(
        as_json(
            {
                "error": {
                    "message": "Insufficient balance or no resource package. Please recharge.",
                    "type": "AI_APICallError",
                    "param": {"error": "Insufficient balance", "statusCode": 429, "isRetryable": True},
                }
            },
            status=TOO_MANY,
        ),
        "Please recharge",
    ),
}

LIMITS = {
    # kaitranntt/ccs#402: not every code of four digits is about money
    "too many at once": limited(
        as_json(
            {"error": {"code": "1302", "message": "High concurrency usage of this API, please reduce concurrency"}},
            status=TOO_MANY,
        ),
        "reduce concurrency",
    ),
    # pollinations/pollinations#6260
    "a status in the body": limited(
        as_json(
            {
                "success": False,
                "error": {"message": "exceeds the maximum usage size during peak load", "code": "RATE_LIMITED"},
                "status": 429,
            },
            status=TOO_MANY,
        ),
        "during peak load",
    ),
    # anomalyco/opencode#15590
    "responses: a plan that is used up": limited(
        as_json(
            {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached"}}, status=TOO_MANY
        ),
        "usage limit has been reached",
        agent="re",
    ),
    # HunorLaczko/ha-groq-cloud-api#27, continuedev/continue#10218: OpenAI says the same with a 429
    "more tokens than a minute has, as 413": limited(
        as_json(
            {
                "error": {
                    "message": "Request too large for model llama on tokens per minute (TPM): Limit 6000, Requested "
                    "12328, please reduce your message size and try again. Need more tokens? Upgrade to Dev Tier today "
                    "at https://console.groq.com/settings/billing",
                    "type": "tokens",
                    "code": "rate_limit_exceeded",
                }
            },
            status=TOO_LARGE,
        ),
        "tokens per minute",
    ),
}

LENGTH = {
    # ggml-org/llama.cpp#15780
    "too long as 500": too_long(
        as_json(
            {
                "error": {
                    "code": 500,
                    "message": "the request exceeds the available context size. try increasing the context size",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 1407,
                    "n_ctx": 256,
                }
            },
            status=BROKEN,
        ),
        "exceeds the available context size",
    ),
    # oobabooga/textgen#7257
    "too long as 200": too_long(
        as_json(
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size. try increasing the context size",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 14429,
                    "n_ctx": 8192,
                }
            }
        ),
        "exceeds the available context size",
    ),
    # BerriAI/litellm#25492: SGLang
    "too long as an event": too_long(
        stream(
            data(
                {
                    "error": {
                        "object": "error",
                        "message": "Requested token count exceeds the model's maximum context length of 196608 tokens. "
                        "You requested a total of 204830 tokens.",
                        "type": "BadRequestError",
                        "param": None,
                        "code": 400,
                    }
                }
            )
        ),
        "of 196608 tokens",
    ),
    # opea-project/GenAIInfra#487: TGI
    "too long with its answer": too_long(
        as_json(
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 1887 "
                "`inputs` tokens and 1024 `max_new_tokens`",
                "error_type": "validation",
            },
            status=UNREADABLE,
        ),
        "must be <= 2048",
    ),
    # jwadow/kiro-gateway#10
    "too long with a reason of its own": too_long(
        as_json({"message": "Input is too long.", "reason": "CONTENT_LENGTH_EXCEEDS_THRESHOLD"}, status=BAD_REQUEST),
        "Input is too long.",
    ),
    # aaif-goose/goose#7504: Bedrock
    "too long for the model behind": too_long(
        as_json(
            {"message": "The model returned the following errors: prompt is too long: 227255 tokens > 200000 maximum"},
            status=BAD_REQUEST,
        ),
        "227255 tokens > 200000 maximum",
    ),
    # charmbracelet/crush#946: a shorter conversation would not help
    "too long an answer asked for": refused(
        as_json({"message": "The maximum tokens you requested exceeds the model limit of 32768"}, status=BAD_REQUEST),
        "model limit of 32768",
    ),
}

POLICY = {
    # microsoft/TinyTroupe#85, browser-use/browser-use#262: Azure
    "a prompt that is filtered": refused(
        as_json(
            {
                "error": {
                    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
                    "management policy. Please modify your prompt and retry.",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {
                        "code": "ResponsibleAIPolicyViolation",
                        "content_filter_result": {"jailbreak": {"filtered": True, "detected": True}},
                    },
                }
            },
            status=BAD_REQUEST,
        ),
        "content management policy",
    ),
    # google-gemini/deprecated-generative-ai-js#151: the caller can't help it
    "a region as 400": broken(
        as_json(
            {
                "error": {
                    "code": 400,
                    "message": "User location is not supported for the API use.",
                    "status": "FAILED_PRECONDITION",
                }
            },
            status=BAD_REQUEST,
        ),
        "User location is not supported",
        tries=1,
    ),
}

FINE = {
    # higress-group/higress#1033
    "a status of the server's own that says all is well": Case(
        answers=[as_json(completion({"content": "Hello"}, base_resp={"status_code": 0, "status_msg": ""}))],
        text="Hello",
        usage=(11, 5),
    ),
    # RESMP-DEV/ccr-rust#25
    "responses: an error that is null": Case(
        agent="re",
        answers=[
            as_json(
                {
                    "id": "r",
                    "object": "response",
                    "status": "completed",
                    "error": None,
                    "incomplete_details": None,
                    "output": [{"type": "message", "id": "x", "content": [{"type": "output_text", "text": "Hello"}]}],
                    "usage": {"input_tokens": 11, "output_tokens": 5, "total_tokens": 16},
                }
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
}

CASES = KEY | CREDIT | LIMITS | LENGTH | POLICY | FINE
