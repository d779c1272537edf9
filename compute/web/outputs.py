"""What came out of a run, to be taken away.

`GET compute/<name>/result/?task_id=…[&name=…][&chunk=N][&part=…][&as=json|jsonl|csv|parquet|file]`.
Without `as` a table comes as JSON, and anything else as what it is. With `part`, which may be
anything, a run that is not done gives what its page shows of it so far.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse

from ..models import Output, Run, notes
from ..models.keeping import held
from ..models.output import Kind
from ..queue.contents import Content
from ..queue.models import JobState
from ..queue.results import plain_in_order, plain_result
from ..values import NotKeptError, as_json, kept
from . import parquet
from .base import ReplyView, find_run, parameters
from .formats import FORMATS, OWN
from .listing import Listing, taken
from .replies import of_two_shapes, refuse
from .sending import NotThere, Reply, sent


class ResultView(ReplyView):
    """A run's result, one of several by its name, or that of a chunk, from 1; `chunk=all` has a
    line for each that is done by now."""

    def get(self, request: HttpRequest, name: str) -> HttpResponseBase:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        try:
            return self.answer(request, run)
        except NotThere as no:
            return refuse(request, no.status, str(no), headers=no.headers)
        except Content.DoesNotExist:
            return refuse(request, 404, "This result has just been removed, with its run.")

    def answer(self, request: HttpRequest, run: Run) -> HttpResponseBase:
        asked = parameters(request)
        wanted, name, chunk = asked.get("as", ""), asked.get("name"), asked.get("chunk")
        if chunk == "all":
            return all_chunks(request, run, wanted)
        title = run.title
        of_chunk: dict[str, Any] = {}
        if chunk is None and "part" in asked and (outputs := part_of(run)):
            title, of_chunk = f"{run.title}, so far", {"part": asked["part"]}
        elif chunk is None:
            outputs = outputs_of(run)
        else:
            number = number_of_chunk(run, chunk)
            title, of_chunk = f"{run.title}, chunk {number}", {"chunk": number}
            outputs = outputs_of_chunk(run, number)
        if name is None and not wanted and len(outputs) > 1 and outputs[0].name:
            told = [described(request, run, output, of_chunk) for output in outputs]
            return of_two_shapes(JsonResponse({"outputs": told}))
        return sent(request, reply_of(chosen(outputs, name), wanted, title))


def address_of(run: Run, **more: Any) -> str:
    """Where a run's result is to be had, without the site's own name."""
    query = urlencode({"task_id": run.task_id, **more})
    return f"{reverse('result', args=[run.computation])}?{query}"


def described(
    request: HttpRequest, run: Run, output: Output, of_chunk: dict[str, Any]
) -> dict[str, Any]:
    at = address_of(run, name=output.name, **of_chunk)
    return {
        "name": output.name,
        "kind": output.kind,
        "bytes": output.size,
        "rows": output.rows,
        "columns": output.columns,
        "at": request.build_absolute_uri(at),
    }


# --- which output -----------------------------------------------------------------------


def outputs_of(run: Run) -> list[Output]:
    """A run's outputs; a small value that has none is one in memory. NotThere before its end."""
    if run.state != Run.State.DONE and notes.is_out_of_date(run, run.progress()):
        notes.refresh(run)
    if run.state == Run.State.IN_PROGRESS:
        raise NotThere(409, "This run is not done yet; its check address says how far it is.")
    if run.state != Run.State.DONE:
        raise NotThere(409, "This run ended without a result; its check address says why.")
    return list(run.outputs.all()) or held(run.result)


def part_of(run: Run) -> list[Output]:
    """What a run that is not done has come to so far, if a worker has made something of it."""
    return [] if run.state == Run.State.DONE else list(run.outputs.all())


def number_of_chunk(run: Run, text: str) -> int:
    number = int(text) if re.fullmatch("[0-9]{1,9}", text, re.ASCII) else 0
    if not 1 <= number <= run.chunks:
        raise NotThere(404, f"This run has chunks 1 to {run.chunks:,}; give one, or `chunk=all`.")
    return number


def outputs_of_chunk(run: Run, number: int) -> list[Output]:
    """A chunk's result, if it is short and plain data: no class's code runs in a web process."""
    job = run.jobs.filter(position=number - 1).defer("result", "payload").first()
    if job is None:
        raise NotThere(404, f"Chunk {number:,} has been removed.")
    if job.state != JobState.DONE:
        raise NotThere(409, f"Chunk {number:,} is {job.get_state_display().lower()}, not done.")
    result = plain_result(job.pk)
    if result is None:
        raise NotThere(406, why_not(job.pk, job.number))
    try:
        return held(result[0])
    except NotKeptError as error:
        detail = f"The result of chunk {number:,} is for workers alone: {error}."
        raise NotThere(406, detail) from error


def why_not(task_id: str, number: int) -> str:
    return (
        f"The result of chunk {number:,} is long, or of a class of its own, and for workers "
        "alone. In `./manage.py shell` this gives it: from compute.queue.models import Job; "
        f"Job.objects.get(pk={task_id!r}).result"
    )


def chosen(outputs: list[Output], name: str | None) -> Output:
    """The one of this name; without one the only one, or that which has none."""
    names = [output.name for output in outputs]
    if name is None and (len(outputs) == 1 or "" in names):
        name = "" if "" in names else names[0]
    if name in names:
        return outputs[names.index(name)]
    known = ", ".join(each for each in names if each)
    if name is None:
        raise NotThere(400, f"This result has several parts; give as `name` one of: {known}.")
    if not known:
        raise NotThere(404, "This result has no parts with names; leave `name` out.")
    raise NotThere(404, f"No part of this result has this name; there are: {known}.")


# --- in which format ----------------------------------------------------------------------


def reply_of(output: Output, wanted: str, title: str) -> Reply:
    """What is sent for an `as`, which may be empty."""
    kind, attached = Kind(output.kind), bool(wanted) or output.kind == Kind.FILE
    if not wanted:
        wanted = "json" if kind in (Kind.TABLE, Kind.SERIES) else "file"
    stem = f"{title}, {output.name}" if output.name else title
    if wanted == "file":
        if kind == Kind.FILE:
            return Reply(output, wanted, output.media_type, output.filename, attached)
        _, _, ending = output.filename.rpartition(".")
        media_type, ending = OWN.get(kind, (output.media_type, ending))
        return Reply(output, wanted, media_type, f"{stem}.{ending}", attached)
    found = FORMATS.get(wanted)
    if found is None:
        raise NotThere(400, f"Give `as` as one of: {', '.join(FORMATS)}, file.")
    if kind not in found.kinds:
        others = [name for name, each in FORMATS.items() if kind in each.kinds]
        instead = " or ".join([*others, "file"])
        raise NotThere(406, f"A {kind} can't be taken as {wanted}; take it as {instead}.")
    if wanted == "parquet" and not parquet.is_there():
        raise NotThere(406, "Parquet needs pyarrow, which this site has not; take csv or jsonl.")
    return Reply(output, wanted, found.media_type, f"{stem}.{found.ending}", attached)


# --- all chunks ---------------------------------------------------------------------------


def all_chunks(request: HttpRequest, run: Run, wanted: str) -> HttpResponseBase:
    """The results of the chunks that are done by now, a line each, in their order."""
    if wanted not in ("", "jsonl"):
        raise NotThere(406, "The results of all chunks can be taken as jsonl.")
    filename = f"{run.title}, chunks.jsonl"
    make, media_type = partial(lines_of_chunks, run.task_id), FORMATS["jsonl"].media_type
    return taken(request, run, Listing(make, media_type, filename, bool(wanted), ("results",)))


def lines_of_chunks(group: str) -> Iterator[bytes]:
    """Each with its result, or why that is for workers alone."""
    for task_id, position, found in plain_in_order(group):
        number = position + 1
        line: dict[str, Any] = {"chunk": number, "result": None}
        try:
            line |= {"result": kept(found[0])} if found else {"error": why_not(task_id, number)}
        except NotKeptError as error:
            line["error"] = str(error)
        yield f"{as_json(line)}\n".encode()
