"""Lists of a line for each of a run's chunks, to be taken away, however many there are.

When a run has ended they stay the same: such a list is written to a file first, so it has a length,
and a download that was broken off goes on with the rest. While it is at work there may be more
soon, and its list comes as it is made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from django.conf import settings
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from ..models import Run, notes
from .pacing import in_time
from .sending import NotThere, disposition, sent
from .spooled import Spooled, TooLongError, the_last

log = logging.getLogger(__name__)


class Listing(NamedTuple):
    """A list that is still to be made."""

    make: Callable[[], Iterable[bytes]]
    media_type: str
    filename: str
    attached: bool
    #: Tells it from other lists of the same chunks.
    key: tuple[str, ...]


class Listed(NamedTuple):
    """One that is made."""

    file: Spooled
    media_type: str
    filename: str
    attached: bool
    sandboxed: bool = False

    @property
    def etag(self) -> str:
        return f'"{self.file.digest[:40]}"'

    def body(self) -> Spooled:
        return self.file


def taken(request: HttpRequest, run: Run, listing: Listing) -> HttpResponseBase:
    """The list, with its length and in ranges if the run has ended and if it is no longer than a
    result may be. NotThere for what can't be made in time, or without room on the disk."""
    began = time.monotonic()
    if run.state != Run.State.DONE and notes.is_out_of_date(run, run.progress()):
        notes.refresh(run)
    if run.state != Run.State.IN_PROGRESS:
        most = settings.MAX_RESULT_MB * 1024 * 1024
        try:
            file = the_last((*listing.key, *state_of(run)), listing.make, most)
        except TooLongError:
            pass
        except OSError as error:  # LateError, or no room on the disk
            log.warning("the list of the chunks of %s can't be made: %s", run.task_id, error)
            detail = "There is no time or room to make this list; ask for its chunks one by one."
            raise NotThere(503, detail, {"Retry-After": "3600"}) from None
        else:
            return sent(request, Listed(file, *listing[1:4]))
    headers = {
        "Content-Type": listing.media_type,
        "Content-Disposition": disposition(listing.filename, listing.attached),
        "Cache-Control": "no-store",  # there may be more of them soon
    }
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    return StreamingHttpResponse(in_time(listing.make(), since=began), headers=headers)


def state_of(run: Run) -> tuple[str, ...]:
    """What is another one when any of its chunks is."""
    columns = (
        *(models.Count("pk"), models.Count("node"), models.Max("finished_at")),
        *(models.Sum("delivery"), models.Sum("attempt")),
    )
    found = run.jobs.order_by().aggregate(*columns)
    return (run.task_id, *map(str, found.values()))
