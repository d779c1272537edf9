"""What every page with a form shows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from ...queue.models import Node
from .. import room


def site_context(request: HttpRequest) -> dict[str, Any]:
    """What every page with a form needs."""
    return {
        "queue_server": Node.objects.alive().exists(),
        "has_session": settings.SESSION_COOKIE_NAME in request.COOKIES,
        "full": room.told_to(request),
    }
