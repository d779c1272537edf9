"""The context that pages with a form share."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from ...forms import ChunkSizeForm, shown
from ...queue import pauses
from ...queue.models import Node
from .. import room


def site_context(request: HttpRequest) -> dict[str, Any]:
    """Whether there is a queue server, a session, and room, and what is paused, for every page
    with a form."""
    return {
        "pauses": list(pauses.pauses()),
        "queue_server": Node.objects.alive().exists(),
        "has_session": settings.SESSION_COOKIE_NAME in request.COOKIES,
        "full": room.told_to(request),
    }


def form_context(form: ChunkSizeForm) -> dict[str, Any]:
    """A form as pages draw it. Templates don't look into it: a field may be called `errors`."""
    with form.computation.blaming("form"):
        mistakes = [str(error) for error in form.non_field_errors()]
    return {
        "form": form,
        "fields": shown(form),
        "mistakes": mistakes,
        "sized": "chunk_size" in form.fields,
    }
