"""How a run stands, in a word, and when to ask again."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.utils import timezone

from ..models import Progress, Run
from ..queue.models import JobState
from .pages.run import pause


def standing(run: Run, progress: Progress) -> dict[str, Any]:
    """What a check's JSON says of it: the state in the words of its page, and in how many seconds
    one may ask again if it is unfinished."""
    told: dict[str, Any] = {"state": state_of(run, progress)}
    if run.state == Run.State.IN_PROGRESS:
        told["poll_after"] = pause((timezone.now() - run.created_at).total_seconds())
    return told


def state_of(run: Run, progress: Progress) -> str:
    """queued, running, paused, done, failed or cancelled."""
    if run.state != Run.State.IN_PROGRESS:
        return str(run.get_state_display())
    if run.flow.filter(Q(paused=True) | Q(kind_paused=True)).exists():
        return "paused"
    begun = progress.done or progress.failed or run.combine_id
    return "running" if begun or run.jobs.filter(state=JobState.RUNNING).exists() else "queued"
