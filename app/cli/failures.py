"""What ends a command other than well, each with its exit code.

0  done
1  failed: the gateway or the run said no, or a check found something wrong
2  asked wrongly: unknown options, values that nobody could take
3  no gateway there, or it went away
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

FAILED, USAGE, NO_GATEWAY = 1, 2, 3


class NoGateway(click.ClickException):
    """Nothing to talk to, or no longer. what: happened. remedies: what the user can do, each in a few words."""

    exit_code = NO_GATEWAY

    def __init__(self, what: str, *remedies: str) -> None:
        super().__init__("; ".join(part for part in (what, ", or ".join(remedies)) if part))
        self.what = what
        self.remedies = remedies


class RequestFailed(click.ClickException):
    """The gateway's error response.

    code: of the protocol, such as ``NOT_FOUND``. details: what it says to programs.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.details = details or {}

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return USAGE if self.code == "INVALID_REQUEST" else FAILED


class NotLetIn(click.ClickException):
    """The gateway is there, and refuses this caller or its version of the protocol."""

    exit_code = FAILED
