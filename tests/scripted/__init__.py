"""A scripted provider of models: real HTTP over real sockets, whose answers a test decides.

It answers on /v1/chat/completions, /v1/messages (Anthropic) and /v1/responses (OpenAI): the same step is rendered in
the format of the path that it was asked on, so one scripted conversation runs unchanged against the three.

    from tests.scripted import Hang, Reply, ScriptedProvider, Status

    with ScriptedProvider() as provider:            # listens on provider.base_url, http://127.0.0.1:<port>/v1
        provider.default = Reply("Hello", " world")  # whenever nothing else is scripted
        provider.enqueue(Status(503), Hang())        # these first, one for each request, in order
        provider.on(lambda received: Reply(received.body["messages"][-1]["content"]))  # after the queue; None: default
        received = provider.wait_for_request(1)      # the first request, waiting up to 5 s for it
        assert received.headers["authorization"] == "Bearer k" and received.body["stream"] is True
        assert received.closed.wait(0.5)             # the client closed its connection

Received   path, api (such as "anthropic-messages"), headers (case-insensitive), raw, body, connection_id (from 1),
           at (time.monotonic()), finished: the step was played to its end, closed: the client closed the connection
           (not: the provider did).
Provider   requests, connections (accepted so far), open_connections, wait_for_request(n=1, timeout=5),
           drop_connections() closes all from the provider's side, as one does that tires of idle keep-alives.

Steps, all frozen:
    Reply(*tokens, finish="stop", usage=None, usage_in="own", reasoning=(), tool_calls=(), wait=0.0, delay=0.0,
          hold=None, hold_at=0, extra=(), crlf=False, cut=False)
        wait: seconds before the headers; delay: seconds before each token but the first. hold: an Event awaited after
        hold_at tokens, or before the status line with hold_at="headers". finish is OpenAI's word in all formats;
        finish=None: no event that ends the answer. Thoughts come before the text and are signed with
        signature(thoughts); the Responses API encrypts them to it when the request includes them. usage is sent in Chat
        Completions when the request's stream_options ask for it: in its "own" chunk, with the "finish" chunk, or in
        "every" one; in the other formats always, where they have it. extra: lines such as ": comment" before the first
        token. cut: closed after the last fragment of the last call's arguments, before the finish.
    NoFinish(*tokens)                  tokens and the stream's end, but not the answer's
    Empty()                            200 and nothing but the stream's end
    ErrorInStream(message, tokens=(), kind="server_error")    tokens, then an error of this type
    RawStream(*pieces)                 an event stream of exactly these bytes, each piece written on its own
    RawHttp(data)                      these bytes from the status line on, then closed
    Flood(data, head=None, pause=0.0)  data as an event stream, again and again until the client leaves; with a head
                                       these bytes from the status line on, and data as it is
    Status(code, message="scripted", headers={}, body=None, kind="scripted_error")   an error envelope, or this body
    JsonReply(content, finish="stop", usage=None)             a whole chat.completion as application/json, on any path
    Cut(after_tokens=1, reset=False)   closed in the middle; a reset may also lose what the client hasn't read yet
    CutBeforeHeaders(reset=False)      closed instead of an answer
    Hang(), HangAfterHeaders()         silent until the client closes
    Usage(prompt, completion, cached=0), ToolCall(id, name, *argument_fragments)
"""

from tests.scripted.exchange import Received
from tests.scripted.provider import ScriptedProvider
from tests.scripted.renderings import ToolCall, Usage, signature
from tests.scripted.steps import (
    Cut,
    CutBeforeHeaders,
    Empty,
    ErrorInStream,
    Flood,
    Hang,
    HangAfterHeaders,
    JsonReply,
    NoFinish,
    RawHttp,
    RawStream,
    Reply,
    Status,
    Step,
)

__all__ = [
    "Cut",
    "CutBeforeHeaders",
    "Empty",
    "ErrorInStream",
    "Flood",
    "Hang",
    "HangAfterHeaders",
    "JsonReply",
    "NoFinish",
    "RawHttp",
    "RawStream",
    "Received",
    "Reply",
    "ScriptedProvider",
    "Status",
    "Step",
    "ToolCall",
    "Usage",
    "signature",
]
