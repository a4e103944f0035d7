"""The configuration: the file and the environment, checked and frozen; watched while the gateway runs."""

from app.config.document import EMPTY, merged, parse_path, with_names_once, with_value, without
from app.config.environment import Environment, read_environment
from app.config.explain import Line, explained, refusals
from app.config.faults import ConfigError, Fault
from app.config.json_schema import config_schema
from app.config.live import LiveSettings
from app.config.loading import check, load, read_text
from app.config.onboarding import make_state_dir, onboard
from app.config.redaction import REDACTED, redacted, redacted_parsed, restored
from app.config.rewriting import with_todays_keys
from app.config.secrecy import looks_secret
from app.config.settings import (
    LOCAL_MODEL,
    MAIN_AGENT,
    Agent,
    Auth,
    ChatCompletions,
    ControlUi,
    Exec,
    Gateway,
    Images,
    Logging,
    McpServer,
    Model,
    ModelChoice,
    Provider,
    RateLimit,
    Session,
    Settings,
    Tools,
    TrustedProxyAuth,
)
from app.config.watch import ConfigWatcher
from app.config.writing import StaleConfig, hash_of, write

__all__ = [
    "EMPTY",
    "LOCAL_MODEL",
    "MAIN_AGENT",
    "REDACTED",
    "Agent",
    "Auth",
    "ChatCompletions",
    "ConfigError",
    "ConfigWatcher",
    "ControlUi",
    "Environment",
    "Exec",
    "Fault",
    "Gateway",
    "Images",
    "Line",
    "LiveSettings",
    "Logging",
    "McpServer",
    "Model",
    "ModelChoice",
    "Provider",
    "RateLimit",
    "Session",
    "Settings",
    "StaleConfig",
    "Tools",
    "TrustedProxyAuth",
    "check",
    "config_schema",
    "explained",
    "hash_of",
    "load",
    "looks_secret",
    "make_state_dir",
    "merged",
    "onboard",
    "parse_path",
    "read_environment",
    "read_text",
    "redacted",
    "redacted_parsed",
    "refusals",
    "restored",
    "with_names_once",
    "with_todays_keys",
    "with_value",
    "without",
    "write",
]
