"""The checked configuration, frozen: what every other part reads.

Built by ``load`` from ``openclaw.json`` and the environment; never changed in place. A reload makes a new ``Settings``.
Times are in the unit of the name; secrets never show in ``repr``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.config.matching import matches
from app.config.reading import FileState

LOCAL_MODEL = "local/smollm2-135m"
MAIN_AGENT = "main"
# What one answer of a provider may bring: the longest ones that models give, each token in an event of its own.
MAX_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RateLimit:
    max_attempts: int = 10
    window_ms: int = 60_000
    lockout_ms: int = 300_000
    exempt_loopback: bool = True


@dataclass(frozen=True, slots=True)
class TrustedProxyAuth:
    user_header: str
    required_headers: tuple[str, ...] = ()
    allow_users: tuple[str, ...] = ()
    allow_loopback: bool = False


@dataclass(frozen=True, slots=True)
class Auth:
    mode: str = "token"  # token | password | trusted-proxy | none
    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    rate_limit: RateLimit = RateLimit()
    trusted_proxy: TrustedProxyAuth | None = None

    @property
    def secret(self) -> str | None:
        """What a caller must show; under ``trusted-proxy`` what a caller on this host may show instead."""
        if self.mode == "none":
            return None
        return self.token if self.mode == "token" else self.password


@dataclass(frozen=True, slots=True)
class Images:
    allow_url: bool = False
    url_allowlist: tuple[str, ...] = ()
    allowed_mimes: tuple[str, ...] = ("image/png", "image/jpeg", "image/gif", "image/webp")
    max_bytes: int = 10_485_760
    max_redirects: int = 3
    timeout_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class ChatCompletions:
    enabled: bool = False
    max_body_bytes: int = 20_971_520
    images: Images = Images()
    max_image_parts: int = 8  # in the last message of the user
    max_total_image_bytes: int = 20_971_520  # decoded, of those
    reasoning: bool = False
    max_messages: int = 100_000  # of one request


@dataclass(frozen=True, slots=True)
class ControlUi:
    enabled: bool = True
    base_path: str = "/"
    allowed_origins: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InvokedTools:
    """deny: tools that no client may call for by itself, whatever an agent may."""

    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What strangers may take of a worker.

    per_address, per_proxy: connections on which nobody has shown yet who it is, of one address, and of this machine or
    a trusted proxy. headers_seconds: for a request's headers. body_seconds: for each 256 KiB of its body.
    """

    per_address: int = 256
    per_proxy: int = 2048
    headers_seconds: int = 12
    body_seconds: int = 20


@dataclass(frozen=True, slots=True)
class Gateway:
    port: int = 18789
    bind: str = "loopback"  # loopback | lan | custom
    custom_bind_host: str | None = None
    auth: Auth = Auth()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    public_origin: str | None = None
    max_runs: int = 2000
    connections: ConnectionLimits = ConnectionLimits()
    chat_completions: ChatCompletions = ChatCompletions()
    responses_enabled: bool = False
    cors_allowed_origins: tuple[str, ...] = ()
    control_ui: ControlUi = ControlUi()
    tools: InvokedTools = InvokedTools()
    reload_mode: str = "hybrid"  # "off" turns watching off

    @property
    def bind_host(self) -> str:
        """The address to listen on."""
        if self.bind == "lan":
            return "0.0.0.0"  # noqa: S104 - what "lan" asks for
        if self.bind == "custom" and self.custom_bind_host:
            return self.custom_bind_host
        return "127.0.0.1"

    @property
    def address(self) -> str:
        """``host:port`` to listen on."""
        return _host_and_port(self.bind_host, self.port)

    @property
    def url(self) -> str:
        """Where a caller on this machine finds the gateway. No path."""
        return f"http://{_host_and_port(_TO_CALL.get(self.bind_host, self.bind_host), self.port)}"


# An address that means every interface can be listened on, not called.
_TO_CALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def _host_and_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# How commands may run, from the narrowest to the widest.
SECURITIES = ("deny", "allowlist", "full")


@dataclass(frozen=True, slots=True)
class Exec:
    """How commands may run.

    security: the narrowest of what ``security``, ``mode``, ``ask``, ``host`` and ``strictInlineEval`` ask for; unset,
    the profile decides. barred: names that never run under an allowlist, whoever lists them. network: whether they have
    one. max_memory_bytes, max_processes: of a command with all that it starts.
    """

    security: str | None = None  # deny | allowlist | full
    safe_bins: tuple[str, ...] | None = None
    timeout_seconds: int | None = None
    barred: tuple[str, ...] = ()
    network: bool = True
    max_memory_bytes: int | None = None
    max_processes: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that narrows a tool policy further, and never widens it.

    where: the key, as the file has it. profile with also_allow, and allow: ceilings; ``None`` where nothing is said.
    model: the limit is for runs that may ask what this means, see ``is_model``; identity: for those of this caller, who
    came through the proxy that names its users, see ``is_caller``.
    """

    where: str
    profile: str | None = None
    also_allow: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    model: str | None = None
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """A tool policy as written; ``None`` means that the key is absent."""

    profile: str | None = None  # minimal | readonly | coding | full
    allow: tuple[str, ...] | None = None
    also_allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    exec: Exec = Exec()
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """``provider/model`` references: the one to use, and those to fall back to."""

    primary: str = LOCAL_MODEL
    fallbacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent with ``agents.defaults`` already filled in.

    private: the gateway's own files and folders, which no tool may touch, wherever the workspace is.
    overrides: the models that callers may choose instead, ``*`` for any; None where they may choose all.
    params: sampling where a caller says nothing, by ``provider/model``.
    """

    id: str
    name: str
    workspace: Path
    model: ModelChoice = ModelChoice()
    system_prompt: str | None = None
    timeout_seconds: float = 600
    max_turns: int = 50
    max_concurrent: int | None = None
    context_tokens: int | None = None
    tools: Tools = Tools()
    private: tuple[Path, ...] = ()
    overrides: tuple[str, ...] | None = None
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))

    def may_be_answered_by(self, reference: str) -> bool:
        """Whether a caller may choose this ``provider/model``; the agent's own are always allowed."""
        if self.overrides is None or reference in (self.model.primary, *self.model.fallbacks):
            return True
        return any(matches(reference.lower(), allowed.lower()) for allowed in self.overrides)


@dataclass(frozen=True, slots=True)
class Compat:
    """What a server takes and how, where it differs: ``compat`` of a provider and of its models.

    ``None`` means that nothing is said: what most servers of the wire format do holds. ``docs/providers.md`` has what
    each key does.
    """

    max_tokens_field: str | None = None  # max_tokens | max_completion_tokens
    supports_usage_in_streaming: bool | None = None
    supports_reasoning_effort: bool | None = None
    supports_strict_mode: bool | None = None
    supports_temperature: bool | None = None
    supports_tools: bool | None = None
    supports_json_schema_response_format: bool | None = None
    supports_prompt_cache_key: bool | None = None
    supports_long_cache_retention: bool | None = None
    requires_tool_result_name: bool | None = None
    requires_assistant_after_tool_result: bool | None = None
    requires_thinking_as_text: bool | None = None
    requires_mistral_tool_ids: bool | None = None
    requires_string_content: bool | None = None
    requires_reasoning_content_on_assistant_messages: bool | None = None
    strict_message_keys: bool | None = None
    thinking_format: str | None = None
    reasoning_effort_map: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    supported_reasoning_efforts: tuple[str, ...] = ()
    tool_call_arguments_encoding: str | None = None  # html-entities
    unsupported_tool_schema_keywords: tuple[str, ...] = ()
    zai_tool_stream: bool | None = None
    open_router_routing: Mapping[str, Any] | None = None
    vercel_gateway_routing: Mapping[str, Any] | None = None

    def over(self, base: Compat) -> Compat:
        """This, and where it says nothing what ``base`` says."""
        said = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) not in _UNSAID}
        return replace(base, **said) if said else base


_UNSAID: tuple[Any, ...] = (None, (), {})
# Of a server that is as most are; what says nothing is this very object, so that it is known at a glance.
NO_COMPAT = Compat()


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of a provider's catalogue.

    api, base_url: instead of the provider's. headers: besides the provider's. body: fields that the operator adds to
    every request, over the caller's.
    """

    id: str
    name: str
    input: tuple[str, ...] = ("text",)
    context_window: int | None = None
    max_tokens: int | None = None
    reasoning: bool = False
    cost: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    api: str | None = None
    base_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    compat: Compat = NO_COMPAT
    body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Provider:
    """One entry of ``models.providers``, or a well-known one that an agent names and the environment has the key of.

    ``local`` is built in and not listed here unless the file configures it.

    auth_header: the key goes into ``Authorization: Bearer``, also where the wire format has a header of its own.
    dialect:     ``openai`` for OpenAI's own servers, ``compatible`` for others; None where the address tells.
    pass_fields: names of the caller's fields that are passed on, instead of the usual ones.
    max_answer_bytes: what one answer may bring on the wire, unpacked.
    compat, input, body: of models that the list doesn't name; bodies: of some of them, by id.
    """

    id: str
    base_url: str
    api: str = "openai-completions"  # | openai-responses | anthropic-messages
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    timeout_seconds: float = 120
    max_answer_bytes: int = MAX_ANSWER_BYTES
    models: tuple[Model, ...] = ()
    auth_header: bool = False
    dialect: str | None = None
    pass_fields: tuple[str, ...] | None = None
    input: tuple[str, ...] = ("text",)
    compat: Compat = NO_COMPAT
    body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    bodies: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class McpServer:
    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    enabled: bool = True
    request_timeout_ms: int = 60_000
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    queue_limit: int = 16
    prune_after_seconds: float = 30 * 86_400
    max_entries: int = 10_000
    idle_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Logging:
    level: str = "info"
    console_style: str = "pretty"  # pretty | json
    redact_patterns: tuple[re.Pattern[str], ...] = ()


SQLITE = "sqlite:///"


def sqlite_path(url: str) -> Path | None:
    """The file of a ``sqlite:///`` URL, None for another database."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def backup_of(config_path: Path) -> Path:
    """Where the text before the last change is kept."""
    return config_path.with_name(f"{config_path.name}.bak")


def draft_of(config_path: Path) -> Path:
    """Where a new text is written before it takes the file's place."""
    return config_path.with_name(f".{config_path.name}.draft")


def own_files(config_path: Path, storage_url: str) -> tuple[Path, ...]:
    """The configuration and all sessions: the gateway's own wherever they are, in the state folder or outside."""
    written = Path(os.path.realpath(config_path))  # a link stays one: what is written stands beside its target
    database = sqlite_path(storage_url)
    beside = [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")] if database else []
    return (config_path, backup_of(written), draft_of(written), *beside)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, with where it came from.

    agents: by id, in the file's order. providers: by id. warnings: lines to log once after a load.
    aliases: ``provider/model`` by other name, in lower case.
    env_secrets: of ``env`` and ``.env``, for no log to show. files: all that the load looked at, as it was then.
    credentials_dir: where systemd puts the service's secrets.
    """

    path: Path
    state_dir: Path
    gateway: Gateway
    agents: Mapping[str, Agent]
    default_agent: str
    providers: Mapping[str, Provider]
    storage_url: str = field(repr=False)
    tools: Tools = Tools(profile="minimal")
    mcp_servers: Mapping[str, McpServer] = field(default_factory=lambda: MappingProxyType({}))
    session: Session = Session()
    logging: Logging = Logging()
    redis_url: str | None = field(default=None, repr=False)
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    env_secrets: tuple[str, ...] = field(default=(), repr=False)
    files: Mapping[Path, FileState] = field(default_factory=lambda: MappingProxyType({}), repr=False, compare=False)
    credentials_dir: Path | None = None

    @property
    def private_dirs(self) -> tuple[Path, ...]:
        """Folders that are the gateway's own as a whole."""
        return (self.state_dir, self.credentials_dir) if self.credentials_dir else (self.state_dir,)

    @property
    def uses_local_model(self) -> bool:
        """Whether an agent may call the built-in model, as its first choice or to fall back to."""
        local = LOCAL_MODEL.partition("/")[0]
        if local in self.providers:
            return False
        choices = (agent.model for agent in self.agents.values())
        return any(ref.startswith(f"{local}/") for choice in choices for ref in (choice.primary, *choice.fallbacks))
