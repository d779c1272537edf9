"""`/metrics`: who may ask for it, and its text."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from prometheus_client import CollectorRegistry, generate_latest

from ..queue.metrics import QueueCollector


def text() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(QueueCollector())
    return generate_latest(registry)


def may_scrape(request: HttpRequest) -> bool:
    """With METRICS_TOKEN set, a request that brings it; else staff, and with DEBUG everybody."""
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")
    return settings.DEBUG or request.user.is_staff
