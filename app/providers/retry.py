"""A call that fails before its first token is tried again, at most twice and within a second."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator

from app.errors import ProviderError
from app.providers.stream import Began, Delta, ModelCall, Provider

log = logging.getLogger("gateway.providers")

# Seconds before the second and the third try; with the jitter 0.84 s in all, so that a streaming caller, whose headers
# wait for a second, still gets a plain HTTP error.
WAITS = (0.2, 0.5)
JITTER = 1.2


def stream_with_retries(provider: Provider, call: ModelCall) -> Iterator[Delta]:
    """``provider.stream(call)``, begun anew after a fault that may pass.

    ``Began`` comes once. When the deadline leaves no room for a retry, the provider's own error is raised.
    """
    began = False
    for wait in (*WAITS, None):
        deltas = provider.stream(call)
        token = False
        try:
            for delta in deltas:
                if type(delta) is Began:
                    if began:
                        continue
                    began = True
                else:
                    token = True
                yield delta
            return
        except ProviderError as error:
            if token or wait is None or not error.retryable:
                raise
            pause = wait * random.uniform(1.0, JITTER)  # noqa: S311 - spreads load, guards nothing
            if time.monotonic() + pause >= call.deadline:
                raise
            log.info("trying again in %.1f s: %s", pause, error)
        finally:
            # A generator that is merely dropped closes its connection only when it is collected.
            deltas.close()  # type: ignore[attr-defined]
        time.sleep(pause)
