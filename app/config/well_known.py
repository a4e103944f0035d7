"""Providers that need no entry: an agent names their models, and the environment has their key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from app.config.environment import Environment
from app.config.settings import Provider

_KEY = re.compile(r"[ -~\xa0-\xff]+")
COMPLETIONS, RESPONSES, MESSAGES = "openai-completions", "openai-responses", "anthropic-messages"


class WellKnown(NamedTuple):
    """variables: that may hold the key; the first that does counts. input: what its models take.

    bearer: the key goes into ``Authorization``, though the wire format has another header for it.
    """

    base_url: str
    variables: tuple[str, ...]
    api: str = COMPLETIONS
    input: tuple[str, ...] = ("text",)
    bearer: bool = False


_SEES = ("text", "image")
_QWEN = WellKnown(
    "https://coding-intl.dashscope.aliyuncs.com/v1", ("QWEN_API_KEY", "MODELSTUDIO_API_KEY", "DASHSCOPE_API_KEY")
)
_KIMI = WellKnown("https://api.kimi.com/coding", ("KIMI_API_KEY", "KIMICODE_API_KEY"), MESSAGES)

# Where OpenClaw speaks a wire format of the provider's own, its OpenAI-compatible address.
WELL_KNOWN: Mapping[str, WellKnown] = MappingProxyType(
    {
        "anthropic": WellKnown(
            "https://api.anthropic.com", ("ANTHROPIC_OAUTH_TOKEN", "ANTHROPIC_API_KEY"), MESSAGES, _SEES
        ),
        "arcee": WellKnown("https://api.arcee.ai/api/v1", ("ARCEEAI_API_KEY",)),
        "byteplus": WellKnown("https://ark.ap-southeast.bytepluses.com/api/v3", ("BYTEPLUS_API_KEY",)),
        "cerebras": WellKnown("https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",)),
        "chutes": WellKnown("https://llm.chutes.ai/v1", ("CHUTES_API_KEY", "CHUTES_OAUTH_TOKEN")),
        "cohere": WellKnown("https://api.cohere.ai/compatibility/v1", ("COHERE_API_KEY",)),
        "dashscope": _QWEN,
        "deepinfra": WellKnown("https://api.deepinfra.com/v1/openai", ("DEEPINFRA_API_KEY",)),
        "deepseek": WellKnown("https://api.deepseek.com", ("DEEPSEEK_API_KEY",)),
        "fireworks": WellKnown("https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",)),
        "google": WellKnown(
            "https://generativelanguage.googleapis.com/v1beta/openai",
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            input=_SEES,
        ),
        "groq": WellKnown("https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
        "huggingface": WellKnown("https://router.huggingface.co/v1", ("HUGGINGFACE_HUB_TOKEN", "HF_TOKEN")),
        "kilocode": WellKnown("https://api.kilo.ai/api/gateway", ("KILOCODE_API_KEY",)),
        "kimi": _KIMI,
        "kimi-coding": _KIMI,
        "litellm": WellKnown("http://localhost:4000/v1", ("LITELLM_API_KEY",)),
        "lmstudio": WellKnown("http://localhost:1234/v1", ("LM_API_TOKEN",)),
        "meta": WellKnown("https://api.meta.ai/v1", ("MODEL_API_KEY",), RESPONSES),
        "minimax": WellKnown(
            "https://api.minimax.io/anthropic",
            ("MINIMAX_API_KEY", "MINIMAX_CODE_PLAN_KEY", "MINIMAX_CODING_API_KEY"),
            MESSAGES,
            bearer=True,
        ),
        "mistral": WellKnown("https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
        "modelstudio": _QWEN,
        "moonshot": WellKnown("https://api.moonshot.ai/v1", ("MOONSHOT_API_KEY", "KIMI_API_KEY")),
        "novita": WellKnown("https://api.novita.ai/openai/v1", ("NOVITA_API_KEY",)),
        "nvidia": WellKnown("https://integrate.api.nvidia.com/v1", ("NVIDIA_API_KEY",)),
        "ollama": WellKnown("http://127.0.0.1:11434/v1", ("OLLAMA_API_KEY",)),
        "ollama-cloud": WellKnown("https://ollama.com/v1", ("OLLAMA_API_KEY",)),
        "openai": WellKnown("https://api.openai.com/v1", ("OPENAI_API_KEY",), input=_SEES),
        "opencode": WellKnown("https://opencode.ai/zen/v1", ("OPENCODE_API_KEY", "OPENCODE_ZEN_API_KEY")),
        "opencode-go": WellKnown("https://opencode.ai/zen/go/v1", ("OPENCODE_API_KEY", "OPENCODE_ZEN_API_KEY")),
        "openrouter": WellKnown("https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
        "qianfan": WellKnown("https://qianfan.baidubce.com/v2", ("QIANFAN_API_KEY",)),
        "qwen": _QWEN,
        "qwencloud": _QWEN,
        "sglang": WellKnown("http://127.0.0.1:30000/v1", ("SGLANG_API_KEY",)),
        "stepfun": WellKnown("https://api.stepfun.ai/v1", ("STEPFUN_API_KEY",)),
        "synthetic": WellKnown("https://api.synthetic.new/anthropic", ("SYNTHETIC_API_KEY",), MESSAGES),
        "tencent-tokenhub": WellKnown("https://tokenhub.tencentmaas.com/v1", ("TOKENHUB_API_KEY",)),
        "together": WellKnown("https://api.together.xyz/v1", ("TOGETHER_API_KEY",)),
        "venice": WellKnown("https://api.venice.ai/api/v1", ("VENICE_API_KEY",)),
        "vercel-ai-gateway": WellKnown("https://ai-gateway.vercel.sh", ("AI_GATEWAY_API_KEY",), MESSAGES, _SEES),
        "vllm": WellKnown("http://127.0.0.1:8000/v1", ("VLLM_API_KEY",)),
        "volcengine": WellKnown("https://ark.cn-beijing.volces.com/api/v3", ("VOLCANO_ENGINE_API_KEY",)),
        "xai": WellKnown("https://api.x.ai/v1", ("XAI_API_KEY",)),
        "xiaomi": WellKnown("https://api.xiaomimimo.com/v1", ("XIAOMI_API_KEY",)),
        "zai": WellKnown("https://api.z.ai/api/paas/v4", ("ZAI_API_KEY", "Z_AI_API_KEY")),
    }
)

_OPENAI_INSTEAD = "set OPENAI_API_KEY and name the model openai/…, or give it an entry in models.providers"
_SIGNS_IN = "signs in by OAuth, which this gateway doesn't do; {instead}"
_OF_CLOUD = "signs its requests with credentials of its cloud, which this gateway doesn't do; {instead}"
_ENTRY = "give an OpenAI-compatible address of it an entry in models.providers"
# Providers that no key opens, and what to do instead.
CLOSED: Mapping[str, str] = MappingProxyType(
    {
        "openai-codex": _SIGNS_IN.format(instead=_OPENAI_INSTEAD),
        "github-copilot": _SIGNS_IN.format(instead=_OPENAI_INSTEAD),
        "google-gemini-cli": _SIGNS_IN.format(instead="set GEMINI_API_KEY and name the model google/…"),
        "qwen-portal": _SIGNS_IN.format(instead="set QWEN_API_KEY and name the model qwen/…"),
        "minimax-portal": _SIGNS_IN.format(instead="set MINIMAX_API_KEY and name the model minimax/…"),
        "google-vertex": _OF_CLOUD.format(instead="set GEMINI_API_KEY and name the model google/…"),
        "anthropic-vertex": _OF_CLOUD.format(instead="set ANTHROPIC_API_KEY and name the model anthropic/…"),
        "amazon-bedrock": _OF_CLOUD.format(instead=_ENTRY),
        "amazon-bedrock-mantle": _OF_CLOUD.format(instead=_ENTRY),
        "microsoft-foundry": f"has an address for each resource; {_ENTRY}",
        "cloudflare-ai-gateway": f"has an address for each account; {_ENTRY}",
    }
)
# The same for wire formats that an entry may name.
CLOSED_APIS: Mapping[str, str] = MappingProxyType(
    {
        "openai-codex-responses": CLOSED["openai-codex"],
        "openai-chatgpt-responses": CLOSED["openai-codex"],
        "github-copilot": CLOSED["github-copilot"],
        "google-vertex": CLOSED["google-vertex"],
        "bedrock-converse-stream": CLOSED["amazon-bedrock"],
    }
)
# Servers whose OpenAI-compatible door is at /v1, where people write the address of the server.
_AT_V1 = frozenset({"ollama", "ollama-cloud", "lmstudio", "litellm"})
_GOOGLE = "google-generative-ai"


def well_known_keys(environment: Environment) -> dict[str, str]:
    """The keys that the environment has, by provider; without those that no header can carry."""
    found = {}
    for name, known in WELL_KNOWN.items():
        values = (environment.get(variable) for variable in known.variables)
        key = next((value.strip() for value in values if value), "")
        if _KEY.fullmatch(key):
            found[name] = key
    return found


def well_known_provider(name: str, key: str) -> Provider:
    """Any model of it may be asked for."""
    known = WELL_KNOWN[name]
    return Provider(
        id=name,
        base_url=known.base_url,
        api=known.api,
        api_key=key,
        input=known.input,
        auth_header=needs_bearer(name, key),
    )


def needs_bearer(name: str, key: str | None) -> bool:
    """Whether a provider wants this key in ``Authorization``, though its wire format has another header."""
    known = WELL_KNOWN.get(name)
    return bool((known and known.bearer) or (key or "").startswith("sk-ant-oat"))


def address_of(name: str, api: str | None, base_url: str) -> str:
    """Where the OpenAI-compatible door of a server is. api: as the file has it."""
    url = urlsplit(base_url)
    path = url.path.rstrip("/")
    if path in ("", "/api") and (api == "ollama" or name in _AT_V1):
        return url._replace(path="/v1").geturl()
    if api == _GOOGLE and not path.endswith("/openai"):
        return url._replace(path=f"{path or '/v1beta'}/openai").geturl()
    return base_url
