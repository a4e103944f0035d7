"""What the gateway sends to a provider."""

from __future__ import annotations

from tests.wire.case import Case, Sent, chat


def _no_empty_message(sent: Sent) -> None:
    assert all(message["content"] or message.get("tool_calls") for message in sent[-1]["messages"])


def _no_stream_options(sent: Sent) -> None:
    assert "stream_options" not in sent[0]


CASES = {
    "an answer without text goes nowhere": Case(
        session=True,
        answers=[chat({"content": ""}), chat({"content": "ok"})],
        request={},
        then=[{"text": "again"}],
        text="ok",
        sent=_no_empty_message,
    ),
    "a server that takes no stream_options": Case(
        agent="no-usage", answers=[chat({"content": "Hello"}, usage=False)], text="Hello", sent=_no_stream_options
    ),
}
