"""Who may cancel, retry and repeat a run: the session that started it, and staff."""

from __future__ import annotations

from uuid import uuid4

from django.http import HttpRequest

from .models import Run, Sweep
from .replies import wants_page

#: Where a session keeps what its runs know it by. Not its key, for staff sees the runs.
OWNER = "owner"


def own(request: HttpRequest, run: Run | Sweep) -> None:
    """Note that this session started the run; a browser without a session gets one."""
    if wants_page(request) or OWNER in request.session:
        run.owner = request.session.setdefault(OWNER, uuid4().hex)
        run.save(update_fields=["owner"])


def may_manage(request: HttpRequest, run: Run) -> bool:
    return request.user.is_staff or bool(run.owner and run.owner == request.session.get(OWNER))
