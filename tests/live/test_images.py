"""Images of the caller, from the request to the provider."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from tests.conftest import StartGateway
from tests.live.gateway import Gateway
from tests.scripted import Reply, ScriptedProvider

APIS = ("openai-completions", "anthropic-messages", "openai-responses")


def picture(format: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "red").save(data, format)
    return data.getvalue()


def url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def asked(*urls: str) -> list[Any]:
    parts = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
    return [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, *parts]}]


def seeing(api: str, **more: Any) -> dict[str, Any]:
    models = [{"id": "m", "input": ["text", "image"]}]
    return {"models": {"providers": {"scripted": {"api": api, "models": models}}}, **more}


@pytest.mark.parametrize("api", APIS)
def test_a_model_that_sees_gets_it(start_gateway: StartGateway, provider: ScriptedProvider, api: str) -> None:
    """The image is in the provider's request, whatever its format, and stays in the session."""
    gateway = start_gateway(**seeing(api))
    provider.enqueue(Reply("Red."), Reply("Still red."))
    data = picture()
    assert gateway.chat(messages=asked(url(data)), user="eye").text == "Red."
    assert gateway.chat("sure?", user="eye").text == "Still red."
    sent = base64.b64encode(data).decode()
    assert sent in provider.requests[0].raw.decode()
    assert sent in provider.requests[1].raw.decode()


def test_a_model_that_does_not_see(gateway: Gateway, provider: ScriptedProvider) -> None:
    """400 that says which setting would change it; the provider is not asked."""
    answer = gateway.chat(messages=asked(url(picture())))
    assert answer.status == 400
    assert 'input: ["text", "image"]' in answer.error["message"]
    assert provider.requests == []


@pytest.mark.parametrize(
    "bad",
    [
        url(picture()[:50]),
        url(picture("JPEG"), "image/png"),
        url(b"no image at all"),
        "data:image/png;base64,%%%",
        "data:text/html;base64,PGI+",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ],
    ids=["truncated", "lies", "rubbish", "not-base64", "no-image-type", "metadata", "file"],
)
def test_bad_images(start_gateway: StartGateway, provider: ScriptedProvider, bad: str) -> None:
    """400 with the path of the image, before the provider is asked."""
    allow = {"http": {"endpoints": {"chatCompletions": {"images": {"allowUrl": True}}}}}
    gateway = start_gateway(**seeing("openai-completions", gateway=allow))
    answer = gateway.chat(messages=asked(url(picture()), bad))
    assert (answer.status, answer.error["param"]) == (400, "messages[0].content[2].image_url.url")
    assert provider.requests == []


def test_too_many(start_gateway: StartGateway, provider: ScriptedProvider) -> None:
    """Eight in the last message, no more."""
    gateway = start_gateway(**seeing("openai-completions"))
    assert gateway.chat(messages=asked(*[url(picture())] * 8)).status == 200
    assert gateway.chat(messages=asked(*[url(picture())] * 9)).status == 400


def test_an_image_of_an_earlier_turn_does_not_stop_another_model(
    start_gateway: StartGateway, provider: ScriptedProvider
) -> None:
    """A session that has an image goes on with a model that sees none: it reads that there was one."""
    changes = seeing("openai-completions")
    changes["models"]["providers"]["scripted"]["models"].append({"id": "blind"})
    gateway = start_gateway(**changes)
    gateway.chat(messages=asked(url(picture())), user="eye")
    answer = gateway.chat("and?", user="eye", headers={"x-openclaw-model": "scripted/blind"})
    assert answer.status == 200
    assert provider.requests[-1].body["messages"][1]["content"][1] == {"type": "text", "text": "[image]"}
