"""What ``docs/configuration.md`` says of keys is what becomes of them."""

from __future__ import annotations

import re
from pathlib import Path

from app.config.fields import SAMPLING
from app.config.restricting import TREATMENTS, Treatment
from app.config.well_known import CLOSED, WELL_KNOWN

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
WORDS = {Treatment.EXACT: "obeyed", Treatment.STRICTER: "narrower", Treatment.REFUSE: "refused"}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_keys_that_restrict() -> None:
    """Each has its row, with what becomes of it; those that are ignored are named together."""
    rows = dict(re.findall(r"^\| `([^`]+)` \| (\w+) \|", section("Keys that restrict"), re.MULTILINE))
    assert rows == {key: WORDS[each] for key, each in TREATMENTS.items() if each is not Treatment.SAFE}
    (ignored,) = re.findall(r"^Ignored, [^:]*: (.*)\.$", section("Keys that restrict"), re.MULTILINE)
    safe = [key for key, each in TREATMENTS.items() if each is Treatment.SAFE]
    assert re.findall(r"`([^`]+)`", ignored) == safe


def test_providers_that_need_no_entry() -> None:
    """Each has a row with its variables and its address."""
    rows = [row.split(" | ") for row in section("Models").splitlines() if row.startswith("| `")]
    told = {
        name: (set(re.findall(r"`([^`]+)`", row[1])), re.findall(r"`([^`]+)`", row[2])[0])
        for row in rows
        if len(row) == 3
        for name in re.findall(r"`([^`]+)`", row[0])
    }
    assert told == {name: (set(known.variables), known.base_url) for name, known in WELL_KNOWN.items()}


def test_providers_that_cannot_be_used() -> None:
    """Each is named with what to do instead."""
    rows = dict(re.findall(r"^\| `([^`]+)` \| ([^|]+) \|$", section("Models"), re.MULTILINE))
    assert rows == dict(CLOSED)


def test_parameters_of_models() -> None:
    """Those that count are all of them, under the names that OpenClaw has."""
    named = section("Models").split("`params` of")[1].split("`thinkingDefault`")[0]
    camel = {name for name in SAMPLING if "_" not in name}
    assert set(re.findall(r"`([a-zA-Z]+)`", named)) == camel
