"""Which models there are, and who serves them."""

from __future__ import annotations

from collections.abc import Iterator

from app.config.settings import LOCAL_MODEL, Model, ModelChoice, Provider, Settings
from app.errors import ProviderError
from app.providers.builtin import LocalProvider
from app.providers.local import LocalModel
from app.providers.openai_completions import OpenAICompletions
from app.providers.retry import stream_with_retries
from app.providers.stream import Delta, ModelCall
from app.providers.stream import Provider as Speaker
from app.providers.upstream import Upstream

LOCAL = "local"


class Catalogue:
    """The providers of one configuration.

    A reload makes a new one from the old: providers whose settings did not change keep their connections.
    """

    def __init__(self, settings: Settings, local_model: LocalModel, previous: Catalogue | None = None) -> None:
        self._settings = settings
        self._local: LocalProvider = previous._local if previous else LocalProvider(local_model)
        self._upstreams: dict[str, tuple[Provider, Upstream]] = {}
        self._speakers: dict[str, Speaker] = {}
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
        """Deltas of the chosen model's answer. ``call.model`` is set here. Raises ProviderError and its kinds."""
        reference = choice.primary
        provider = self._speakers.get(reference)
        if provider is None:
            provider = self._speakers[reference] = self._speaker(reference)
        return stream_with_retries(provider, call._replace(model=reference.partition("/")[2]))

    def _speaker(self, reference: str) -> Speaker:
        """What speaks to the model, in its wire format. Raises ProviderError."""
        provider_id = reference.partition("/")[0]
        if provider_id == LOCAL and LOCAL not in self._upstreams:
            return self._local
        if provider_id not in self._upstreams:
            raise ProviderError(f"no provider {provider_id!r}; add models.providers.{provider_id} to the configuration")
        provider, upstream = self._upstreams[provider_id]
        if provider.api != "openai-completions":
            raise ProviderError(f"provider {provider_id} speaks {provider.api}, which this version does not")
        return OpenAICompletions(upstream, _max_tokens_field(provider, self.model(reference)))

    def model(self, reference: str) -> Model:
        """What is known of ``provider/model``; for a model that no catalogue lists, its id alone."""
        provider_id, _, model_id = reference.partition("/")
        if reference == LOCAL_MODEL and LOCAL not in self._upstreams:
            return self._local.model()
        provider = self._settings.providers.get(provider_id)
        for model in provider.models if provider else ():
            if model.id == model_id:
                return model
        return Model(id=model_id, name=model_id)

    def uses_local(self) -> bool:
        """Whether an agent may call the built-in model, so that it has to be warm."""
        if LOCAL in self._upstreams:
            return False
        choices = (agent.model for agent in self._settings.agents.values())
        return any(ref.startswith(f"{LOCAL}/") for choice in choices for ref in (choice.primary, *choice.fallbacks))


def _connect(provider: Provider) -> Upstream:
    headers = dict(provider.headers)
    if provider.api_key and not any(name.lower() == "authorization" for name in headers):
        headers["Authorization"] = f"Bearer {provider.api_key}"
    return Upstream(provider.id, provider.base_url, headers, provider.timeout_seconds)


def _max_tokens_field(provider: Provider, model: Model) -> str:
    if named := model.max_tokens_field or provider.max_tokens_field:
        return named
    # OpenAI's reasoning models refuse the old name; most compatible servers know only that one.
    return "max_completion_tokens" if "api.openai.com" in provider.base_url else "max_tokens"
