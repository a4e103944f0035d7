"""Names of models and callers in policies, as people write them."""

from __future__ import annotations

import pytest

from app.config.matching import matches
from app.config.meant import is_caller, is_model


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("zai/glm-5", "zai"),
        ("zai/glm-5", "Z.AI"),
        ("zai/glm-5", " z-ai "),
        ("zai/glm-5", "zai/"),
        ("zai/glm-5", "z.ai / GLM-5"),
        ("zai/glm-5", "glm-5"),
        ("zai/glm-5", "glm*"),
        ("zai/glm-5", "*"),
        ("zai/glm-5", "zai/*"),
        ("z.ai/glm-5", "zai"),
        ("qwen/q", "dashscope"),
        ("openrouter/anthropic/claude", "anthropic/claude"),
        ("openrouter/anthropic/claude", "claude"),
        ("a/m[1m]", "a/m[1m]"),
        ("a/m[1m]", "m[1m]"),
        ("a/m", "\uff41/\uff4d"),
    ],
)
def test_a_model_is_meant(reference: str, name: str) -> None:
    """By its provider however that is called, its id, both, or a pattern; a bracket is none."""
    assert is_model(reference, name)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("zai/glm-5", "xai"),
        ("zai/glm-5", "zai/glm-4"),
        ("zai/glm-5", "glm"),
        ("zai/glm-5", ""),
        ("zai/glm-5", "/"),
        ("openrouter/anthropic/claude", "anthropic"),
        ("a/m1", "a/m[1m]"),
        ("a/mx", "a/m?"),
    ],
)
def test_another_model_is_not_meant(reference: str, name: str) -> None:
    """Who serves a model of somebody else's is the provider."""
    assert not is_model(reference, name)


@pytest.mark.parametrize(
    ("identity", "name"),
    [
        ("alice", "Alice"),
        ("Alice", "alice"),
        ("alice", " @alice "),
        ("@alice", "alice"),
        ("\uff21lice", "alice"),
        ("alice@example.org", "alice"),
        ("alice", "ALICE@example.org"),
        ("a@x.org", "A@X.org"),
    ],
)
def test_a_caller_is_meant(identity: str, name: str) -> None:
    """However the proxy and the file write the name."""
    assert is_caller(identity, name)


@pytest.mark.parametrize(("identity", "name"), [("bob", "alice"), ("a@x.org", "a@y.org"), ("alice2", "alice")])
def test_another_caller_is_not_meant(identity: str, name: str) -> None:
    """Two names are two people."""
    assert not is_caller(identity, name)


@pytest.mark.parametrize(
    ("name", "pattern", "matched"),
    [("a.c", "a.c", True), ("abc", "a.c", False), ("a\nc", "a*", True), ("abc", "*b*", True), ("ab", "*c", False)],
)
def test_patterns(name: str, pattern: str, matched: bool) -> None:
    """A star is anything, all else is itself."""
    assert matches(name, pattern) is matched
