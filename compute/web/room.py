"""How full the database is, as staff is told."""

from __future__ import annotations

from django.http import HttpRequest

from ..queue import room

#: The share of MAX_KEPT_MB from which on staff is told.
TOLD_FROM = 0.8


def told_to(request: HttpRequest) -> float | None:
    """The share for staff, once it is worth knowing; None for all others, and before."""
    if not request.user.is_staff:
        return None
    taken = room.used()
    return taken if taken >= TOLD_FROM else None
