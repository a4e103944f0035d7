"""Tokens as the protocol counts them, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from app.concurrency.slices import taking_turns
from app.providers.catalogue import Catalogue
from app.providers.stream import Usage
from app.sessions.usage import Sum


def usage_of(usage: Usage) -> dict[str, int]:
    """``input`` is what the provider had to read: what it had cached stands beside it."""
    return {
        "input": usage.prompt - usage.cached,
        "output": usage.completion,
        "cacheRead": usage.cached,
        "totalTokens": usage.prompt + usage.completion,
    }


class Bill:
    """Adds up what models' answers cost, by the prices that their entries in ``models.providers`` have. Cooperative."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._known: dict[str, Mapping[str, float]] = {"": {}}

    def of(self, items: Iterable[tuple[str, Sum]]) -> dict[str, Any]:
        """Tokens, and what they cost in the currency of those prices, which are for a million.

        missingCostEntries: turns whose model has no price.
        """
        sums, missing = Sum(), 0
        total = {"inputCost": 0.0, "outputCost": 0.0, "cacheReadCost": 0.0}
        for model, used in taking_turns(items):
            sums = sums.plus(used)
            prices = self._prices(model)
            if not prices:
                missing += used.turns if used.prompt or used.completion else 0
                continue
            total["inputCost"] += (used.prompt - used.cached) * prices.get("input", 0) / 1e6
            total["outputCost"] += used.completion * prices.get("output", 0) / 1e6
            total["cacheReadCost"] += used.cached * prices.get("cache_read", prices.get("input", 0)) / 1e6
        return {
            "input": sums.prompt - sums.cached,
            "output": sums.completion,
            "cacheRead": sums.cached,
            "cacheWrite": 0,
            "totalTokens": sums.prompt + sums.completion,
            "totalCost": sum(total.values()),
            **total,
            "cacheWriteCost": 0.0,
            "missingCostEntries": missing,
            "turns": sums.turns,
            "errors": sums.failed,
        }

    def _prices(self, model: str) -> Mapping[str, float]:
        if model not in self._known:
            self._known[model] = self._catalogue.model(model).cost
        return self._known[model]

    def day(self, by_model: Mapping[str, Sum]) -> dict[str, Any]:
        totals = self.of(by_model.items())
        return {"tokens": totals["totalTokens"], "cost": totals["totalCost"], **totals}

    def grouped(self, items: Iterable[tuple[str, Sum]], name: Callable[[str], dict[str, str]]) -> list[dict[str, Any]]:
        """Sums of the models that have the same ``name``, the most used first."""
        groups: dict[tuple[tuple[str, str], ...], list[tuple[str, Sum]]] = {}
        for model, used in taking_turns(items):
            groups.setdefault(tuple(name(model).items()), []).append((model, used))
        told = [
            {**dict(named), "count": sum(used.turns for _, used in group), "totals": self.of(group)}
            for named, group in groups.items()
        ]
        return sorted(told, key=lambda each: -each["totals"]["totalTokens"])
