"""The catalogue: which provider serves a model, under which name of its limit, and what a reload keeps."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace
from typing import Any

import gevent
import pytest

from app.config.settings import LOCAL_MODEL, Agent, Compat, Model, ModelChoice, Provider, Settings
from app.errors import ProviderError
from app.providers import catalogue as catalogue_module
from app.providers.builtin import DEFAULT_MAX_TOKENS
from app.providers.catalogue import Catalogue
from app.providers.stream import Began
from tests.agents.scene import MAIN, settings
from tests.providers.scene import RawServer, call, collected, response, text_of, until
from tests.scripted import Reply, ScriptedProvider, Status


class FakeLocal:
    """The local model's process: here it runs wherever a test says."""

    def __init__(self, base_url: str = "http://127.0.0.1:1/v1") -> None:
        self.endpoint = SimpleNamespace(base_url=base_url, api_key="a-random-key")
        self.context_window: int | None = None
        self.timeouts: list[float] = []

    def ensure(self, timeout: float) -> Any:
        self.timeouts.append(timeout)
        return self.endpoint


def catalogue(
    *providers: Provider, local: Any = None, previous: Catalogue | None = None, agents: Any = ()
) -> Catalogue:
    return Catalogue(_settings(*providers, agents=agents), local or FakeLocal(), previous)


def _settings(*providers: Provider, agents: tuple[Agent, ...] = ()) -> Settings:
    return settings(*(agents or (MAIN,)), providers=providers)


def ask(models: Catalogue, reference: str, **sampling: Any) -> str:
    return text_of(collected(models.stream(ModelChoice(reference), call(**sampling))))


@pytest.fixture
def entry(provider: ScriptedProvider) -> Provider:
    return Provider(id="p", base_url=provider.base_url, api_key="key-0123456789")


def test_a_reference_names_provider_and_model(provider: ScriptedProvider, entry: Provider) -> None:
    """The provider is what stands before the first slash, the rest is the model's id, slashes included."""
    assert ask(catalogue(entry), "p/org/model-7b") == "Hello world"
    assert provider.requests[0].body["model"] == "org/model-7b"


def test_the_key_is_sent_as_bearer(provider: ScriptedProvider, entry: Provider) -> None:
    """The provider's key goes as a bearer token, unless its headers bring an Authorization of their own."""
    ask(catalogue(entry), "p/m")
    ask(catalogue(replace(entry, headers=MappingProxyType({"authorization": "Basic abc", "X-Own": "1"}))), "p/m")
    ask(catalogue(replace(entry, api_key=None)), "p/m")
    first, second, third = provider.requests
    assert first.headers.get_all("authorization") == ["Bearer key-0123456789"]
    assert second.headers.get_all("authorization") == ["Basic abc"]
    assert second.headers["x-own"] == "1"
    assert third.headers.get_all("authorization") is None


@pytest.mark.parametrize("reference", ["nobody/m", "m", "", "/m"])
def test_an_unknown_provider_says_what_to_add(entry: Provider, reference: str) -> None:
    """A model whose provider isn't configured names the key of the configuration that is missing."""
    with pytest.raises(ProviderError, match=r"models\.providers\."):
        ask(catalogue(entry), reference)


FORMATS = {
    "openai-completions": "/v1/chat/completions",
    "anthropic-messages": "/v1/messages",
    "openai-responses": "/v1/responses",
}


@pytest.mark.parametrize("api", FORMATS)
def test_each_provider_is_spoken_to_in_its_format(provider: ScriptedProvider, entry: Provider, api: str) -> None:
    """The configured format decides about path and body, and the answer reads the same."""
    assert ask(catalogue(replace(entry, api=api)), "p/m") == "Hello world"
    assert (provider.requests[0].path, provider.requests[0].body["model"]) == (FORMATS[api], "m")


def test_anthropic_has_its_key_in_a_header_of_its_own(provider: ScriptedProvider, entry: Provider) -> None:
    """The key goes where that API looks for it, and nowhere else."""
    ask(catalogue(replace(entry, api="anthropic-messages")), "p/m")
    headers = provider.requests[0].headers
    assert (headers["x-api-key"], headers.get("authorization")) == ("key-0123456789", None)


@pytest.mark.parametrize(
    ("own", "providers", "base_url", "name"),
    [
        (None, None, None, "max_tokens"),
        ("max_completion_tokens", None, None, "max_completion_tokens"),
        ("max_tokens", "max_completion_tokens", None, "max_tokens"),
        (None, "max_completion_tokens", None, "max_completion_tokens"),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_the_name_of_the_token_limit(
    provider: ScriptedProvider, entry: Provider, own: str, providers: str, base_url: None, name: str, listed: bool
) -> None:
    """The model's own word counts, then the provider's, listed or not; otherwise the name that most servers know."""
    models = (Model(id="m", name="m", compat=Compat(max_tokens_field=own)),) if listed else ()
    expected = name if listed else (providers or "max_tokens")
    ask(catalogue(replace(entry, models=models, compat=Compat(max_tokens_field=providers))), "p/m", max_tokens=5)
    assert provider.requests[0].body[expected] == 5


def test_openai_itself_has_the_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's reasoning models refuse the old name of the limit."""
    with RawServer(response(b"")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "")
        models = catalogue(Provider(id="openai", base_url="http://api.openai.com/v1"))
        stream = models.stream(ModelChoice("openai/o3"), call(seconds=0, max_tokens=5))
        with pytest.raises(ProviderError):
            collected(stream)
    assert b'"max_completion_tokens":5' in proxy.requests[0]


def test_what_is_known_of_a_model(entry: Provider) -> None:
    """A listed model is described by its entry, any other by its id and what its provider takes."""
    listed = Model(id="m", name="The M", context_window=4096)
    models = catalogue(replace(entry, models=(listed,), input=("text", "image")))
    assert models.model("p/m") is listed
    assert models.model("p/x/y") == Model(id="x/y", name="x/y", input=("text", "image"))
    assert models.model("nobody/z") == Model(id="z", name="z")


def test_which_models_may_be_asked_for(entry: Provider) -> None:
    """A listed model, any model of a provider without a list, and the built-in one; nothing else."""
    models = catalogue(entry, replace(entry, id="q", models=(Model(id="a/b", name="a/b"),)))
    for known in ("p/anything", "p/x/y", "q/a/b", LOCAL_MODEL):
        assert models.knows(known), known
    for unknown in ("p/", "p", "q/a", "nobody/m", "local/llama", "", "/"):
        assert not models.knows(unknown), unknown


@pytest.mark.parametrize(
    ("of_model", "of_agent", "window"), [(None, None, None), (4096, None, 4096), (None, 2048, 2048), (4096, 2048, 2048),
                                         (2048, 4096, 2048)],
)  # fmt: skip
def test_the_window_is_the_smaller_one(
    entry: Provider, of_model: int | None, of_agent: int | None, window: int | None
) -> None:
    """Of what the model has and what the agent's contextTokens allow, the smaller counts, where known."""
    models = catalogue(replace(entry, models=(Model(id="m", name="m", context_window=of_model),)))
    assert models.window(replace(MAIN, context_tokens=of_agent), ModelChoice("p/m")) == window


# Fallbacks.

IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]


def seeing(name: str) -> Model:
    return Model(id=name, name=name, input=("text", "image"))


def test_a_fallback_answers_in_its_own_format(provider: ScriptedProvider, entry: Provider) -> None:
    """When the first model is limited, one of another provider answers, and ``Began`` names it."""
    provider.enqueue(Status(429), Reply("Hello", " you"))
    models = catalogue(entry, replace(entry, id="q", api="anthropic-messages"))
    deltas = collected(models.stream(ModelChoice("p/m", ("q/n",)), call()))
    assert (deltas[0], text_of(deltas)) == (Began("q/n"), "Hello you")
    assert [received.path for received in provider.requests] == ["/v1/chat/completions", "/v1/messages"]
    assert [received.body["model"] for received in provider.requests] == ["m", "n"]


def test_a_model_that_is_aside_stays_so_over_a_reload(provider: ScriptedProvider, entry: Provider) -> None:
    """A change of the configuration doesn't forget how the models did."""
    choice = ModelChoice("p/a", ("p/b",))
    provider.enqueue(Status(429))
    first = catalogue(entry)
    collected(first.stream(choice, call()))
    collected(catalogue(entry, previous=first).stream(choice, call()))
    assert [received.body["model"] for received in provider.requests] == ["a", "b", "b"]
    assert list(first.standing.set_aside()) == ["p/a"]


def test_images_go_to_fallbacks_that_see(provider: ScriptedProvider, entry: Provider) -> None:
    """A fallback that takes no images is passed over when there are some, and asked when there are none."""
    models = (seeing("a"), Model(id="b", name="b"), seeing("c"))
    choice = ModelChoice("p/a", ("p/b", "p/c"))
    provider.enqueue(Status(429))
    asked = call()._replace(messages=[{"role": "user", "content": IMAGE}])
    collected(catalogue(replace(entry, models=models)).stream(choice, asked))
    provider.enqueue(Status(429))
    collected(catalogue(replace(entry, models=models)).stream(choice, call()))
    assert [received.body["model"] for received in provider.requests] == ["a", "c", "a", "b"]


def test_who_takes_images(entry: Provider) -> None:
    """The first model's entry says it, or its provider where the model isn't listed; the built-in one takes none."""
    models = catalogue(replace(entry, models=(seeing("a"),)), replace(entry, id="q", input=("text", "image")))
    assert models.takes_images(ModelChoice("p/a", ("p/b",)))
    assert models.takes_images(ModelChoice("q/any"))
    assert not models.takes_images(ModelChoice("p/b", ("p/a",)))
    assert not models.takes_images(ModelChoice(LOCAL_MODEL))


def test_choices_are_remembered_within_bounds(entry: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers who choose ever other models don't fill the memory."""
    monkeypatch.setattr(catalogue_module, "MOST_CHOICES", 3)
    models = catalogue(entry)
    for number in range(10):
        models.stream(ModelChoice(f"p/{number}"), call())
    assert len(models._candidates) <= 3


# Reloads.


@pytest.mark.parametrize("own", [False, True])
def test_an_unchanged_provider_keeps_its_connections(provider: ScriptedProvider, entry: Provider, own: bool) -> None:
    """A reload that doesn't touch a provider leaves its idle connections in use, and those of its models' own."""
    if own:
        entry = replace(entry, models=(Model(id="m", name="m", headers=MappingProxyType({"X-Own": "1"})),))
    first = catalogue(entry)
    ask(first, "p/m")
    before = provider.connections
    second = catalogue(replace(entry), previous=first)
    ask(second, "p/m")
    assert provider.connections == before
    assert provider.requests[0].connection_id == provider.requests[1].connection_id


@pytest.mark.parametrize("change", ["removed", "key", "headers", "timeout", "models"])
def test_a_changed_provider_has_new_connections(provider: ScriptedProvider, entry: Provider, change: str) -> None:
    """What was removed or changed is closed, and the new settings are in force."""
    first = catalogue(entry)
    ask(first, "p/m")
    changed = {
        "removed": (),
        "key": (replace(entry, api_key="another-key"),),
        "headers": (replace(entry, headers=MappingProxyType({"X-New": "1"})),),
        "timeout": (replace(entry, timeout_seconds=7),),
        "models": (replace(entry, models=(Model(id="m", name="m"),)),),
    }[change]
    second = catalogue(*changed, previous=first)
    assert provider.requests[0].closed.wait(5)
    if changed:
        ask(second, "p/m")
        if change == "key":
            assert provider.requests[1].headers["authorization"] == "Bearer another-key"


def test_a_running_answer_outlives_a_reload(provider: ScriptedProvider, entry: Provider) -> None:
    """A run that is being answered when its provider is removed is answered to its end."""
    hold = threading.Event()
    provider.default = Reply("Hello", " world", hold=hold, hold_at=1)
    first = catalogue(entry)
    running = gevent.spawn(ask, first, "p/m")
    until(lambda: provider.requests)
    catalogue(previous=first)
    hold.set()
    with gevent.Timeout(10):
        assert running.get() == "Hello world"


def test_a_provider_that_cannot_be_connected_leaves_the_old_ones(provider: ScriptedProvider, entry: Provider) -> None:
    """A reload that fails takes nothing away."""
    first = catalogue(entry)
    ask(first, "p/m")
    broken = Provider(id="q", base_url="http:///v1")
    with pytest.raises(ValueError, match="no host"):
        catalogue(broken, previous=first)
    assert ask(first, "p/m") == "Hello world"


# The local model.


def local_agent(primary: str = LOCAL_MODEL, *fallbacks: str) -> Agent:
    return replace(MAIN, model=ModelChoice(primary, fallbacks))


def test_the_local_model_is_called_where_it_runs(provider: ScriptedProvider) -> None:
    """The process says where it listens and with which key; a small model's answer is bounded."""
    assert ask(catalogue(local=FakeLocal(provider.base_url)), LOCAL_MODEL) == "Hello world"
    received = provider.requests[0]
    assert received.headers["authorization"] == "Bearer a-random-key"
    assert received.body["max_tokens"] == DEFAULT_MAX_TOKENS


def test_a_caller_may_ask_the_local_model_for_more_or_less(provider: ScriptedProvider) -> None:
    """The request's limit counts, not the default."""
    ask(catalogue(local=FakeLocal(provider.base_url)), LOCAL_MODEL, max_tokens=5)
    assert provider.requests[0].body["max_tokens"] == 5


def test_the_local_model_is_not_called_through_a_proxy(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine whose traffic goes through a proxy, prompts and key of the local model stay on it."""
    with RawServer(response(b"")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(catalogue(local=FakeLocal(provider.base_url)), LOCAL_MODEL) == "Hello world"
    assert proxy.requests == []


def test_the_local_model_is_waited_for_until_the_deadline(provider: ScriptedProvider) -> None:
    """A process that still starts gets the time that the run has left."""
    local = FakeLocal(provider.base_url)
    collected(catalogue(local=local).stream(ModelChoice(LOCAL_MODEL), call(seconds=30)))
    assert 0 < local.timeouts[0] <= 30


def test_a_local_model_that_started_anew_is_found(provider: ScriptedProvider) -> None:
    """After a restart the process listens elsewhere with another key."""
    local = FakeLocal(provider.base_url)
    models = catalogue(local=local)
    ask(models, LOCAL_MODEL)
    local.endpoint = SimpleNamespace(base_url=provider.base_url, api_key="another-key")
    ask(models, LOCAL_MODEL)
    keys = [received.headers["authorization"] for received in provider.requests]
    assert keys == ["Bearer a-random-key", "Bearer another-key"]


def test_each_call_of_the_local_model_has_its_own_connection(provider: ScriptedProvider) -> None:
    """Its server closes a connection after a while, so none is used again, and none is left open."""
    models = catalogue(local=FakeLocal(provider.base_url))
    ask(models, LOCAL_MODEL)
    ask(models, LOCAL_MODEL)
    first, second = provider.requests
    assert first.headers["connection"] == "close"
    assert first.connection_id != second.connection_id


def test_a_reload_keeps_the_local_model(provider: ScriptedProvider) -> None:
    """The local model's process is the same under every configuration."""
    first = catalogue(local=FakeLocal(provider.base_url))
    assert ask(catalogue(previous=first), LOCAL_MODEL) == "Hello world"


def test_the_local_model_is_offered_no_tool_that_every_agent_has(provider: ScriptedProvider) -> None:
    """A tool that comes with every agent costs the small model no choice: it answers at once."""
    asked = call()._replace(model="smollm2-135m", tools=[{"type": "function", "function": {"name": "session_status"}}])
    models = catalogue(local=FakeLocal(provider.base_url))
    assert text_of(collected(models.stream(ModelChoice(LOCAL_MODEL), asked))) == "Hello world"
    (received,) = provider.requests
    assert not {"tools", "response_format"} & received.body.keys()


def test_there_is_one_local_model() -> None:
    """Another name under ``local/`` is refused."""
    with pytest.raises(ProviderError, match="local/smollm2-135m"):
        ask(catalogue(), "local/llama")


def test_the_local_models_window_is_known_once_it_ran() -> None:
    """What the process reports for each slot is what the catalogue says."""
    local = FakeLocal()
    models = catalogue(local=local)
    assert models.model(LOCAL_MODEL).context_window is None
    local.context_window = 2048
    assert models.model(LOCAL_MODEL).context_window == 2048


def test_who_uses_the_local_model(entry: Provider) -> None:
    """It has to be warm when any agent may call it, as its first choice or to fall back to."""
    assert catalogue(agents=(local_agent(),)).uses_local()
    assert catalogue(entry, agents=(local_agent("p/m"), replace(local_agent("p/m", LOCAL_MODEL), id="b"))).uses_local()
    assert not catalogue(entry, agents=(local_agent("p/m"),)).uses_local()


def test_a_provider_called_local_takes_its_place(provider: ScriptedProvider) -> None:
    """An operator who configures ``local`` means that server, and the built-in model isn't started."""
    own = Provider(id="local", base_url=provider.base_url)
    models = catalogue(own, agents=(local_agent(),))
    assert not models.uses_local()
    assert ask(models, "local/llama") == "Hello world"
    assert models.model(LOCAL_MODEL).name == "smollm2-135m"
