"""The site's own addresses: its nodes, its health, its metrics."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST

from . import health, metrics
from .base import HtmxHttpRequest, ReplyView
from .pages.nodes import nodes_context
from .replies import page_or_json, refuse


class NodesView(ReplyView):
    """The queue servers, what their workers run, and what waits."""

    def get(self, request: HtmxHttpRequest) -> HttpResponse:
        context = nodes_context(request)
        data = {
            "waiting": context["waiting"],
            "oldest_seconds": context["oldest"],
            "paused": {pause.kind: pause.since for pause in context["pauses"]},
            "flows": context["flows"],
            "more_flows": context["more_flows"],
            "nodes": [
                {
                    "name": each["name"],
                    "host": each["host"],
                    "state": each["state"],
                    "draining": each["draining"],
                    "paused": each["paused"],
                    "since": each["node"].started_at,
                    "seen": each["node"].seen_at,
                    "workers": each["node"].workers,
                    "ended": each["node"].ended,
                    "restarts": each["node"].restarts,
                    "running": [
                        {"task": one["task"], "seconds": one["seconds"]} for one in each["running"]
                    ],
                }
                for each in context["nodes"]
            ],
        }
        template = "compute/_nodes.html" if request.htmx else "compute/nodes.html"
        return page_or_json(request, template, context, data)


class HealthView(ReplyView):
    """This process answers. Touches nothing else. (For machines, so JSON it is.)"""

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"status": "ok"})


class ReadyView(ReplyView):
    """The site can do its work: database, migrations, a queue server; and what it is kept from."""

    def get(self, request: HttpRequest) -> HttpResponse:
        detail = health.missing()
        if detail:
            return JsonResponse({"detail": detail}, status=503, headers={"Retry-After": "5"})
        return JsonResponse({"status": "ok", **health.held_back()})


class MetricsView(ReplyView):
    """For Prometheus: how the queue stands and what it has done."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if metrics.may_scrape(request):
            headers = {"Cache-Control": "no-store"}
            return HttpResponse(metrics.text(), content_type=CONTENT_TYPE_LATEST, headers=headers)
        if settings.METRICS_TOKEN:
            detail = "Send `Authorization: Bearer <METRICS_TOKEN>`."
            return refuse(request, 401, detail, headers={"WWW-Authenticate": "Bearer"})
        return refuse(request, 403, "For staff, until METRICS_TOKEN is set for a scraper.")
