"""Policies for models that none of the configuration is meant by: they narrow nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.config.faults import KeyPath, Report, What, dotted, value_at
from app.config.meant import is_model
from app.config.settings import LOCAL_MODEL, Settings


def for_no_model(settings: Settings) -> Iterator[str]:
    """Where such policies stand, as far as it is known which models there are."""
    references = {LOCAL_MODEL}
    for agent in settings.agents.values():
        references |= {agent.model.primary, *agent.model.fallbacks, *(agent.overrides or ())}
    for id, provider in settings.providers.items():
        references |= {f"{id}/", *(f"{id}/{model.id}" for model in provider.models)}
    meant: dict[str, bool] = {}
    for tools in (settings.tools, *(agent.tools for agent in settings.agents.values())):
        for limit in tools.limits:
            if limit.model is not None:
                # Of a provider, other models may be asked than those that it lists.
                names = (limit.model, f"{limit.model.partition('/')[0]}/")
                known = any(is_model(reference, name) for reference in references for name in names)
                # By its alias a model has a second limit of the same key.
                meant[limit.where] = meant.get(limit.where, False) or known
    return (where for where, known in meant.items() if not known)


def note_modelless(settings: Settings, owners: Iterable[KeyPath], report: Report) -> None:
    """Note them as ignored. owners: where sections ``tools`` may stand."""
    found = set(for_no_model(settings))
    for owner in owners if found else ():
        policies = value_at(report.document, (*owner, "byProvider"))
        for name in policies if isinstance(policies, dict) else ():
            if dotted(path := (*owner, "byProvider", name)) in found:
                report.note(path, What.IGNORED, "no provider and no model is called so, it narrows nothing")
