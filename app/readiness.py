"""Whether a file descriptor is ready, asked without waiting."""

from __future__ import annotations

from gevent import monkey

# gevent removes poll from its patched select module, because it may wait; one that never waits is safe beside the hub.
_poll = monkey.get_original("select", "poll")


def ready_for(descriptor: int, events: int) -> bool:
    """Whether one of these events (``select.POLLIN`` …), an error or a hang-up is there already."""
    poll = _poll()
    poll.register(descriptor, events)
    return bool(poll.poll(0))
