"""A scripted OpenAI-compatible provider: real HTTP over real sockets, whose answers a test decides.

    from tests.scripted import Hang, Reply, ScriptedProvider, Status

    with ScriptedProvider() as provider:            # listens on provider.base_url, http://127.0.0.1:<port>/v1
        provider.default = Reply("Hello", " world")  # whenever nothing else is scripted
        provider.enqueue(Status(503), Hang())        # these first, one for each request, in order
        provider.on(lambda received: Reply(received.body["messages"][-1]["content"]))  # after the queue; None: default
        received = provider.wait_for_request(1)      # the first request, waiting up to 5 s for it
        assert received.headers["authorization"] == "Bearer k" and received.body["stream"] is True
        assert received.closed.wait(0.5)             # the client closed its connection

Received   path, headers (case-insensitive), raw, body, connection_id (from 1), at (time.monotonic()),
           finished: the step was played to its end, closed: the client closed the connection (not: the provider did).
Provider   requests, connections (accepted so far), open_connections, wait_for_request(n=1, timeout=5),
           drop_connections() closes all from the provider's side, as one does that tires of idle keep-alives.

Steps, all frozen:
    Reply(*tokens, finish="stop", usage=None, usage_in="own", reasoning=(), tool_calls=(), wait=0.0, delay=0.0,
          hold=None, hold_at=0, extra=(), crlf=False)
        wait: seconds before the headers; delay: seconds before each token but the first. hold: an Event awaited after
        hold_at tokens, or before the status line with hold_at="headers". usage is sent when the request's
        stream_options ask for it: in its "own" chunk, with the "finish" chunk, or in "every" one. extra: lines such as
        ": comment" before the first token. finish=None: no chunk with a finish_reason.
    NoFinish(*tokens)                  tokens and [DONE], no finish_reason
    Empty()                            200 and nothing but [DONE]
    ErrorInStream(message, tokens=())  tokens, then data: {"error": …} and [DONE]
    RawStream(*pieces)                 an event stream of exactly these bytes, each piece written on its own
    Status(code, message="scripted", headers={}, body=None)   an error envelope, or this body
    JsonReply(content, finish="stop", usage=None)             a whole chat.completion as application/json
    Cut(after_tokens=1, reset=False)   closed in the middle; a reset may also lose what the client hasn't read yet
    CutBeforeHeaders(reset=False)      closed instead of an answer
    Hang(), HangAfterHeaders()         silent until the client closes
    Usage(prompt, completion, cached=0), ToolCall(id, name, *argument_fragments)
"""

from tests.scripted.exchange import Received
from tests.scripted.provider import ScriptedProvider
from tests.scripted.steps import (
    Cut,
    CutBeforeHeaders,
    Empty,
    ErrorInStream,
    Hang,
    HangAfterHeaders,
    JsonReply,
    NoFinish,
    RawStream,
    Reply,
    Status,
    Step,
    ToolCall,
    Usage,
)

__all__ = [
    "Cut",
    "CutBeforeHeaders",
    "Empty",
    "ErrorInStream",
    "Hang",
    "HangAfterHeaders",
    "JsonReply",
    "NoFinish",
    "RawStream",
    "Received",
    "Reply",
    "ScriptedProvider",
    "Status",
    "Step",
    "ToolCall",
    "Usage",
]
