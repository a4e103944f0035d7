"""Whether a file descriptor is ready, asked without waiting."""

from __future__ import annotations

import select
import socket

from app.readiness import ready_for


def test_it_says_what_is_there() -> None:
    """Something to read, room to write, and a peer that left are seen; what isn't there is not waited for."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not ready_for(ours.fileno(), select.POLLIN)
        assert ready_for(ours.fileno(), select.POLLOUT)
        theirs.send(b"x")
        assert ready_for(ours.fileno(), select.POLLIN)
        assert not ready_for(ours.fileno(), select.POLLRDHUP)
        theirs.close()
        assert ready_for(ours.fileno(), select.POLLRDHUP)
