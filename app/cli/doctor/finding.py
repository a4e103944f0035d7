"""What checks look at, and what they tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.cli.address import Address
from app.config import Environment, Settings

OK, WARN, FAIL = "ok", "warn", "FAIL"


class Finding(NamedTuple):
    """One line of the report, with the remedy where there is something to mend.

    check: what was looked at. status: ``ok``, ``warn`` or ``FAIL``.
    """

    check: str
    status: str
    text: str


class Installation(NamedTuple):
    """What is examined.

    settings: None where the configuration can't be loaded. address: the gateway to ask. deep: models may be called.
    """

    environment: Environment
    settings: Settings | None
    address: Address
    deep: bool = False


Check = Callable[[Installation], Iterator[Finding]]
