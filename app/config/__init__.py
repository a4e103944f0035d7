"""The configuration: the file and the environment, checked and frozen; watched while the gateway runs."""

from app.config.environment import Environment, read_environment
from app.config.faults import ConfigError, Fault
from app.config.live import LiveSettings
from app.config.loading import load
from app.config.onboarding import make_state_dir, onboard
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

__all__ = [
    "LOCAL_MODEL",
    "MAIN_AGENT",
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
    "LiveSettings",
    "Logging",
    "McpServer",
    "Model",
    "ModelChoice",
    "Provider",
    "RateLimit",
    "Session",
    "Settings",
    "Tools",
    "TrustedProxyAuth",
    "load",
    "looks_secret",
    "make_state_dir",
    "onboard",
    "read_environment",
]
