"""The page of a chunk: which piece it was, where and when, what it came to."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure

from ... import values
from ...models import Run
from ...models.keeping import held, small
from ...models.output import Kind, Output
from ...queue import results
from ...queue.chunks import Chunk
from ...queue.large import reference_in
from ...queue.models import Job, JobState
from ...queue.text import shorten
from ...values import NotKeptError
from ...words import SHOWN_CHARS, plain
from ..masking import shown_to
from ..outputs import address_of as address_of_result
from ..owners import may_manage, sees_all
from .base import seconds_between
from .outputs import Place, all_shown, in_words


def address_of(run: Run, number: int | str = "") -> str:
    """Where a chunk's page is; without a number, what goes before it."""
    return f"{reverse('chunk', args=[run.computation])}?task_id={run.task_id}&number={number}"


def named(request: HttpRequest, run: Run) -> bool:
    """Whether names of nodes are told: with RUNS_PRIVATE to the run's owner and staff."""
    return sees_all(request) or may_manage(request, run)


def chunk_data(request: HttpRequest, run: Run, chunk: Chunk) -> dict[str, Any]:
    """A chunk as this client may know it, as plain data. Times are in UTC; how long it waited and
    took, up to now if it is not over, in seconds."""
    names = named(request, run)
    return {
        "number": chunk.number,
        "arguments": shown_to(request, chunk.arguments),
        "state": chunk.state,
        "tries": chunk.attempt,
        "node": chunk.node if names else None,
        "worker": chunk.worker if names else None,
        "progress": 1.0 if chunk.state == JobState.DONE else round(chunk.progress, 4),
        "queued_at": said(chunk.queued_at),
        "started_at": said(chunk.started_at),
        "finished_at": said(chunk.finished_at),
        "seconds": None if chunk.seconds is None else round(chunk.seconds, 3),
        "error": shown_to(request, chunk.error) or None,
    }


def said(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def chunk_context(request: HttpRequest, run: Run, chunk: Chunk) -> dict[str, Any]:
    now = timezone.now()
    open_ = chunk.state in (JobState.QUEUED, JobState.RUNNING)
    begun = chunk.started_at if chunk.state != JobState.QUEUED else None
    return {
        "run": run,
        "chunk": chunk,
        "told": chunk_data(request, run, chunk),
        "open": open_,
        "begun": begun,
        "waited": seconds(chunk.queued_at, begun or (now if open_ else chunk.finished_at)),
        "took": seconds(begun, now if open_ else chunk.finished_at),
        "address": address_of(run, chunk.number),
        "before": address_of(run, chunk.number - 1) if chunk.number > 1 else None,
        "after": address_of(run, chunk.number + 1) if chunk.number < run.chunks else None,
        "record": record_of(request, chunk),
        **result_context(request, run, chunk),
    }


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    return seconds_between(start, end) if start and end else None


def record_of(request: HttpRequest, chunk: Chunk) -> str | None:
    """Where the admin tells of it: of its failure if it has failed, with a traceback; else of its
    job. None for those who may not look there."""
    failed = chunk.state == JobState.FAILED and request.user.has_perm("django_q.view_failure")
    if failed and Failure.objects.filter(pk=chunk.task_id).exists():
        return reverse("admin:django_q_failure_change", args=[chunk.task_id])
    if request.user.has_perm("queue.view_job"):
        return reverse("admin:queue_job_change", args=[chunk.task_id])
    return None


# --- its result ----------------------------------------------------------------------------


def outputs_of(chunk: Chunk) -> tuple[Any, list[Output]]:
    """Its result and how that is shown, if it is short and plain data, for no class's code runs in
    a web process. NotKeptError, which says why not, for any other."""
    found = results.plain_result(chunk.task_id)
    if found is None:
        raise NotKeptError(f"it is {what_it_is(chunk)}, which workers alone read")
    return found[0], held(found[0])


def what_it_is(chunk: Chunk) -> str:
    stored = Job.objects.filter(pk=chunk.task_id).values_list(results.BEGUN, flat=True).first()
    reference = reference_in(stored)
    return f"a {reference}" if reference else "long, or of a class of its own"


def result_data(request: HttpRequest, run: Run, chunk: Chunk) -> dict[str, Any]:
    """The result itself if it has a small form as JSON, or else where it is to be had."""
    if chunk.state != JobState.DONE:
        return {"result": None, "result_at": None}
    try:
        result, _ = outputs_of(chunk)
    except NotKeptError:
        return {"result": None, "result_at": None}
    with suppress(NotKeptError):  # bytes
        if told := small(result):
            return {"result": told[0], "result_at": None}
    return {"result": None, "result_at": request.build_absolute_uri(result_address(run, chunk))}


def result_context(request: HttpRequest, run: Run, chunk: Chunk) -> dict[str, Any]:
    """The result as people read it, as what it is; or why it can't be shown."""
    if chunk.state != JobState.DONE:
        return {}
    try:
        result, outputs = outputs_of(chunk)
        at = result_address(run, chunk)
        if any(output.kind not in (Kind.VALUE, Kind.TEXT) for output in outputs):
            place = Place(address_of(run, chunk.number), at)
            return {"outputs": all_shown(request, outputs, place)}
        text = shorten(plain(values.kept(result)), SHOWN_CHARS)
    except NotKeptError as error:
        return {"why_not": str(error)}
    return {"in_words": in_words(result, text), "result_at": at}


def result_address(run: Run, chunk: Chunk) -> str:
    return address_of_result(run, chunk=chunk.number)
