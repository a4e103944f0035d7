"""What stands in ``deploy/`` for operators to copy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "deploy" / "openclaw-gateway.service"

# What lies over a part of /proc, so that the kernel lets nobody below root mount another: tried, each for itself.
OVER_PROC = ("ProtectKernelTunables", "ProtectKernelLogs", "ProtectHostname", "ProcSubset")


def test_the_unit_leaves_little_exposed() -> None:
    """By systemd's own measure, where 10 is a service without any protection and 5 is medium."""
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("there is no systemd-analyze here")
    done = subprocess.run(
        [analyze, "security", "--offline=yes", str(UNIT)], capture_output=True, text=True, timeout=60, check=False
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    if found is None:
        pytest.skip(f"systemd-analyze can't tell here: {done.stderr[:200]}")
    assert float(found[1]) < 5


def test_the_unit_lets_bubblewrap_work() -> None:
    """It allows the namespaces and mounts of the sandbox, and nothing in it keeps the sandbox from its own /proc."""
    keys = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE))
    assert set(keys["RestrictNamespaces"].split()) >= {"user", "mnt", "pid", "ipc", "uts", "net"}
    assert set(keys["SystemCallFilter"].split()) >= {"@system-service", "@mount"}
    assert "AF_NETLINK" in keys["RestrictAddressFamilies"].split()
    assert not keys.keys() & set(OVER_PROC)
