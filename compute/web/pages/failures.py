"""The failed chunks of a run, on its page, and who can do what about them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django_q.models import Failure

from ...models import Progress, Run
from ...queue.call import shown_arguments
from ...queue.models import Job
from ...queue.text import shorten
from ..masking import shown_to

#: How many failed chunks a run's page describes.
FAILURES_SHOWN = 10


def failures_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """The first failed chunks of a run, with what django-q2 keeps of them."""
    if run.state != Run.State.ERROR:
        return {"failures": [], "more_failures": 0}
    failed = run.everything().filter(state=Job.State.FAILED)
    jobs = list(failed.order_by("position")[:FAILURES_SHOWN])
    more = failed.count() - len(jobs) if len(jobs) == FAILURES_SHOWN else 0
    records = Failure.objects.in_bulk([job.pk for job in jobs])
    return {
        "failures": [described(request, job, records.get(job.pk)) for job in jobs],
        "more_failures": more,
    }


def described(request: HttpRequest, job: Job, record: Failure | None) -> dict[str, Any]:
    arguments = ""
    if record is not None:
        given = shown_arguments(record.args or (), record.kwargs or {})
        arguments = shorten(", ".join(given), 1000)
    return {
        "job": job,
        "name": shown_to(request, job.name),
        "error": shown_to(request, job.error),
        "record": record,
        "arguments": shown_to(request, arguments),
    }


def only_combining_is_left(run: Run, progress: Progress) -> bool:
    """Whether all chunks are done, and combining them has failed or was cancelled."""
    ended = run.state in (Run.State.ERROR, Run.State.CANCELLED)
    return ended and progress.done == progress.total


def mended_by(run: Run, progress: Progress) -> str:
    """What its owner and staff can do about a run that has failed, for others to read."""
    if run.state != Run.State.ERROR:
        return ""
    if progress.failed:
        return "retry failed chunks" if run.chunks > 1 else "retry the task"
    return "combine it again"
