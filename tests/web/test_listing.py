"""Lists of a line for each chunk: whole and resumable once nothing is to come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from django.db.models import F
from django.http import HttpResponseBase
from django.utils import timezone
from pytest_django import Settings

from compute.models import Run
from compute.queue.models import Job, JobState, Node
from compute.web import spooled
from compute.web.listing import Listing, state_of, taken
from compute.web.sending import NotThere
from tests.conftest import run_jobs, started
from tests.web.test_base import asking

LINES = [b"line %d\n" % number for number in range(1_000)]
WHOLE = b"".join(LINES)


class Lines:
    """Makes the lines, and counts how often."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> Iterator[bytes]:
        self.made += 1
        yield from LINES

    @property
    def listing(self) -> Listing:
        return Listing(self, "text/x-lines", "lines.txt", True, ("lines",))


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooled, "_last", None)


@pytest.fixture
def run(db: None) -> Run:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run_jobs()
    run.refresh_from_db()
    return run


def body(reply: HttpResponseBase) -> bytes:
    return b"".join(cast(Iterable[bytes], reply))


def test_of_a_run_that_has_ended_it_has_a_length_and_ranges(run: Run) -> None:
    lines = Lines()
    reply = taken(asking(), run, lines.listing)
    assert body(reply) == WHOLE
    assert reply["Content-Length"] == str(len(WHOLE))
    assert reply["Content-Type"] == "text/x-lines"
    assert reply["Content-Disposition"] == 'attachment; filename="lines.txt"'
    assert reply["Cache-Control"] == "private, no-cache, no-transform"
    rest = taken(asking(range="bytes=100-", if_range=reply["ETag"]), run, lines.listing)
    assert (rest.status_code, body(rest)) == (206, WHOLE[100:])
    assert lines.made == 1, "a process keeps the last one"


def test_another_process_makes_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = taken(asking(), run, Lines().listing)
    monkeypatch.setattr(spooled, "_last", None)
    assert taken(asking(), run, Lines().listing)["ETag"] == first["ETag"]


def test_while_it_is_at_work_it_comes_as_it_is_made(db: None) -> None:
    run, lines = started("/split-sum-start/", n=10, chunk_size=5), Lines()
    reply = taken(asking(range="bytes=100-"), run, lines.listing)
    assert (reply.status_code, body(reply)) == (200, WHOLE)
    assert "Content-Length" not in reply
    assert "ETag" not in reply
    assert "Accept-Ranges" not in reply
    assert reply["Cache-Control"] == "no-store"
    request = asking()
    request.method = "HEAD"
    head = taken(request, run, lines.listing)
    assert (body(head), head["Content-Type"]) == (b"", "text/x-lines")
    assert lines.made == 1


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_what_has_ended_unnoticed_has_ended(db: None, state: JobState) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run.jobs.update(state=state, finished_at=timezone.now())
    assert "ETag" in taken(asking(), run, Lines().listing)


def test_one_that_is_longer_than_a_result_may_be_comes_as_it_is_made(
    run: Run, settings: Settings
) -> None:
    settings.MAX_RESULT_MB = 0.001
    reply = taken(asking(), run, Lines().listing)
    assert body(reply) == WHOLE
    assert "ETag" not in reply
    assert spooled._last is None


def test_one_that_takes_too_long_is_refused(
    run: Run, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.WEB_TIMEOUT = 1e-9
    with pytest.raises(NotThere, match="no time or room to make this list") as caught:
        taken(asking(), run, Lines().listing)
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "3600"})
    assert f"the list of the chunks of {run.task_id} can't be made" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {"delivery": F("delivery") + 1},
        {"attempt": F("attempt") + 1},
        {"finished_at": None},
    ],
    ids=str,
)
def test_a_chunk_that_has_changed_makes_another_list(run: Run, change: dict[str, Any]) -> None:
    before = state_of(run)
    assert state_of(run) == before
    Job.objects.filter(group=run.task_id).update(**change)
    assert state_of(run) != before


def test_a_node_that_is_removed_makes_another_list(run: Run, queue_server: Node) -> None:
    run.jobs.update(node=queue_server)
    before = state_of(run)
    queue_server.delete()
    assert state_of(run) != before
