"""What the machine gives: Python, and a sandbox for commands."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from app.agents.tools import sandbox
from app.agents.tools.sandbox import NoSandbox
from app.cli.doctor.finding import FAIL, OK, WARN, Finding, Installation

OLDEST = (3, 11)


def python(_installation: Installation) -> Iterator[Finding]:
    """New enough."""
    version = platform.python_version()
    if sys.version_info < OLDEST:
        yield Finding("python", FAIL, f"{version}; 3.11 or newer is needed: make PYTHON=/path/to/python3 setup")
    else:
        yield Finding("python", OK, version)


def command_sandbox(_installation: Installation) -> Iterator[Finding]:
    """bubblewrap works, so that commands of agents don't have all rights of the gateway's user."""
    box = sandbox.find()
    if isinstance(box, NoSandbox):
        yield Finding("sandbox", WARN, f"{box.reason}, so commands run with the gateway's rights: {box.remedy}")
    else:
        yield Finding("sandbox", OK, f"commands run in bubblewrap ({box.program})")
