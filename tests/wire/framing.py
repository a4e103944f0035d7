"""How the events and the HTTP around them are written.

What is allowed: https://html.spec.whatwg.org/multipage/server-sent-events.html, https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import gzip
import json

from tests.wire.case import Case, as_json, chunk, completion, data, http, named, stream, usage_chunk
from tests.wire.formats import closed, opened, responses, text_block

SAID = chunk({"content": "Hello"})
STOP = chunk({}, "stop")
HELLO = data(SAID, STOP, usage_chunk())


def _many_lines(event: object) -> str:
    return "".join(f"data: {line}\n" for line in json.dumps(event, indent=1).split("\n")) + "\n"


def chunked(*parts: bytes, headers: tuple[str, ...] = (), ended: bool = True) -> bytes:
    """An event stream in chunks of HTTP, one for each part. ended: whether the empty one behind them comes."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", *headers, "", ""]
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return "\r\n".join(lines).encode() + body + (b"0\r\n\r\n" if ended else b"")


def under(*headers: str, version: str = "1.1") -> bytes:
    """The stream that says "Hello" under these headers alone."""
    return "\r\n".join([f"HTTP/{version} 200 OK", *headers, "", ""]).encode() + HELLO.encode()


def raw(text: str) -> str:
    """A chunk whose text stands in its JSON as it is, nothing escaped, and the stream's end."""
    return "data: " + json.dumps(chunk({"content": "TEXT"})).replace("TEXT", text) + "\n\n" + data(STOP)


EMOJI = raw("你好 ✅").encode()
CUT = EMOJI.index("✅".encode()) + 1

LINES = {
    # kubernetes-sigs/inference-perf#781, miruamel/xuan#194
    "lines that end in CR and LF": Case(answers=[stream(HELLO.replace("\n", "\r\n"))], text="Hello", usage=(11, 5)),
    # Soju06/codex-lb#1011: a client that takes them for line ends loses the rest
    "line ends of Unicode within a text": Case(
        answers=[stream(raw("a\u2028b\u2029c\u0085d"))], text="a\u2028b\u2029c\u0085d"
    ),
    # open-metadata/OpenMetadata#29531: in Latin-1 one of its bytes is a line end
    "an emoji in UTF-8 without a charset": Case(answers=[stream(EMOJI)], text="你好 ✅"),
    # earendil-works/pi#4446, earendil-works/pi#6762
    "a control character that is not escaped": Case(answers=[stream(raw("\x1b[1mHello"))], text="\x1b[1mHello"),
    # rexxars/eventsource-parser#31, Kilo-Org/kilocode#3083
    "one line end between events, null among them": Case(
        answers=[stream(data(SAID, "null", STOP, usage_chunk()).replace("\n\n", "\n"))], text="Hello", usage=(11, 5)
    ),
    # openai/openai-node#2725: variant B
    "no blank line behind the last event": Case(
        answers=[stream(data(SAID, STOP, usage_chunk(), done=False).removesuffix("\n"))], text="Hello", usage=(11, 5)
    ),
    # openai/openai-node#2725: variant C
    "no line end behind the last event": Case(
        answers=[stream(data(SAID, STOP, usage_chunk(), done=False).rstrip())], text="Hello", usage=(11, 5)
    ),
    # earendil-works/pi#9047, coder/aibridge#123
    "responses: no line end behind the last event": Case(
        agent="re",
        answers=[responses({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"}).rstrip()],
        text="Hello",
        usage=(11, 5),
    ),
    # fastclaw-ai/fastclaw#116, odysseus-dev/odysseus#1701
    "anthropic: no space behind the colons": Case(
        agent="an",
        answers=[stream(named(opened(), *text_block(0, "Hello"), *closed()).replace(": ", ":"))],
        text="Hello",
        usage=(11, 5),
    ),
}

EVENTS = {
    # anthropics/anthropic-sdk-typescript#861
    "anthropic: a name without data": Case(
        agent="an",
        answers=[
            stream(
                named(opened(), *text_block(0, "Hello"))
                + "event: content_block_delta\n\nevent: content_block_stop\n\n"
                + named(*closed())
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # anomalyco/opencode#38106, janhq/jan#8392
    "an event of the server's own": Case(
        answers=[
            stream(
                'event: hermes.tool.progress\ndata: {"tool": "web_search", "toolCallId": "call_9", "status": "running"}'
                "\n\n" + HELLO
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # langwatch/tasks#700
    "an event that only warns": Case(
        answers=[stream(data(SAID, STOP, {"warning": "provider_did_not_report_usage_on_stream"}))], text="Hello"
    ),
    # anomalyco/opencode#39061
    "an event that only tells the cost": Case(
        answers=[stream(data(SAID, STOP, usage_chunk(), {"choices": [], "cost": "0"}))], text="Hello", usage=(11, 5)
    ),
    # Gentleman-Programming/gentle-pi#1307
    "usage that is written as Python": Case(
        answers=[stream(data(SAID, STOP, str({"choices": [], "usage": {"prompt_tokens": 11}, "estimated": True})))],
        text="Hello",
    ),
    # anomalyco/opencode#50871: between text and text, unlike a proxy's before it
    "a comment as data in the middle": Case(
        answers=[stream(data(SAID, ": keepalive", chunk({"content": " world"}), STOP))], text="Hello world"
    ),
    # infiniflow/ragflow#15266: the token NaN is no JSON
    "a number that is none": Case(
        answers=[stream(data(SAID, STOP, done=False).replace('"created": 1', '"created": NaN') + data(usage_chunk()))],
        text="Hello",
        usage=(11, 5),
    ),
}

ENDS = {
    # huggingface/huggingface_hub#4536, vllm-project/guidellm#1106
    "[DONE] without a space before it": Case(
        answers=[stream(data(SAID, STOP, done=False) + "data:[DONE]\n\n")], text="Hello"
    ),
    # mistralai/mistral-vibe#793
    "[DONE] with a space behind it": Case(
        answers=[stream(data(SAID, STOP, done=False) + "data: [DONE] \r\n\r\n")], text="Hello"
    ),
    # open-webui/pipelines#297
    "[DONE] without a line end": Case(answers=[stream(data(SAID, STOP).rstrip())], text="Hello"),
    # googleapis/java-genai#1084, esengine/DeepSeek-Reasonix#7461
    "DONE without its brackets": Case(answers=[stream(data(SAID, STOP, "DONE", done=False))], text="Hello"),
    # NVIDIA-NeMo/Switchyard#237: compatible servers add what Anthropic has not
    "anthropic: [DONE] behind message_stop": Case(
        agent="an",
        answers=[stream(named(opened(), *text_block(0, "Hello"), *closed()) + "data: [DONE]\n\n")],
        text="Hello",
        usage=(11, 5),
    ),
    # decolua/9router#1148, BerriAI/litellm#34095
    "responses: null and [DONE] behind the last event": Case(
        agent="re",
        answers=[
            responses({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"})
            + b"data: null\n\ndata: [DONE]\n\n"
        ],
        text="Hello",
        usage=(11, 5),
    ),
}

BODIES = {
    # decolua/9router#3301
    "one JSON body called an event stream": Case(
        answers=[http(json.dumps(completion({"content": "Hello"})).encode(), kind="text/event-stream")],
        text="Hello",
        usage=(11, 5),
    ),
    # decolua/9router#3492
    "one JSON body and [DONE] behind it": Case(
        answers=[
            http(
                json.dumps(completion({"content": "Hello"})).encode() + b"\n\ndata: [DONE]\n\n",
                kind="text/event-stream",
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # microsoft/foundry-dev-tools#195
    "a stream called JSON": Case(
        answers=[under("Content-Type: application/json", "Connection: close")], text="Hello", usage=(11, 5)
    ),
    # nearai/private-ml-sdk#20
    "a stream without a Content-Type": Case(answers=[under("Connection: close")], text="Hello", usage=(11, 5)),
    # hackclub/ai#17
    "chunks as lines of JSON, called so": Case(
        answers=[
            http(
                "".join(json.dumps(event) + "\n" for event in (SAID, STOP, usage_chunk())).encode(),
                kind="application/nd-json",
            )
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # ENTERPILOT/GoModel#947, n8n-io/n8n#37959
    "one JSON body without a choice": Case(
        answers=[as_json({"id": "x", "object": "chat.completion", "choices": []})], status=502, error="upstream_error"
    ),
    # agentgateway/agentgateway#3040: a proxy unpacked the body and kept the header
    "an encoding that the body does not have": Case(
        answers=[as_json(completion({"content": "Hello"}), "Content-Encoding: br")], text="Hello", usage=(11, 5)
    ),
    # Han-1413141/dsh-cost-meter#172, Pasta-Devs/Marinara-Engine#834
    "gzip that no header tells of": Case(
        answers=[http(gzip.compress(HELLO.encode()), kind="text/event-stream")], text="Hello", usage=(11, 5)
    ),
}

HTTP = {
    # xberg-io/liter-llm#152, vllm-project/vllm#38732
    "a character in two chunks": Case(answers=[chunked(EMOJI[:CUT], EMOJI[CUT:])], text="你好 ✅"),
    # kubernetes-sigs/inference-perf#781
    "CR and LF in two chunks": Case(
        answers=[chunked(*(part.encode() for part in HELLO.replace("\n", "\r|\n").split("|")))],
        text="Hello",
        usage=(11, 5),
    ),
    # open-webui/open-webui#13474, danny-avila/LibreChat#4820
    "a chunk for each byte": Case(
        answers=[chunked(*(bytes([byte]) for byte in HELLO.encode()))], text="Hello", usage=(11, 5)
    ),
    # npuichigo/openai_trtllm#31, Wei-Shaw/sub2api#6410: all that matters has come
    "no end of the chunks behind [DONE]": Case(
        answers=[chunked(HELLO.encode(), headers=("Connection: close",), ended=False)], text="Hello", usage=(11, 5)
    ),
    # bytedance/deer-flow#1923, konveyor/kai#622: nothing said yet, and the next try is whole
    "no end of the chunks, and nothing said": Case(
        answers=[
            chunked(
                data(chunk({"role": "assistant"}), done=False).encode(), headers=("Connection: close",), ended=False
            ),
            stream(HELLO),
        ],
        text="Hello",
        usage=(11, 5),
    ),
    # vibe-d/vibe.d#1722: proxies that know no chunks end at the connection's
    "HTTP 1.0": Case(answers=[under("Content-Type: text/event-stream", version="1.0")], text="Hello", usage=(11, 5)),
}

SAMPLES = {
    "a byte order mark before the first event": Case(
        answers=[stream("\ufeff" + data(chunk({"content": "Hello"}), chunk({"content": " world"}), chunk({}, "stop")))],
        text="Hello world",
    ),
    "an event whose JSON takes several data lines": Case(
        answers=[stream(_many_lines(SAID) + _many_lines(STOP) + "data: [DONE]\n\n")],
        text="Hello",
    ),
    "103 before the 200": Case(
        answers=[stream(HELLO, before="HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")],
        text="Hello",
        usage=(11, 5),
    ),
    "gzip that nobody asked for": Case(
        answers=[http(gzip.compress(HELLO.encode()), "Content-Encoding: gzip", kind="text/event-stream")],
        text="Hello",
        usage=(11, 5),
    ),
    "an encoding that nobody knows": Case(
        answers=[http(b"\x00\x01", "Content-Encoding: zstd", kind="text/event-stream")],
        status=502,
        error="upstream_error",
        says=["zstd"],
        asked=1,
    ),
}

CASES = SAMPLES | LINES | EVENTS | ENDS | BODIES | HTTP
