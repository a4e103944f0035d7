"""The system prompt: what stands in it and in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from app.agents.prompt import system_prompt
from tests.agents.scene import MAIN

TODAY = date(2026, 3, 1)


def test_the_gateways_own_prompt_is_short() -> None:
    """Every call pays for it: it stays under 1,500 characters."""
    assert len(system_prompt(replace(MAIN, name="x" * 64), "", TODAY)) < 1500


def test_the_order_is_prompt_date_instructions() -> None:
    """The agent's own words come first, the request's last, each apart by a blank line."""
    prompt = system_prompt(replace(MAIN, system_prompt="Talk like a pirate."), "Be brief.\n\nNo lists.", TODAY)
    assert prompt.split("\n\n") == ["Talk like a pirate.", "Today is Sunday, 01 March 2026.", "Be brief.", "No lists."]


def test_without_instructions_nothing_follows() -> None:
    """A request without system messages adds nothing, not even blank lines."""
    assert system_prompt(MAIN, "", TODAY).endswith("2026.")


def test_an_agent_with_a_name_knows_it() -> None:
    """A name other than the id is told to the model; the id alone is not."""
    assert "Ada" in system_prompt(replace(MAIN, name="Ada"), "", TODAY)
    assert "main" not in system_prompt(MAIN, "", TODAY)


def test_the_agents_own_prompt_replaces_the_default() -> None:
    """What the operator wrote is not mixed with the default."""
    assert system_prompt(replace(MAIN, name="Ada", system_prompt="Own."), "", TODAY).startswith("Own.\n\nToday")
