"""The built-in provider ``local``: the small model that runs beside the gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from app.config.settings import LOCAL_MODEL, Model
from app.errors import ProviderError
from app.providers.completions_request import USUAL
from app.providers.local import Endpoint, LocalModel
from app.providers.openai_completions import OpenAICompletions
from app.providers.schema_tools import stream_with_tools
from app.providers.stream import Delta, ModelCall
from app.providers.upstream import Upstream

MODEL_ID = LOCAL_MODEL.partition("/")[2]
# A small model may ramble until its window is full; a caller can ask for more or less.
DEFAULT_MAX_TOKENS = 512
# Seconds. The slots of the model are few: a call may wait for others before its first token.
SILENCE = 300.0

# llama.cpp notices only when it writes that its caller left: with progress it does while it reads the prompt.
DIALECT = replace(USUAL, body={"return_progress": True})

# Every agent has it, and a model so small would use it where nobody asked.
LEFT_OUT = frozenset({"session_status"})


class LocalProvider:
    """Speaks to whichever process serves the model at the moment."""

    def __init__(self, local_model: LocalModel) -> None:
        self._local_model = local_model
        self._current: tuple[Endpoint, Upstream] | None = None

    def stream(self, call: ModelCall) -> Iterator[Delta]:
        if call.model != MODEL_ID:
            raise ProviderError(f"the built-in provider has one model, {LOCAL_MODEL}")
        tools = [tool for tool in call.tools if tool["function"]["name"] not in LEFT_OUT]
        return stream_with_tools(call._replace(tools=tools), self._stream)

    def _stream(self, call: ModelCall) -> Iterator[Delta]:
        upstream = self._connect(max(call.deadline - time.monotonic(), 0))
        sampling = {"max_tokens": DEFAULT_MAX_TOKENS, **call.sampling}
        return OpenAICompletions(upstream, DIALECT).stream(call._replace(sampling=sampling))

    def model(self) -> Model:
        """The catalogue entry; the window is that of one slot, known once the model has run."""
        window = self._local_model.context_window
        return Model(id=MODEL_ID, name="SmolLM2 135M Instruct", context_window=window, max_tokens=window)

    def _connect(self, timeout: float) -> Upstream:
        endpoint = self._local_model.ensure(timeout)
        if self._current is None or self._current[0] != endpoint:
            if self._current is not None:
                self._current[1].close()
            # Its server closes a connection some moments after a streamed answer: one used again may just end.
            headers = {"Authorization": f"Bearer {endpoint.api_key}", "Connection": "close"}
            self._current = (endpoint, Upstream("local", endpoint.base_url, headers, SILENCE, direct=True))
        return self._current[1]
