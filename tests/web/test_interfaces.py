"""This machine's own addresses are not the web, whatever they look like."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_public_addresses_of_its_own_are_refused() -> None:
    """First and second addresses of an interface, those that it gets later, networks that end here, IPv6, NAT64."""
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    if (
        not shutil.which("ip")
        or not shutil.which("unshare")
        or subprocess.run([*alone, "true"], check=False).returncode
    ):
        pytest.skip("no network of one's own can be made here")
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.web.own_address"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    hosts = ("93.184.216.1", "93.184.216.1", "93.184.216.2", "151.101.0.7", "2606:2800:220:1::1", "64:ff9b::5db8:d801")
    assert done.stdout.splitlines() == [f"{host} resolves to an address of this machine" for host in hosts], done.stderr
