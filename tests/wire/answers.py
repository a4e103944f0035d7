"""Answers that are no plain stream of text."""

from __future__ import annotations

from tests.wire.case import USAGE, Case, as_json, chat, completion, data, stream

CASES = {
    "a reference between two pieces of text": Case(
        answers=[
            chat(
                {"content": "Hello"}, {"content": [{"type": "reference", "reference_ids": [1]}]}, {"content": " world"}
            )
        ],
        text="Hello world",
    ),
    "one JSON body though a stream was asked for": Case(
        answers=[as_json(completion({"content": "Hello world"}))], text="Hello world", usage=(11, 5)
    ),
    "an event with a message and no delta": Case(
        answers=[stream(data({**completion({"content": "Hello world"}), "usage": USAGE}))],
        text="Hello world",
        usage=(11, 5),
    ),
    "a refusal": Case(
        answers=[chat({"role": "assistant", "content": None, "refusal": ""}, {"refusal": "I can't help"})],
        refusal="I can't help",
        usage=(11, 5),
    ),
}
