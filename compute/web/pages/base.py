"""The context that pages with a form share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest

from ...computation import Computation
from ...files import names_in
from ...forms import shown
from ...queue import pauses
from ...queue.models import Node
from .. import room
from ..bodies import NO_FILES


def seconds_between(start: datetime, end: datetime) -> float:
    """Never negative: the two may be of the clocks of two machines, or `end` of a moment before the
    statement that found `start`."""
    return max(0.0, (end - start).total_seconds())


def site_context(request: HttpRequest) -> dict[str, Any]:
    """Whether there is a queue server, a session, and room, and what is paused, for every page
    with a form."""
    return {
        "pauses": list(pauses.pauses()),
        "queue_server": Node.objects.alive().exists(),
        "has_session": settings.SESSION_COOKIE_NAME in request.COOKIES,
        "full": room.told_to(request),
    }


def form_context(computation: Computation, form: Form) -> dict[str, Any]:
    """A form as pages draw it. Templates don't look into it: a field may be called `errors`."""
    with computation.running("form"):
        mistakes = [str(error) for error in form.non_field_errors()]
        media, takes_files = form.media.render(), bool(names_in(form))
    return {
        "form": form,
        "media": media,
        "takes_files": takes_files,
        "no_files": NO_FILES if takes_files and not settings.MAX_UPLOAD_MB else "",
        "fields": shown(computation, form),
        "mistakes": mistakes,
        "sized": "chunk_size" in form.fields,
    }
