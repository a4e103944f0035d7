from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.providers.local.processes import gone, keepers, models, wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def gateway() -> Iterator[subprocess.Popen[str]]:
    """The small gateway of ``forking``, in a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.providers.local.forking"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )
    with process:
        yield process
        os.killpg(process.pid, signal.SIGKILL)


def test_workers_share_a_model_that_outlives_none_of_them(gateway: subprocess.Popen[str]) -> None:
    """Two forked workers use one model. It stays while one of them lives, and kill -9 of all leaves nothing behind."""
    assert gateway.stdout is not None
    first, second = (json.loads(gateway.stdout.readline()) for _ in range(2))
    assert first["url"] == second["url"]
    [kept] = keepers(gateway.pid)
    [served] = models(kept)

    master, first_worker, second_worker = map(psutil.Process, (gateway.pid, first["pid"], second["pid"]))

    first_worker.kill()
    master.kill()
    wait_until(lambda: gone(master) and gone(first_worker))
    assert not gone(kept)
    assert not gone(served)

    second_worker.kill()
    wait_until(lambda: gone(kept) and gone(served), 1)
