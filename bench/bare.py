"""The bare route: what this stack can do at most. It validates the body, streams the provider and answers; no more."""

import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Flask, Response, request
from geventhttpclient import HTTPClient
from marshmallow import EXCLUDE, Schema, ValidationError, fields
from marshmallow.validate import Range

app = Flask(__name__)
provider = HTTPClient("127.0.0.1", int(os.environ["BENCH_PROVIDER_PORT"]), concurrency=10_000, network_timeout=600)


class Messages(fields.Field[list[dict[str, Any]]]):
    """Checks the list itself: a nested schema costs 16 µs a message."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not value:
            raise ValidationError("not a list of messages")
        for message in value:
            if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant", "tool"):
                raise ValidationError("not a message")
            if not isinstance(message.get("content"), str):
                raise ValidationError("no content")
        return value


class Body(Schema):
    class Meta:
        unknown = EXCLUDE

    model = fields.String(required=True)
    messages = Messages(required=True)
    stream = fields.Boolean(load_default=False)
    temperature = fields.Float(validate=Range(0, 2))
    top_p = fields.Float(validate=Range(0, 1))
    max_tokens = fields.Integer(validate=Range(1))


BODY = Body()


@app.post("/v1/chat/completions")
def chat_completions() -> Response:
    body = BODY.load(orjson.loads(request.get_data()))
    chunks = upstream({**body, "stream": True, "stream_options": {"include_usage": True}})
    answer = {"id": f"chatcmpl_{uuid.uuid4()}", "created": int(time.time()), "model": body["model"]}
    if body["stream"]:
        return Response(events(chunks, answer), mimetype="text/event-stream")
    return Response(orjson.dumps(completion(chunks, answer)), mimetype="application/json")


def upstream(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    response = provider.request(
        "POST", "/v1/chat/completions", orjson.dumps(body), {"Content-Type": "application/json"}
    )
    try:
        while line := response.readline(b"\n"):
            if line.startswith(b"data: {"):
                yield orjson.loads(line[6:])
    finally:
        response.release()


def events(chunks: Iterator[dict[str, Any]], answer: dict[str, Any]) -> Iterator[bytes]:
    answer["object"] = "chat.completion.chunk"
    for chunk in chunks:
        for choice in chunk["choices"]:
            yield b"data: %b\n\n" % orjson.dumps({**answer, "choices": [choice]})
    yield b"data: [DONE]\n\n"


def completion(chunks: Iterator[dict[str, Any]], answer: dict[str, Any]) -> dict[str, Any]:
    text, finish, usage = [], None, None
    for chunk in chunks:
        usage = chunk.get("usage")
        for choice in chunk["choices"]:
            text.append(choice["delta"].get("content", ""))
            finish = choice["finish_reason"]
    message = {"role": "assistant", "content": "".join(text)}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {**answer, "object": "chat.completion", "choices": [choice], "usage": usage}
