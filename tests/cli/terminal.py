"""A command on a terminal of its own, as a person has it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import psutil

from tests.live.gateway import PATIENCE, ROOT, wait_until

LINES, COLUMNS = 24, 80
CTRL_D = "\x04"

_ORDERS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """One command. out: all that it wrote, as a terminal gets it."""

    def __init__(self, state_dir: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *arguments],
            cwd=ROOT,
            env={**clean, "OPENCLAW_STATE_DIR": str(state_dir), "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.out = ""
        self._seen = 0

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C of a person, who is slow: Python misses one that comes while it looks at a key."""
        process = psutil.Process(self.process.pid)
        wait_until(lambda: process.status() == psutil.STATUS_SLEEPING, "it waits for keys")
        self.type("\x03")

    def until(self, text: str) -> None:
        """Wait for text that was not waited for before."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.out.find(text, self._seen)) < 0:
            left = max(deadline - time.monotonic(), 0)
            ready = select.select([self._ours], [], [], left)[0]
            assert ready, f"not within {PATIENCE:g} s: {text!r}; got {self.out[self._seen :]!r}"
            try:
                data = os.read(self._ours, 65_536)
            except OSError:  # the terminal of a process that ended
                data = b""
            assert data, f"ended without {text!r}; got {self.out[self._seen :]!r}"
            self.out += data.decode(errors="replace")
        self._seen = found + len(text)

    def wait_for_end(self) -> int:
        """The exit code."""
        return self.process.wait(PATIENCE)

    @property
    def text(self) -> str:
        """What was written, without what it orders the terminal to do."""
        return _ORDERS.sub("", self.out)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


# The terminal has to be the process's own for Ctrl-C to reach it.
_ON_TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "app", *sys.argv[1:]])
"""
