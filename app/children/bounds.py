"""A program with a head of its family over it, which ends all that descends from it: see ``descendants``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app import descendants
from app.children.launch import found


class Bounds(NamedTuple):
    """What a program and all that it starts may take together; None for no bound.

    memory: bytes, of each process's addresses, and of what is in memory of all. processes: how many at a time, the
    program's own included.
    """

    memory: int | None = None
    processes: int | None = None

    def around(self, arguments: Sequence[str], environment: Mapping[str, str], grace: float) -> list[str]:
        """The command line of the head, which takes 15 ms to start. Raises FileNotFoundError for no such program."""
        numbers = (os.getpid(), grace, self.memory or 0, self.processes or 0)
        program = found(arguments[0], environment)
        head = [sys.executable, "-I", "-S", descendants.__file__, *map(str, numbers)]
        return [*head, program, *arguments[1:]]
