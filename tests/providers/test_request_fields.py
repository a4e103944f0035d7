"""Which of a caller's fields reach which server, and that the documentation says the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.config.schemas import CompatSchema
from app.providers.request_fields import COMPATIBLE, COMPLETIONS, NEVER, OPENAI, taken

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text("utf-8")


def section(title: str) -> str:
    return PAGE.split(f"## {title}")[1].split("\n## ")[0]


def names(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"`([a-z_]+)`", text))


def test_what_every_server_knows_is_sent_to_every_server() -> None:
    """Chat Completions' own fields reach OpenAI and compatible servers alike."""
    assert taken("openai-completions", openai=True) & taken("openai-completions", openai=False) >= COMPLETIONS


def test_openai_is_sent_nothing_that_it_refuses() -> None:
    """Fields of vLLM and llama.cpp are a 400 there, and OpenAI's own are unknown to others."""
    assert not taken("openai-completions", openai=True) & COMPATIBLE
    assert not taken("openai-completions", openai=False) & OPENAI


@pytest.mark.parametrize("api", ["openai-completions", "openai-responses", "anthropic-messages"])
@pytest.mark.parametrize("openai", [True, False])
def test_the_operators_list_replaces_the_usual_one(api: str, openai: bool) -> None:
    """Named fields are passed on, others of the usual list are not, and none that reaches into the server."""
    chosen = taken(api, openai=openai, pass_fields=["min_p", "my_own", *NEVER])
    assert {"min_p", "my_own"} <= chosen
    assert not chosen & (COMPATIBLE - {"min_p"})
    assert not chosen & NEVER
    assert not taken(api, openai=openai, pass_fields=[]) & COMPATIBLE


def test_no_field_has_two_meanings() -> None:
    """What is never passed on stands in no list of what is."""
    assert not NEVER & (COMPLETIONS | OPENAI | COMPATIBLE)


def test_the_documentation_has_every_field() -> None:
    """The table and the list below it name what the code passes on, and what it never does."""
    passed, never = section("What of a caller's request").split("These are never passed on")
    assert (COMPLETIONS | OPENAI | COMPATIBLE) - names(passed) == set()
    assert NEVER - names(never) == set()


def test_the_documentation_has_every_compat_key() -> None:
    """Each key that is read is described."""
    described = set(re.findall(r"`([A-Za-z]+)(?:: \S+)?`", section("`compat`")))
    assert {str(field.data_key) for field in CompatSchema().fields.values()} - described == set()
