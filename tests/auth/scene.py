"""Settings, requests and a clock for the tests of auth."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

from app.auth import AttemptLimiter, Authenticator, Request
from app.config.settings import Auth, ControlUi, Gateway, Settings


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


TOKEN = Auth(mode="token", token="right")


def settings(
    auth: Auth = TOKEN,
    *,
    proxies: tuple[str, ...] = (),
    hosts: tuple[str, ...] = (),
    public: str | None = None,
    cors: tuple[str, ...] = (),
    control_ui: tuple[str, ...] = (),
) -> Settings:
    gateway = Gateway(
        auth=auth,
        trusted_proxies=tuple(ip_network(proxy) for proxy in proxies),
        allowed_hosts=hosts,
        public_origin=public,
        cors_allowed_origins=cors,
        control_ui=ControlUi(allowed_origins=control_ui),
    )
    return Settings(
        path=Path("openclaw.json"),
        state_dir=Path(),
        gateway=gateway,
        agents={},
        default_agent="main",
        providers={},
        storage_url="sqlite://",
    )


def authenticator(auth: Auth, *proxies: str, limiter: AttemptLimiter | None = None) -> Authenticator:
    return Authenticator(settings(auth, proxies=proxies), AttemptLimiter() if limiter is None else limiter)


def request(peer: str = "127.0.0.1", repeated: tuple[str, ...] = (), **headers: Any) -> Request:
    """``x_real_ip="…"`` is the header X-Real-IP; ``bearer="…"`` is short for its Authorization."""
    if "bearer" in headers:
        headers["authorization"] = f"Bearer {headers.pop('bearer')}"
    return Request(peer, {name.replace("_", "-"): value for name, value in headers.items()}, frozenset(repeated))
