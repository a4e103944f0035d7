"""Everything that can go wrong for a caller, and the one envelope that tells it.

GatewayError
├── InvalidRequest            400  invalid_request_error
│   ├── ModelNotFound         404  code model_not_found
│   ├── MethodNotAllowed      405
│   ├── RequestTimeout        408
│   ├── Conflict              409
│   ├── BodyTooLarge          413
│   └── UnsupportedMediaType  415
├── Unauthorized              401  unauthorized / invalid_api_key
├── Forbidden                 403  forbidden
├── NotFound                  404  not_found_error
├── TooManyAttempts           429  rate_limited
├── Overloaded                503  overloaded
├── StorageUnavailable        503  storage_unavailable
├── InternalError             500  api_error
├── ToolChoiceUnmet           502  api_error
├── RunTimeout                504  timeout_error
├── RunCancelled              499  cancelled
└── ProviderError             502  upstream_error
    ├── ProviderFault         502  trying again won't help
    ├── ProviderRefused       400  invalid_request_error (the provider says that the request is wrong)
    │   └── ContextOverflow   400  code context_length_exceeded
    ├── ProviderAuthError     502  upstream_auth_error
    ├── ProviderOutOfCredit   502  upstream_error, code insufficient_quota
    ├── ProviderRateLimit     429  rate_limit_error
    └── ProviderTimeout       504  timeout_error

Below the doors code raises these; the doors render them and nothing else.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any, Self


class GatewayError(Exception):
    """A fault with its own answer.

    message: what happened and what to do, safe to show to the caller.
    param:   path of the request field at fault, such as ``messages[2].role``.
    code:    machine-readable detail; the class has the default.
    headers: extra response headers, such as ``Retry-After``.
    details: for programs, where the WebSocket protocol has a shape for them.
    """

    status = 500
    type = "api_error"
    code: str | None = None
    details: Mapping[str, Any] | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if details is not None:
            self.details = details
        self.param = param
        if code is not None:
            self.code = code
        self.headers: dict[str, str] = dict(headers or {})

    def let_go(self) -> Self:
        """Forget where it came from: an error that is kept would keep all that those frames hold."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self

    def again(self) -> Self:
        """The same error, to be raised by somebody else, who may add headers of its own."""
        same = type(self).__new__(type(self), *self.args)
        vars(same).update(vars(self), headers=dict(self.headers))
        return same

    def envelope(self) -> dict[str, Any]:
        """``{"error": {message, type, param, code}}``, as the OpenAI API answers errors."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class InvalidRequest(GatewayError):
    status = 400
    type = "invalid_request_error"


class ModelNotFound(InvalidRequest):
    status = 404
    code = "model_not_found"


class MethodNotAllowed(InvalidRequest):
    status = 405


class RequestTimeout(InvalidRequest):
    """The client took too long to send its request."""

    status = 408


class Conflict(InvalidRequest):
    status = 409


class BodyTooLarge(InvalidRequest):
    status = 413


class UnsupportedMediaType(InvalidRequest):
    status = 415


class Unauthorized(GatewayError):
    status = 401
    type = "unauthorized"
    code = "invalid_api_key"

    def __init__(self, message: str = "Unauthorized") -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(GatewayError):
    status = 403
    type = "forbidden"


class NotFound(GatewayError):
    status = 404
    type = "not_found_error"


class _RetryLater(GatewayError):
    """An error that says when to come back; ``retry_after`` in whole seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, headers={"Retry-After": str(retry_after)})


# Seconds until a caller may ask again for what the storage could not do.
RETRY_STORAGE = 5


class TooManyAttempts(_RetryLater):
    status = 429
    type = "rate_limited"


class Overloaded(_RetryLater):
    status = 503
    type = "overloaded"


class StorageUnavailable(_RetryLater):
    """Sessions can't be read or stored now. reason: such as ``the disk is full``; it names no file."""

    status = 503
    type = "storage_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"sessions can't be read or stored now: {reason}; try again later", retry_after=RETRY_STORAGE)


class InternalError(GatewayError):
    """The unexpected: the caller gets fixed text and the request id, the log gets the rest."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"internal error (request id {request_id})")


_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})


def shortage(fault: BaseException | None) -> Overloaded | None:
    """What a fault says of this machine rather than of the request or of a provider: no memory, no file left."""
    if isinstance(fault, MemoryError):
        return Overloaded("the gateway has no memory left for this", retry_after=2)
    if isinstance(fault, OSError) and fault.errno in _NO_FILES:
        return Overloaded("the gateway has too many files open", retry_after=2)
    if isinstance(fault, OSError) and fault.errno == errno.ENOMEM:
        return Overloaded("the gateway has no memory left for this", retry_after=2)
    return None


def unexpected(fault: BaseException, reference: str) -> GatewayError:
    """What the caller is told of any exception. reference: stands in the log as well."""
    if isinstance(fault, GatewayError):
        return fault
    return shortage(fault) or InternalError(reference)


class ToolChoiceUnmet(GatewayError):
    """The model did not make the tool call that the caller demands."""

    status = 502


class RunTimeout(GatewayError):
    status = 504
    type = "timeout_error"


class RunCancelled(GatewayError):
    """Somebody ended the run: its client went away, an abort, or the gateway's drain."""

    status = 499
    type = "cancelled"


class ProviderError(GatewayError):
    """The model's provider failed. ``retryable``: the same call may work a moment later."""

    status = 502
    type = "upstream_error"
    retryable = True


class ProviderFault(ProviderError):
    """A failure that trying again won't cure."""

    retryable = False


class ProviderRefused(ProviderError):
    status = 400
    type = "invalid_request_error"
    retryable = False


class ContextOverflow(ProviderRefused):
    """The messages don't fit the model's context window."""

    code = "context_length_exceeded"


class ProviderAuthError(ProviderError):
    status = 502
    type = "upstream_auth_error"
    retryable = False


class ProviderOutOfCredit(ProviderError):
    """The operator's account at the provider is empty."""

    status = 502
    code = "insufficient_quota"
    retryable = False


class ProviderRateLimit(ProviderError):
    status = 429
    type = "rate_limit_error"
    retryable = False


class ProviderTimeout(ProviderError):
    status = 504
    type = "timeout_error"
    retryable = False
