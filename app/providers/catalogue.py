"""Which models there are, and who serves them."""

from __future__ import annotations

from collections.abc import Iterator

from app.config.settings import LOCAL_MODEL, Agent, Model, ModelChoice, Provider, Settings
from app.errors import ProviderError
from app.providers import anthropic_messages
from app.providers.anthropic_messages import AnthropicMessages
from app.providers.builtin import LocalProvider
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


class Catalogue:
    """The providers of one configuration.

    A reload makes a new one from the old: providers whose settings did not change keep their connections.
    """

    def __init__(self, settings: Settings, local_model: LocalModel, previous: Catalogue | None = None) -> None:
        self._settings = settings
        self._local: LocalProvider = previous._local if previous else LocalProvider(local_model)
        self._upstreams: dict[str, tuple[Provider, Upstream]] = {}
        self._models: dict[str, Model] = {}
        self._candidates: dict[ModelChoice, list[Candidate]] = {}
        self.standing: Standing = previous.standing if previous else Standing()
        for provider in settings.providers.values():
            kept = previous._upstreams.get(provider.id) if previous else None
            if kept and kept[0] == provider:
                self._upstreams[provider.id] = kept
            else:
                self._upstreams[provider.id] = (provider, _connect(provider))
        for id, (_, upstream) in (previous._upstreams if previous else {}).items():
            if self._upstreams.get(id, (None, None))[1] is not upstream:
                upstream.close()

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
        """Whether ``provider/model`` can be asked for: a model of a provider that lists none may be any."""
        provider_id, _, model_id = reference.partition("/")
        provider = self._settings.providers.get(provider_id)
        if provider is None:
            return reference == LOCAL_MODEL
        return bool(model_id) and (not provider.models or any(model.id == model_id for model in provider.models))

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
        if provider.api == "anthropic-messages":
            return AnthropicMessages(upstream, model)
        if provider.api == "openai-responses":
            return OpenAIResponses(upstream, model)
        return OpenAICompletions(upstream, _max_tokens_field(provider, model))

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
        listed = {model.id: model for model in provider.models}
        return listed.get(model_id) or Model(id=model_id, name=model_id, input=provider.input)

    def uses_local(self) -> bool:
        """Whether an agent may call the built-in model, so that it has to be warm."""
        return self._settings.uses_local_model


def _connect(provider: Provider) -> Upstream:
    if provider.api == "anthropic-messages":
        return Upstream(provider.id, provider.base_url, anthropic_messages.headers(provider), provider.timeout_seconds)
    headers = dict(provider.headers)
    if provider.api_key and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = f"Bearer {provider.api_key}"
    return Upstream(provider.id, provider.base_url, headers, provider.timeout_seconds)


def _max_tokens_field(provider: Provider, model: Model) -> str:
    if named := model.max_tokens_field or provider.max_tokens_field:
        return named
    # OpenAI's reasoning models refuse the old name; most compatible servers know only that one.
    return "max_completion_tokens" if "api.openai.com" in provider.base_url else "max_tokens"
