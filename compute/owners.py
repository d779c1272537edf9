"""Who may cancel, retry and repeat a run: the session that started it, and staff."""

from __future__ import annotations

from uuid import uuid4

from django.http import HttpRequest

from .clients import OWNER, client_of
from .models import Run, Sweep
from .replies import wants_page


def own(request: HttpRequest, run: Run | Sweep) -> None:
    """Note that this session started the run; a browser without a session gets one.

    And which client the run counts for: until it has a session, its address.
    """
    run.client = client_of(request)
    if wants_page(request) or OWNER in request.session:
        run.owner = request.session.setdefault(OWNER, uuid4().hex)
    run.save(update_fields=["owner", "client"])


def may_manage(request: HttpRequest, run: Run) -> bool:
    return request.user.is_staff or bool(run.owner and run.owner == request.session.get(OWNER))
