"""The configuration file's keys and what each may hold.

Every key is optional unless it says so: the defaults stand in ``settings``. Names are camelCase in the file.
"""

from __future__ import annotations

import re
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, validates_schema

from app.config.fields import (
    AnyObject,
    Entries,
    Flag,
    Origins,
    Params,
    Parsed,
    Scalar,
    address,
    choice,
    duration,
    header_value,
    http_url,
    integer,
    model_choice,
    model_reference,
    nested,
    networks,
    origin,
    pattern,
    price,
    says,
    seconds,
    secret,
    several,
    storage_url,
    text,
    texts,
    url_of,
)
from app.config.well_known import CLOSED_APIS

THINKING = ("off", "minimal", "low", "medium", "high", "xhigh", "adaptive", "max")
# Of OpenClaw's ``params`` those that are added to a request as they are.
PARAMS = ("extra_body", "extraBody", "chat_template_kwargs")
AGENT_ID = ("lower case letters, digits, - and _, 64 at most", r"[a-z0-9_-]{1,64}\Z")
ANY_NAME = ("any name", r"[\s\S]*\Z")
EFFORT = ("an effort such as low", r"[a-z]+\Z")
HEADER_NAME = ("the name of a header", r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
PROVIDER_ID = ("a name without space and slash", r"[^\s\x00-\x1f\x7f/]+\Z")
SERVER_NAME = ("letters, digits, -, _ and ., 64 at most", r"[A-Za-z0-9_.-]{1,64}\Z")
VARIABLE_NAME = ("the name of a variable", r"[^=\s\x00-\x1f]+\Z")
_PATH_PART = re.compile(r"(?!\.\.?\Z)[\w.~-]+\Z", re.ASCII)
# Files that say "for ever" have about ten years; what is above a week is taken as a week.
CENTURY_SECONDS = 3_155_760_000
WEEK_SECONDS = 604_800
DAY_MS = 86_400_000
GIB = 1 << 30
MAX_PATTERNS = 100
# Bytes of addresses with which a shell and small programs still start.
LEAST_MEMORY = 32 << 20


class Section(Schema):
    error_messages = says("an object")

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.attribute = field_name.rstrip("_")  # a name that Python or marshmallow has itself ends in _
        first, *rest = field_obj.attribute.split("_")
        field_obj.data_key = first + "".join(word.title() for word in rest)


class ModelSchema(Section):
    primary = model_reference()
    fallbacks = several(model_reference(), 'a list of "provider/model"')


class RateLimitSchema(Section):
    max_attempts = integer(1, 10_000)
    window_ms = integer(1, DAY_MS)
    lockout_ms = integer(1, 7 * DAY_MS)
    exempt_loopback = Flag()


class TrustedProxySchema(Section):
    user_header = text(*HEADER_NAME, required=True)
    required_headers = several(text(*HEADER_NAME), "a list of header names")
    allow_users = texts()
    allow_loopback = Flag()


class AuthSchema(Section):
    mode = choice("token", "password", "trusted-proxy", "none")
    token = secret()
    password = secret()
    rate_limit = nested(RateLimitSchema)
    trusted_proxy = nested(TrustedProxySchema)


class ImagesSchema(Section):
    allow_url = Flag()
    url_allowlist = texts("a list of host names")
    allowed_mimes = several(text('a type such as "image/png"', r"[\w.+-]+/[\w.+-]+\Z"), "a list of media types")
    max_bytes = integer(1, GIB)
    max_redirects = integer(0, 20)
    timeout_ms = integer(1, DAY_MS)


class ChatCompletionsSchema(Section):
    enabled = Flag()
    max_body_bytes = integer(1, GIB)
    images = nested(ImagesSchema)
    max_image_parts = integer(0, 10_000)
    max_total_image_bytes = integer(1, GIB)
    max_messages = integer(1, 1_000_000)
    reasoning = Flag()


class ResponsesSchema(Section):
    enabled = Flag()


class EndpointsSchema(Section):
    chat_completions = nested(ChatCompletionsSchema)
    responses = nested(ResponsesSchema)


class CorsSchema(Section):
    allowed_origins = Origins()


class HttpSchema(Section):
    endpoints = nested(EndpointsSchema)
    cors = nested(CorsSchema)


def _base_path() -> Parsed:
    def parse(value: str) -> str:
        trimmed = value.strip("/")
        if trimmed and not all(_PATH_PART.match(part) for part in trimmed.split("/")):
            raise ValueError(value)
        return f"/{trimmed}"

    return Parsed(parse, 'a path such as "/" or "/openclaw"')


class ControlUiSchema(Section):
    enabled = Flag()
    base_path = _base_path()
    allowed_origins = Origins()


class InvokedToolsSchema(Section):
    deny = texts("a list of tool names")


class ReloadSchema(Section):
    mode = choice("hybrid", "hot", "restart", "off")


class ConnectionsSchema(Section):
    per_address = integer(1, 100_000)
    per_proxy = integer(1, 100_000)
    headers_seconds = integer(1, 60)
    body_seconds = integer(1, 3600)


class GatewaySchema(Section):
    port = integer(1, 65_535)
    bind = choice("loopback", "lan", "custom", replaced={"tailnet": "loopback", "auto": "loopback"})
    custom_bind_host = address()
    auth = nested(AuthSchema)
    trusted_proxies = several(networks(), "a list of addresses and CIDRs")
    allowed_hosts = several(text("a host name without port", r"[A-Za-z0-9._:\[\]-]+\Z"), "a list of host names")
    public_origin = origin()
    max_runs = integer(1, 100_000)
    connections = nested(ConnectionsSchema)
    http = nested(HttpSchema)
    control_ui = nested(ControlUiSchema)
    tools = nested(InvokedToolsSchema)
    reload = nested(ReloadSchema)


class ExecSchema(Section):
    security = choice("deny", "allowlist", "full")
    mode = choice("deny", "allowlist", "ask", "auto", "full")
    ask = choice("off", "on-miss", "always")
    host = choice("auto", "gateway", "sandbox", "node")
    strict_inline_eval = Flag()
    safe_bins = texts("a list of command names")
    safe_bin_profiles = Entries(AnyObject(), "an object of limits by command name", ANY_NAME)
    timeout_seconds = integer(1, WEEK_SECONDS)
    network = Flag()
    max_memory_bytes = integer(LEAST_MEMORY, 1024 * GIB)
    max_processes = integer(1, 100_000)


class AllowDenySchema(Section):
    allow = texts("a list of tool names")
    also_allow = texts("a list of tool names")
    deny = texts("a list of tool names")


def _profile() -> fields.String:
    return choice("minimal", "readonly", "coding", "full", replaced={"messaging": "minimal"})


class ByProviderSchema(AllowDenySchema):
    profile = _profile()


class SandboxToolsSchema(Section):
    tools = nested(AllowDenySchema)


class FilesSchema(Section):
    workspace_only = Flag()


class FetchSchema(Section):
    enabled = Flag()


class WebSchema(Section):
    fetch = nested(FetchSchema)


class SessionToolsSchema(Section):
    visibility = choice("self", "tree", "agent", "all")


class ToolsSchema(AllowDenySchema):
    profile = _profile()
    exec = nested(ExecSchema)
    by_provider = Entries(nested(ByProviderSchema), 'an object of policies by provider or "provider/model"', ANY_NAME)
    tools_by_sender = Entries(nested(AllowDenySchema), "an object of policies by sender", ANY_NAME)
    sandbox = nested(SandboxToolsSchema)
    fs = nested(FilesSchema)
    web = nested(WebSchema)
    sessions = nested(SessionToolsSchema)


class SandboxSchema(Section):
    mode = choice("off", "non-main", "all")
    workspace_access = choice("none", "ro", "rw")
    session_tools_visibility = choice("spawned", "all")


class CompatSchema(Section):
    max_tokens_field = choice("max_tokens", "max_completion_tokens")
    supports_usage_in_streaming = Flag()
    supports_reasoning_effort = Flag()
    supports_strict_mode = Flag()
    supports_temperature = Flag()
    supports_tools = Flag()
    supports_json_schema_response_format = Flag()
    supports_prompt_cache_key = Flag()
    supports_long_cache_retention = Flag()
    requires_tool_result_name = Flag()
    requires_assistant_after_tool_result = Flag()
    requires_thinking_as_text = Flag()
    requires_mistral_tool_ids = Flag()
    requires_string_content = Flag()
    requires_reasoning_content_on_assistant_messages = Flag()
    strict_message_keys = Flag()
    thinking_format = text()
    reasoning_effort_map = Entries(text(), "an object of efforts by effort", EFFORT)
    supported_reasoning_efforts = texts("a list of efforts")
    tool_call_arguments_encoding = text()
    unsupported_tool_schema_keywords = texts("a list of keywords")
    zai_tool_stream = Flag()
    # The gateway sends neither, whatever a server takes.
    supports_store = Flag()
    supports_developer_role = Flag()
    open_router_routing = AnyObject()
    vercel_gateway_routing = AnyObject()


class ModelEntrySchema(Section):
    alias = text()
    params = Params(*PARAMS)


class ModelPolicySchema(Section):
    allow = texts('a list of "provider/model", * for any')


class AgentDefaultsSchema(Section):
    model = model_choice(ModelSchema)
    workspace = text()
    system_prompt = text()
    timeout_seconds = seconds(CENTURY_SECONDS)
    max_turns = integer(1, 10_000)
    max_concurrent = integer(1, 100_000)
    context_tokens = integer(256, 100_000_000)
    tools = nested(ToolsSchema)
    sandbox = nested(SandboxSchema)
    models = Entries(nested(ModelEntrySchema), 'an object of settings by "provider/model"', ANY_NAME)
    model_policy = nested(ModelPolicySchema)
    thinking_default = choice(*THINKING)


class AgentSchema(Section):
    default = Flag()
    name = text()
    model = model_choice(ModelSchema)
    workspace = text()
    system_prompt = text()
    tools = nested(ToolsSchema)
    sandbox = nested(SandboxSchema)
    models = Entries(nested(ModelEntrySchema), 'an object of settings by "provider/model"', ANY_NAME)
    model_policy = nested(ModelPolicySchema)
    thinking_default = choice(*THINKING)


class ListedAgentSchema(AgentSchema):
    id = text(*AGENT_ID, required=True)


class AgentsSchema(Section):
    defaults = nested(AgentDefaultsSchema)
    list_ = several(nested(ListedAgentSchema), "a list of agents")
    entries = Entries(nested(AgentSchema), "an object of agents by id", AGENT_ID)


class CostSchema(Section):
    class Meta:
        unknown = EXCLUDE  # prices have names of their own at some providers

    input = price()
    output = price()
    cache_read = price()
    cache_write = price()


# Their wire formats aren't spoken here, but most of these servers have an OpenAI-compatible door too.
_OTHER_APIS = ("azure-openai-responses", "google-generative-ai", "ollama")


def _api() -> fields.String:
    return choice(
        "openai-completions",
        "openai-responses",
        "anthropic-messages",
        replaced=dict.fromkeys(_OTHER_APIS, "openai-completions"),
        unusable=CLOSED_APIS,
    )


class CatalogueModelSchema(Section):
    id = text("a model's id", r"\S+\Z", required=True)
    name = text()
    input = several(
        choice("text", "image", replaced=dict.fromkeys(("audio", "video", "document"), "text")),
        "a list of kinds of input",
    )
    context_window = integer(1, 100_000_000)
    max_tokens = integer(1, 100_000_000)
    reasoning = Flag()
    cost = nested(CostSchema)
    api = _api()
    base_url = http_url()
    headers = Entries(header_value(), "an object of texts by header name", HEADER_NAME)
    compat = nested(CompatSchema)
    params = AnyObject(*PARAMS)


class ProviderSchema(Section):
    base_url = http_url()
    api_key = header_value()
    api = _api()
    auth_header = Flag()
    dialect = choice("openai", "compatible")
    pass_fields = texts("a list of field names")
    headers = Entries(header_value(), "an object of texts by header name", HEADER_NAME)
    timeout_seconds = seconds(WEEK_SECONDS)
    max_answer_bytes = integer(1024, 1024**3)
    models = several(nested(CatalogueModelSchema), "a list of models")
    compat = nested(CompatSchema)
    params = AnyObject(*PARAMS)


class ModelsSchema(Section):
    mode = choice("merge", "replace")
    providers = Entries(nested(ProviderSchema), "an object of providers by id", PROVIDER_ID)


class ToolFilterSchema(Section):
    include = texts("a list of tool names")
    exclude_ = texts("a list of tool names")


class McpServerSchema(Section):
    command = text()
    args = several(fields.String(error_messages=says("text")), "a list of texts")
    env = Entries(Scalar(), "an object of texts by variable", VARIABLE_NAME)
    cwd = text()
    url = url_of("http://", "https://")
    headers = Entries(header_value(), "an object of texts by header name", HEADER_NAME)
    enabled = Flag()
    request_timeout_ms = integer(1, DAY_MS)
    tool_filter = nested(ToolFilterSchema)

    @validates_schema
    def check_transport(self, data: dict[str, Any], **_: Any) -> None:
        if ("command" in data) == ("url" in data):
            raise ValidationError("an object with either command or url")


class McpSchema(Section):
    servers = Entries(nested(McpServerSchema), "an object of servers by name", SERVER_NAME)


class MaintenanceSchema(Section):
    prune_after = duration()
    max_entries = integer(1, 1_000_000_000)


class ResetSchema(Section):
    idle_minutes = seconds(525_600)


class SessionSchema(Section):
    queue_limit = integer(1, 100_000)
    maintenance = nested(MaintenanceSchema)
    reset = nested(ResetSchema)


class LoggingSchema(Section):
    level = choice("debug", "info", "warn", "error", "fatal", replaced={"trace": "debug", "silent": "fatal"})
    console_style = choice("pretty", "json", replaced={"compact": "pretty"})
    redact_patterns = several(pattern(), f"a list of {MAX_PATTERNS} regular expressions at most", MAX_PATTERNS)


class StorageSchema(Section):
    url = storage_url()


class ClusterSchema(Section):
    redis_url = url_of("redis://", "rediss://", "unix://")


class ConfigSchema(Section):
    """The whole file."""

    gateway = nested(GatewaySchema)
    agents = nested(AgentsSchema)
    models = nested(ModelsSchema)
    tools = nested(ToolsSchema)
    mcp = nested(McpSchema)
    session = nested(SessionSchema)
    logging = nested(LoggingSchema)
    storage = nested(StorageSchema)
    cluster = nested(ClusterSchema)


CONFIG = ConfigSchema()
