"""What a provider wants back with its own answer."""

from __future__ import annotations

from tests.wire.case import Case, Sent, call_delta, chat, fragment

SIGNED = {"google": {"thought_signature": "SIG"}}


def _signature_went_back(sent: Sent) -> None:
    [call] = sent[1]["messages"][-2]["tool_calls"]
    assert call["extra_content"] == SIGNED


CASES = {
    "the signature of a call of the agent's own tools": Case(
        agent="coder",
        answers=[
            chat(
                call_delta({**fragment(0, "call_1", "ls", '{"path":"."}'), "extra_content": SIGNED}),
                finish="tool_calls",
            ),
            chat({"content": "done"}),
        ],
        text="done",
        sent=_signature_went_back,
    ),
}
