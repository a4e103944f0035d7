"""What a provider says went wrong."""

from __future__ import annotations

from tests.wire.case import Case, as_json, data, stream

CASES = {
    "an event that is an error without the key error": Case(
        answers=[
            stream(
                data(
                    {
                        "object": "error",
                        "message": "maximum context length is 4096 tokens",
                        "type": "BadRequestError",
                        "param": None,
                        "code": 400,
                    }
                )
            )
        ],
        status=400,
        error="invalid_request_error",
        code="context_length_exceeded",
        says=["maximum context length is 4096 tokens"],
    ),
    "a list of details": Case(
        answers=[
            as_json(
                {
                    "detail": [
                        {
                            "type": "extra_forbidden",
                            "loc": ["body", "stream_options"],
                            "msg": "Extra inputs are not permitted",
                        }
                    ]
                },
                status="422 Unprocessable Entity",
            )
        ]
        * 2,
        status=400,
        error="invalid_request_error",
        says=["Extra inputs are not permitted", "stream_options"],
    ),
}
