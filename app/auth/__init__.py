"""From a request to its caller: host and origin guards, trusted proxies, credentials and the failed-attempt limiter."""

from app.auth.caller import ADMIN, ALL_SCOPES, READ, WRITE, Caller
from app.auth.credentials import Authenticator
from app.auth.limiter import AttemptLimiter
from app.auth.origins import Guard
from app.auth.request import Request, check_single, repeated_names

__all__ = [
    "ADMIN",
    "ALL_SCOPES",
    "READ",
    "WRITE",
    "AttemptLimiter",
    "Authenticator",
    "Caller",
    "Guard",
    "Request",
    "check_single",
    "repeated_names",
]
