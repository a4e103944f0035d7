"""The system prompt: what stands in it and in which order."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.agents import prompt as prompt_module
from app.agents.context import BYTES_PER_TOKEN
from app.agents.prompt import FILES, FILES_SHARE, FRESH, MAX_FILE, MAX_FILES, system_prompt
from app.config.settings import Agent
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


# Files of the workspace.


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """An agent whose workspace exists."""
    (tmp_path / "workspace").mkdir()
    return replace(MAIN, workspace=tmp_path / "workspace")


def test_files_of_the_workspace_are_read_in_order(agent: Agent) -> None:
    """Behind the date and before the request's words, each under its name; other files are not read."""
    for name in ("TOOLS.md", "SOUL.md", "NOTES.md", "AGENTS.md"):
        (agent.workspace / name).write_text(f"\nthis is {name}\n")
    _, _, *files, instructions = system_prompt(agent, "Be brief.", TODAY).split("\n\n")
    assert files == [f"# {name}\nthis is {name}" for name in ("AGENTS.md", "SOUL.md", "TOOLS.md")]
    assert instructions == "Be brief."


def test_a_file_without_words_says_nothing(agent: Agent) -> None:
    """Not even its name."""
    (agent.workspace / "AGENTS.md").write_text(" \n")
    assert "AGENTS" not in system_prompt(agent, "", TODAY)


def test_a_long_file_is_cut_and_says_so(agent: Agent) -> None:
    """The model knows that there is more, and how much."""
    (agent.workspace / "AGENTS.md").write_text("x" * (MAX_FILE + 1))
    prompt = system_prompt(agent, "", TODAY)
    assert prompt.count("x") == MAX_FILE
    assert f"[AGENTS.md is cut here: {MAX_FILE} of {MAX_FILE + 1} characters]" in prompt


def test_a_file_of_just_the_bound_is_whole(agent: Agent) -> None:
    """In any script: the bound is in characters."""
    (agent.workspace / "AGENTS.md").write_text("語" * MAX_FILE)
    prompt = system_prompt(agent, "", TODAY)
    assert prompt.count("語") == MAX_FILE
    assert "cut here" not in prompt


@pytest.mark.parametrize("size", [MAX_FILE + 1, 5 * MAX_FILE, 100 * MAX_FILE])
def test_all_files_are_bounded(agent: Agent, size: int) -> None:
    """However large each of them is, all of them take only so much, and each that is cut says so."""
    for name in FILES:
        (agent.workspace / name).write_text("x" * size)
    prompt = system_prompt(agent, "", TODAY)
    assert len(prompt) < MAX_FILES + 1500
    assert prompt.count("is cut here") == len(FILES)


def test_a_small_window_gets_less(agent: Agent) -> None:
    """Files take no more than their share of the model's window."""
    (agent.workspace / "AGENTS.md").write_text("x" * MAX_FILE)
    prompt = system_prompt(agent, "", TODAY, window=2000)
    assert prompt.count("x") == int(2000 * FILES_SHARE * BYTES_PER_TOKEN)
    assert "is cut here" in prompt


def test_a_link_out_of_the_workspace_is_not_followed(agent: Agent, tmp_path: Path) -> None:
    """Neither a symbolic link, nor a hard link, nor a linked folder brings in what lies elsewhere."""
    (tmp_path / "secret.md").write_text("secret")
    (agent.workspace / "AGENTS.md").symlink_to(tmp_path / "secret.md")
    (agent.workspace / "SOUL.md").hardlink_to(tmp_path / "secret.md")
    (agent.workspace / "USER.md").symlink_to("../secret.md")
    (agent.workspace / "TOOLS.md").mkdir()
    (agent.workspace / "IDENTITY.md").write_text("mine")
    prompt = system_prompt(agent, "", TODAY)
    assert "secret" not in prompt
    assert prompt.endswith("# IDENTITY.md\nmine")


def test_a_link_within_the_workspace_is_followed(agent: Agent) -> None:
    """An agent may keep one file under two names."""
    (agent.workspace / "real.md").write_text("words")
    (agent.workspace / "AGENTS.md").symlink_to("real.md")
    assert system_prompt(agent, "", TODAY).endswith("# AGENTS.md\nwords")


def test_no_folder_is_made(tmp_path: Path) -> None:
    """A workspace that nobody used yet stays that way."""
    system_prompt(replace(MAIN, workspace=tmp_path / "a" / "b"), "", TODAY)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_file_is_read_anew(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment later at most; until then the disk is left alone."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(prompt_module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    path = agent.workspace / "AGENTS.md"
    path.write_text("first")
    assert "first" in system_prompt(agent, "", TODAY)
    path.write_text("second")
    assert "first" in system_prompt(agent, "", TODAY)
    clock.now += FRESH + 0.1
    assert "second" in system_prompt(agent, "", TODAY)
