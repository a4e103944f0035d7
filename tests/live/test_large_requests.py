"""Requests with very much in them: bounded by number, and read while others have their turn."""

from __future__ import annotations

import pytest

from tests.conftest import StartGateway
from tests.live.expect import expect_error
from tests.live.gateway import Gateway, chat_body

INVALID = "invalid_request_error"
MESSAGE = {"role": "user", "content": "hi"}


def test_messages_are_bounded_by_their_key(start_gateway: StartGateway) -> None:
    """Up to ``maxMessages`` are taken; one more is refused, and the refusal names the key."""
    endpoints = {"chatCompletions": {"maxMessages": 3}}
    gateway = start_gateway(gateway={"http": {"endpoints": endpoints}})
    assert gateway.call(body=chat_body(messages=[MESSAGE] * 3)).status == 200
    refused = gateway.call(body=chat_body(messages=[MESSAGE] * 4))
    message = expect_error(refused, 400, INVALID, param="messages")
    assert "gateway.http.endpoints.chatCompletions.maxMessages" in message


def test_twenty_thousand_messages_are_taken(gateway: Gateway) -> None:
    """What some clients send is below the usual limit."""
    assert gateway.call(body=chat_body(messages=[MESSAGE] * 20_000)).status == 200


@pytest.mark.parametrize("messages", [1, 3])
def test_parts_are_bounded(gateway: Gateway, messages: int) -> None:
    """All messages together hold 100,000 parts at most, in however many of them."""
    part = {"type": "text", "text": ""}
    content = [part] * (100_000 // messages)
    body = chat_body(messages=[{"role": "user", "content": content}] * messages)
    assert gateway.call(body=body).status == 200
    body = chat_body(messages=[{"role": "user", "content": [*content, part, part]}] * messages)
    where = f"messages[{messages - 1}].content"
    assert "100,000 parts" in expect_error(gateway.call(body=body), 400, INVALID, param=where)


def test_an_object_is_bounded(gateway: Gateway) -> None:
    """A schema of megabytes is refused with its field."""
    body = chat_body(logit_bias={"a": ["x" * 1000] * 2000})
    expect_error(gateway.call(body=body), 400, INVALID, param="logit_bias")


def test_a_large_body_with_a_fault_says_where(gateway: Gateway) -> None:
    """Behind megabytes, too, the place of what is no JSON is told."""
    body = b'{"messages":[' + b'{"role":"user","content":"hi"},' * 100_000 + b"NaN]}"
    message = expect_error(gateway.call(body=body), 400, INVALID)
    assert f"(char {body.index(b'NaN')})" in message
