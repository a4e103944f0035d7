"""``GET /metrics``: what the gateway does, in Prometheus' text format.

Nothing is counted here: the parts that know are asked when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response, current_app
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.services import Services

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    registry = CollectorRegistry()
    registry.register(_Parts(current_app.extensions["gateway"]))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Parts(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("openclaw_runs_active", "Runs at work or waiting.", value=len(self._services.runs))
        standing = self._services.catalogue.standing
        failures = CounterMetricFamily(
            "openclaw_model_failures", "Calls that a model failed, retries not counted.", labels=["model"]
        )
        for model, count in standing.failures().items():
            failures.add_metric([model], count)
        yield failures
        aside = GaugeMetricFamily(
            "openclaw_model_set_aside", "1 while a model is not asked because it failed.", labels=["model"]
        )
        now_aside = standing.set_aside()
        for model in standing.failures():
            aside.add_metric([model], int(model in now_aside))
        yield aside
        servers = GaugeMetricFamily("openclaw_mcp_server_up", "1 while an MCP server answers.", labels=["server"])
        for server, state in self._services.toolbox.states().items():
            servers.add_metric([server], int(state == "ready"))
        yield servers
