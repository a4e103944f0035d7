"""Which models there are, and who serves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from app.config.settings import LOCAL_MODEL, NO_COMPAT, Agent, Compat, Model, ModelChoice, Provider, Settings
from app.errors import ProviderError
from app.providers import anthropic_messages, request_fields
from app.providers.anthropic_messages import AnthropicMessages
from app.providers.builtin import LocalProvider
from app.providers.compat import not_taken
from app.providers.completions_request import USUAL, Dialect
from app.providers.failover import Candidate, Standing, stream_with_failover
from app.providers.images import has_images
from app.providers.local import LocalModel
from app.providers.openai_completions import OpenAICompletions
from app.providers.openai_responses import OpenAIResponses
from app.providers.stream import Delta, ModelCall
from app.providers.stream import Provider as Speaker
from app.providers.upstream import Upstream

LOCAL = "local"
# Choices and models that are remembered; a caller may choose any model of a provider that lists none.
MOST_CHOICES = 1000
_BY_HOST = {
    "mistral.ai": Compat(requires_mistral_tool_ids=True),
    "deepseek.com": Compat(requires_reasoning_content_on_assistant_messages=True),
}
_OPENAI_HOSTS = (".api.openai.com", ".openai.azure.com")


class Catalogue:
    """The providers of one configuration.

    A reload makes a new one from the old: providers whose settings did not change keep their connections.
    """

    def __init__(self, settings: Settings, local_model: LocalModel, previous: Catalogue | None = None) -> None:
        self._settings = settings
        self._local: LocalProvider = previous._local if previous else LocalProvider(local_model)
        # By provider, and by provider/model for those with an address of their own.
        self._upstreams: dict[str, tuple[Provider, Upstream]] = {}
        # Of entries for one id the first counts.
        self._listed = {
            f"{provider.id}/{model.id}": model
            for provider in settings.providers.values()
            for model in reversed(provider.models)
        }
        self._models: dict[str, Model] = {}
        self._candidates: dict[ModelChoice, list[Candidate]] = {}
        self.standing: Standing = previous.standing if previous else Standing()
        before = previous._upstreams if previous else {}
        for key, kept in before.items():
            if settings.providers.get(kept[0].id) == kept[0]:
                self._upstreams[key] = kept
        for id, provider in settings.providers.items():
            if id not in self._upstreams:
                self._upstreams[id] = provider, _connect(provider)
        # Only now: a configuration that can't be connected takes nothing away.
        for key, kept in before.items():
            if self._upstreams.get(key) is not kept:
                kept[1].close()

    def stream(self, choice: ModelChoice, call: ModelCall) -> Iterator[Delta]:
        """Deltas of the chosen model's answer, or a fallback's. ``call.model`` is set here.

        Raises ProviderError and its kinds.
        """
        candidates = self._candidates.get(choice)
        if candidates is None:
            if len(self._candidates) >= MOST_CHOICES:
                self._candidates.clear()
            candidates = [Candidate(ref, self._speaker(ref)) for ref in (choice.primary, *choice.fallbacks)]
            self._candidates[choice] = candidates
        if len(candidates) > 1 and has_images(call.messages):
            # Whether the first one takes images was asked before the run began.
            candidates = [candidates[0], *(each for each in candidates[1:] if self._takes_images(each.reference))]
        return stream_with_failover(candidates, call, self.standing)

    def knows(self, reference: str) -> bool:
        """Whether ``provider/model`` can be asked for: any of a provider that lists none, or what has an alias."""
        provider_id, _, model_id = reference.partition("/")
        provider = self._settings.providers.get(provider_id)
        if provider is None:
            return reference == LOCAL_MODEL
        if not model_id:
            return False
        return not provider.models or reference in self._listed or reference in self._settings.aliases.values()

    def named(self, name: str) -> str:
        """The ``provider/model`` that an alias stands for; any other name as it is."""
        return self._settings.aliases.get(name.strip().lower(), name)

    def takes_images(self, choice: ModelChoice) -> bool:
        return self._takes_images(choice.primary)

    def window(self, agent: Agent, choice: ModelChoice) -> int | None:
        """Tokens that a call may have for prompt and answer, where known."""
        known = self.model(choice.primary).context_window
        return min(known, agent.context_tokens) if known and agent.context_tokens else known or agent.context_tokens

    def _takes_images(self, reference: str) -> bool:
        return "image" in self.model(reference).input

    def _speaker(self, reference: str) -> Speaker:
        """What speaks to the model, in its wire format. Raises ProviderError."""
        provider_id = reference.partition("/")[0]
        if provider_id == LOCAL and LOCAL not in self._upstreams:
            return self._local
        if provider_id not in self._upstreams:
            raise ProviderError(f"no provider {provider_id!r}; add models.providers.{provider_id} to the configuration")
        provider, upstream = self._upstreams[provider_id]
        model = self.model(reference)
        api = model.api or provider.api
        if _has_own_connection(model):
            upstream = self._own_upstream(provider, model)
        fields = self.taken(reference)
        if api == "anthropic-messages":
            return AnthropicMessages(upstream, model, fields)
        compat, openai = model.compat, _is_openai(provider, model)
        by_key = openai if compat.supports_prompt_cache_key is None else compat.supports_prompt_cache_key
        if api == "openai-responses":
            return OpenAIResponses(upstream, model, fields, by_key=by_key)
        # OpenAI's reasoning models refuse the old name; most compatible servers know only that one.
        limit = compat.max_tokens_field or ("max_completion_tokens" if openai else "max_tokens")
        return OpenAICompletions(upstream, Dialect(fields, limit, by_key, compat, model.body))

    def taken(self, reference: str) -> frozenset[str]:
        """Names of the fields of a caller's request that the model ``provider/model`` is sent."""
        provider = self._settings.providers.get(reference.partition("/")[0])
        if provider is None:
            return USUAL.fields
        model = self.model(reference)
        openai = _is_openai(provider, model)
        known = request_fields.taken(model.api or provider.api, openai=openai, pass_fields=provider.pass_fields)
        return known - not_taken(model.compat)

    def _own_upstream(self, provider: Provider, model: Model) -> Upstream:
        """The connections of a model whose entry says another address, format or header than its provider's."""
        key = f"{provider.id}/{model.id}"
        if key not in self._upstreams:
            self._upstreams[key] = (provider, _connect(_as_its_own(provider, model)))
        return self._upstreams[key][1]

    def model(self, reference: str) -> Model:
        """What is known of ``provider/model``: its entry, or else its id and what its provider takes."""
        if reference == LOCAL_MODEL and LOCAL not in self._upstreams:
            return self._local.model()
        known = self._models.get(reference)
        if known is None:
            if len(self._models) >= MOST_CHOICES:
                self._models.clear()
            known = self._models[reference] = self._described(reference)
        return known

    def _described(self, reference: str) -> Model:
        provider_id, _, model_id = reference.partition("/")
        provider = self._settings.providers.get(provider_id)
        if provider is None:
            return Model(id=model_id, name=model_id)
        listed = self._listed.get(reference)
        compat = provider.compat.over(_usual_compat((listed and listed.base_url) or provider.base_url))
        if listed is not None:
            compat = listed.compat.over(compat)
            return listed if compat == listed.compat else replace(listed, compat=compat)
        body = provider.bodies.get(model_id, provider.body)
        return Model(id=model_id, name=model_id, input=provider.input, compat=compat, body=body)

    def uses_local(self) -> bool:
        """Whether an agent may call the built-in model, so that it has to be warm."""
        return self._settings.uses_local_model


def _connect(provider: Provider) -> Upstream:
    if provider.api == "anthropic-messages":
        headers = anthropic_messages.headers(provider)
    else:
        headers = dict(provider.headers)
        if provider.api_key and not any(name.lower() == "authorization" for name in headers):
            headers["Authorization"] = f"Bearer {provider.api_key}"
    return Upstream(
        provider.id,
        provider.base_url,
        headers,
        provider.timeout_seconds,
        max_answer_bytes=provider.max_answer_bytes,
    )


def _has_own_connection(model: Model) -> bool:
    return bool(model.base_url or model.api or model.headers)


def _as_its_own(provider: Provider, model: Model) -> Provider:
    own = {name.lower() for name in model.headers}
    return replace(
        provider,
        api=model.api or provider.api,
        base_url=model.base_url or provider.base_url,
        headers={
            **{name: value for name, value in provider.headers.items() if name.lower() not in own},
            **model.headers,
        },
    )


def _usual_compat(base_url: str) -> Compat:
    """What is known of a server by its address."""
    host = urlsplit(base_url).hostname or ""
    return next((compat for name, compat in _BY_HOST.items() if host == name or host.endswith(f".{name}")), NO_COMPAT)


def _is_openai(provider: Provider, model: Model) -> bool:
    """Whether it is OpenAI's own server, or Azure's of the same models."""
    if provider.dialect is not None:
        return provider.dialect == "openai"
    host = urlsplit(model.base_url or provider.base_url).hostname or ""
    return host == "api.openai.com" or host.endswith(_OPENAI_HOSTS)
