"""The error tree: each class has its own answer, and the envelope is one."""

from __future__ import annotations

import inspect
import re

import pytest

from app import errors
from app.errors import (
    GatewayError,
    InternalError,
    Overloaded,
    ProviderRateLimit,
    TooManyAttempts,
    Unauthorized,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)]


@pytest.mark.parametrize(
    ("kind", "status", "type_", "code"),
    [
        ("InvalidRequest", 400, "invalid_request_error", None),
        ("ModelNotFound", 404, "invalid_request_error", "model_not_found"),
        ("MethodNotAllowed", 405, "invalid_request_error", None),
        ("RequestTimeout", 408, "invalid_request_error", None),
        ("Conflict", 409, "invalid_request_error", None),
        ("BodyTooLarge", 413, "invalid_request_error", None),
        ("UnsupportedMediaType", 415, "invalid_request_error", None),
        ("Unauthorized", 401, "unauthorized", "invalid_api_key"),
        ("Forbidden", 403, "forbidden", None),
        ("NotFound", 404, "not_found_error", None),
        ("TooManyAttempts", 429, "rate_limited", None),
        ("Overloaded", 503, "overloaded", None),
        ("StorageUnavailable", 503, "storage_unavailable", None),
        ("InternalError", 500, "api_error", None),
        ("ToolChoiceUnmet", 502, "api_error", None),
        ("RunTimeout", 504, "timeout_error", None),
        ("RunCancelled", 499, "cancelled", None),
        ("ProviderError", 502, "upstream_error", None),
        ("ProviderFault", 502, "upstream_error", None),
        ("ProviderRefused", 400, "invalid_request_error", None),
        ("ContextOverflow", 400, "invalid_request_error", "context_length_exceeded"),
        ("ProviderOutOfCredit", 502, "upstream_error", "insufficient_quota"),
        ("ProviderAuthError", 502, "upstream_auth_error", None),
        ("ProviderRateLimit", 429, "rate_limit_error", None),
        ("ProviderTimeout", 504, "timeout_error", None),
    ],
)
def test_every_class_has_its_answer(kind: str, status: int, type_: str, code: str | None) -> None:
    """Status, type and code are those of the contract."""
    chosen = getattr(errors, kind)
    assert (chosen.status, chosen.type, chosen.code) == (status, type_, code)


def test_no_class_is_without_a_row_above() -> None:
    """A new error gets its answer pinned as well."""
    rows = test_every_class_has_its_answer.pytestmark[0].args[1]  # type: ignore[attr-defined]
    names = {row[0] for row in rows}
    assert names == {kind.__name__ for kind in CLASSES if not kind.__name__.startswith("_")} - {"GatewayError"}


def test_the_tree_is_drawn_as_it_is() -> None:
    """The module's head shows every class with its status, each under its parent's branch."""
    drawn = dict(re.findall(r"[├└]── (\w+)\s+(?:(\d{3})|code)", errors.__doc__ or ""))
    for kind in CLASSES:
        if drawn.get(kind.__name__):
            assert int(drawn[kind.__name__]) == kind.status
    assert set(drawn) == {kind.__name__ for kind in CLASSES if not kind.__name__.startswith("_")} - {"GatewayError"}


def test_the_envelope() -> None:
    """Four members, always all of them."""
    assert GatewayError("what", param="messages[0]", code="c").envelope() == {
        "error": {"message": "what", "type": "api_error", "param": "messages[0]", "code": "c"}
    }
    assert GatewayError("what").envelope()["error"] == {
        "message": "what",
        "type": "api_error",
        "param": None,
        "code": None,
    }


def test_headers_belong_to_one_error() -> None:
    """What one error adds is not on the next."""
    given = {"Retry-After": "1"}
    first = ProviderRateLimit("a", headers=given)
    first.headers["X"] = "y"
    assert given == {"Retry-After": "1"}
    assert ProviderRateLimit("b").headers == {}


def test_an_error_told_again_has_headers_of_its_own() -> None:
    """Many runs may end with one error: what one caller is told of its run besides, no other is."""
    first = errors.Overloaded("full", retry_after=2)
    told = first.again()
    told.headers["x-should-retry"] = "false"
    assert first.headers == {"Retry-After": "2"} == first.again().headers


def test_a_code_of_its_own_is_not_the_classs() -> None:
    """Giving one error a code changes no other."""
    errors.ModelNotFound("a", code="other")
    assert errors.ModelNotFound("b").code == "model_not_found"


def test_unauthorized_says_nothing_but_how() -> None:
    """The message is fixed and the challenge is there."""
    error = Unauthorized()
    assert (error.message, error.headers) == ("Unauthorized", {"WWW-Authenticate": "Bearer"})


@pytest.mark.parametrize("kind", [Overloaded, TooManyAttempts])
def test_errors_that_say_when_to_come_back(kind: type[Overloaded]) -> None:
    """Retry-After is in whole seconds."""
    assert kind("later", retry_after=7).headers == {"Retry-After": "7"}


def test_the_unexpected_has_fixed_text() -> None:
    """The request id is all that it tells."""
    assert InternalError("req-1").message == "internal error (request id req-1)"


def test_which_faults_may_pass() -> None:
    """Of the provider's errors only the unspecific one is worth another try."""
    kinds = [kind for kind in CLASSES if issubclass(kind, errors.ProviderError)]
    assert [kind.__name__ for kind in kinds if kind.retryable] == ["ProviderError"]
