"""No part of the gateway's key comes back to a caller in a provider's words, whichever format it speaks."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.settings import Model
from app.errors import ProviderError
from app.providers.anthropic_messages import AnthropicMessages
from app.providers.echoes import MOST, without_keys
from app.providers.faults import stream_fault
from app.providers.openai_completions import OpenAICompletions
from app.providers.openai_responses import OpenAIResponses
from tests.providers.scene import call, collected, upstream
from tests.scripted import ErrorInStream, ScriptedProvider, Status

KEY = "sk-proj-0a1B/2c3D+4e5F=6g7H8i9J"
PLAIN = "sk-proj-0123456789abcdefWXYZ"

MODEL = Model(id="m", name="m")

ECHOES: dict[str, Callable[[str], str]] = {
    "whole": lambda key: key,
    "percent": lambda key: quote(key, safe=""),
    "percent-lower": lambda key: quote(key, safe="").lower().replace("0a1b", "0a1B"),
    "all-percent": lambda key: "".join(f"%{ord(c):02X}" for c in key),
    "percent-twice": lambda key: quote(quote(key, safe=""), safe=""),
    "json": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "html": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "json-of-php": lambda key: key.replace("/", "\\/"),
    "html-twice": lambda key: "".join(f"&amp;#{ord(c)};" for c in key),
    "of-a-program": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "of-javascript": lambda key: "".join(f"\\u{{{ord(c):x}}}" for c in key),
    "capitals": lambda key: key.upper(),
    "backwards": lambda key: key[::-1],
    "spaced": " ".join,
    "two-lines": lambda key: f"{key[:14]}\n{key[14:]}",
    "two-lines-of-json": lambda key: f"{key[:14]}\\n{key[14:]}",
    "two-texts": lambda key: f'{key[:14]}" "{key[14:]}',
    "hex": lambda key: key.encode().hex(),
    "hex-capitals": lambda key: key.encode().hex().upper(),
    "hex-colons": lambda key: key.encode().hex(":"),
    "hex-dump": lambda key: key.encode().hex(" ").upper(),
    "hex-lines": lambda key: f"{key[:9].encode().hex()}\n{key[9:].encode().hex()}",
    "base64-lines": lambda key: "\n".join(
        base64.b64encode(key.encode()).decode()[at : at + 12] for at in (0, 12, 24, 36)
    ),
    "base64-backwards": lambda key: base64.b64encode(key[::-1].encode()).decode(),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64-url": lambda key: base64.urlsafe_b64encode(key.encode()).decode().rstrip("="),
    "base64-bearer": lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
    "base64-basic": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "base64-basic-no-user": lambda key: base64.b64encode(f":{key}".encode()).decode(),
    "stars": lambda key: f"{key[:6]}***{key[-3:]}",
    "many-stars": lambda key: f"{key[:8]}{'*' * 20}{key[-4:]}",
    "dots": lambda key: f"{key[:10]}...{key[-4:]}",
    "ellipsis": lambda key: f"{key[:10]}\u2026",
    "last-after-stars": lambda key: f"****{key[-4:]}",
    "first-half": lambda key: key[: len(key) // 2],
    "last-half": lambda key: key[len(key) // 2 :],
    "first-ten": lambda key: key[:10],
    "last-four": lambda key: key[-4:],
    "last-eight": lambda key: key[-8:],
    "middle": lambda key: key[8:20],
    "most": lambda key: key[:-1],
}
SPEAKERS = {
    "openai-completions": OpenAICompletions,
    "anthropic-messages": partial(AnthropicMessages, model=MODEL),
    "openai-responses": partial(OpenAIResponses, model=MODEL),
}


def told_by(provider: ScriptedProvider, speaker: Any, step: Any, key: str) -> str:
    provider.enqueue(step)
    with pytest.raises(ProviderError) as raised:
        collected(speaker(upstream(provider.base_url, headers={"Authorization": f"Bearer {key}"})).stream(call()))
    return raised.value.message


@pytest.mark.parametrize("speaks", SPEAKERS)
@pytest.mark.parametrize("how", ["status", "stream", "document"])
def test_every_format_and_place(
    provider: ScriptedProvider, caplog: pytest.LogCaptureFixture, speaks: str, how: str
) -> None:
    """Before a stream, in it and instead of it: neither the caller nor the log reads a part of the key."""
    caplog.set_level(logging.DEBUG)
    for name, echo in ECHOES.items():
        words = f"the key {echo(PLAIN)} may not do this"
        if how == "status":
            step: Any = Status(422, words)
        elif how == "stream":
            step = ErrorInStream(words)
        else:
            step = Status(200, body=json.dumps({"error": {"message": words}}).encode())
        message = told_by(provider, SPEAKERS[speaks], step, PLAIN)
        assert echo(PLAIN) not in message, name
        assert "the key" in message, name
        assert "may not do this" in message, name
        assert echo(PLAIN) not in caplog.text, name
        assert PLAIN[-4:] not in message, name


@pytest.mark.parametrize("key", [KEY, PLAIN], ids=["odd", "plain"])
@pytest.mark.parametrize("echo", ECHOES)
def test_every_echo(key: str, echo: str) -> None:
    """What is left reads as before, and says that something was taken out."""
    if echo == "percent-lower":
        key = key.lower()
    said = ECHOES[echo](key)
    told = without_keys(f"the key {said} may not do this", (key,))
    assert said not in told
    assert told.startswith("the key ")
    assert "***" in told
    assert told.endswith(" may not do this")


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000",
        "keys of projects begin with sk-proj- and have 40 characters",
        "Incorrect API key provided; you can find your API key at https://platform.example/account/api-keys",
        "unknown field 'response_format'... see *** the manual",
        "",
    ],
)
def test_other_words_stay(words: str) -> None:
    """A number, a name that keys have in common, or stars alone are no echo."""
    assert without_keys(words, (KEY, PLAIN, "my-openrouter-token")) == words


def test_a_key_of_words_is_no_word() -> None:
    """Words that a key is put together of stay words; more of it than that doesn't."""
    key = "correct-horse-battery-staple"
    assert without_keys("the battery is staple food, correct?", (key,)) == "the battery is staple food, correct?"
    assert "horse" not in without_keys("the key correct-horse-bat is wrong", (key,))


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=60), st.text(), st.text())
def test_any_key(key: str, before: str, after: str) -> None:
    """Of whatever it is made and wherever it stands, it is in no encoding left."""
    if key in before + after or "*" in key:
        return
    for encoded in (key, quote(key, safe=""), base64.b64encode(key.encode()).decode(), key.encode().hex()):
        told = without_keys(f"{before} {encoded} {after}", (key,))
        assert told.count(encoded) <= (before + after).count(encoded)


def test_an_error_of_an_unknown_shape_is_cleaned_too() -> None:
    """What is told as JSON for want of words is as well."""
    assert PLAIN[8:] not in stream_fault("p", {"debug": {"header": [PLAIN]}}, (PLAIN,)).message


def test_a_long_word_does_not_cost_its_square() -> None:
    """A word of all the letters that are looked at costs no time to speak of, where it once held the hub for long."""
    begun = time.process_time()
    for letter in "Ax1-":
        without_keys(letter * MOST, ["sk-1234567890abcdefXYZ"])
    assert time.process_time() - begun < 10
