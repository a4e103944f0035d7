"""kill -9 while turns are under way, at random and where it hurts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.killer import Killer
from tests.scripted import ScriptedProvider


@pytest.fixture
def killer(tmp_path: Path, provider: ScriptedProvider, seed: int) -> Iterator[Killer]:
    killer = Killer(tmp_path / "state", provider, seed)
    yield killer
    killer.close()


def test_nothing_is_lost_doubled_or_half(
    killer: Killer, kills: int, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each acknowledged turn is there once, each that is sent again with its key has one turn and one answer."""
    with capsys.disabled():
        print(f"\n--kills {kills} --seed {seed}", flush=True)
    killer.gateway.wait_until_up()
    try:
        for done in range(1, kills + 1):
            killer.round()
            if done % 100 == 0:
                report(killer, capsys)
    finally:
        report(killer, capsys)
    assert killer.found == {}


def report(killer: Killer, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print()
        for what, number in sorted(killer.counts.items()):
            print(f"{number:8,} {what}")
        for fault, cases in killer.found.items():
            print(f"{len(cases):8,} {fault}, such as {cases[0][:300]}", flush=True)
