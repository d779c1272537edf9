"""The removal of one run at its owner's wish."""

from __future__ import annotations

from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task

from compute.models import Output, Partial, Run, Sweep, Upload, partial
from compute.models.upload import keep
from compute.queue.contents import Part
from compute.queue.models import Content, Flow, Job, JobState
from compute.removal import STOPPING, NotYetError, remove_run
from compute.retention import SCHEDULED, prune
from tests.conftest import run_jobs, run_queued, started

pytestmark = pytest.mark.django_db

EVERYTHING: tuple[Any, ...] = (Run, Job, Task, OrmQ, Flow, Output, Partial, Sweep, Content, Part)


def counts() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in EVERYTHING}


def test_everything_of_a_run_goes_and_nothing_of_others() -> None:
    other = started("/split-sum-start/", n=10, chunk_size=5)
    run_jobs()
    before = counts()
    run = started("/split-sum-start/", n=20, chunk_size=5)
    run_jobs()
    run.refresh_from_db()
    remove_run(run, "me")
    assert counts() == before
    other.refresh_from_db()
    assert other.result == 55


def test_the_log_tells_by_whom(caplog: pytest.LogCaptureFixture) -> None:
    run = started("/sum-start/", n=10)
    run_jobs()
    run.refresh_from_db()
    Run.objects.update(state=Run.State.IN_PROGRESS)
    with caplog.at_level("INFO", logger="compute.removal"):
        with pytest.raises(NotYetError):
            remove_run(run, "ann")
        Run.objects.update(state=Run.State.DONE)
        remove_run(run, "ann")
    (told,) = [each for each in caplog.records if each.name == "compute.removal"]
    assert told.getMessage() == "deleted: sum 1–10, by ann"
    assert (vars(told)["task"], vars(told)["group"]) == (run.task_id, run.task_id)


def test_a_failed_run_goes_with_its_failures(run_with_a_failure: Run) -> None:
    remove_run(run_with_a_failure, "me")
    assert set(counts().values()) == {0}


def test_what_is_large_goes_by_the_pruning_that_is_called_for() -> None:
    run = started("/split-sum-start/", n=10)
    run_jobs()
    content = Content.objects.create(id="c" * 32, holder=run.task_id, size=3, digest="d")
    Part.objects.create(content=content.pk, number=0, data=b"abc")
    Output.objects.create(run=run, kind="file", content_id=content.pk, size=3)
    later = timezone.now() + timedelta(hours=1)
    Schedule.objects.filter(func=SCHEDULED).update(next_run=later)
    run.refresh_from_db()
    remove_run(run, "me")
    assert Schedule.objects.get(func=SCHEDULED).next_run <= timezone.now()
    content.refresh_from_db()
    assert content.holder == ""
    prune(0)
    assert {name: count for name, count in counts().items() if count} == {}


def test_a_run_that_is_retried_at_this_moment_stays() -> None:
    run = started("/sum-start/", n=10)
    run_jobs()
    run.refresh_from_db()
    Run.objects.update(state=Run.State.IN_PROGRESS)
    with pytest.raises(NotYetError, match="gone on with this run"):
        remove_run(run, "me")
    assert Run.objects.exists()


def test_workers_that_are_being_stopped_have_to_find_their_jobs() -> None:
    run = started("/sum-start/", n=10)
    Job.objects.update(state=JobState.RUNNING, started_at=Now())
    run.cancel("me")
    run.refresh_from_db()
    with pytest.raises(NotYetError, match="in a few seconds"):
        remove_run(run, "me")
    Job.objects.update(finished_at=Now() - STOPPING)
    remove_run(run, "me")
    assert not Job.objects.exists()


def test_a_part_of_it_that_is_at_work_is_stopped_first() -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run_queued(1)
    partial.ask(run, run.progress(), run.flow.get())
    task_id = Partial.objects.get().task_id
    Job.objects.filter(pk=task_id).update(state=JobState.RUNNING, started_at=Now())
    run_jobs()
    run.refresh_from_db()
    assert run.state == Run.State.DONE
    with pytest.raises(NotYetError, match="in a few seconds"):
        remove_run(run, "me")
    assert Job.objects.get(pk=task_id).state == JobState.CANCELLED
    Job.objects.filter(pk=task_id).update(finished_at=Now() - STOPPING)
    remove_run(run, "me")
    assert set(counts().values()) == {0}


def test_a_comparison_is_removed_with_its_last_run_and_not_cut_short() -> None:
    sweep = Sweep.objects.create(computation="sum", parameters={"n": 10}, sizes=[5, 2])
    for size in sweep.sizes:
        started("/split-sum-start/", n=10, chunk_size=size)
    Run.objects.update(sweep=sweep)
    run_jobs()
    Sweep.objects.update(ended=False)
    with pytest.raises(NotYetError, match="when all have ended"):
        remove_run(Run.objects.latest("pk"), "me")
    Sweep.objects.update(ended=True)
    for run in Run.objects.all():
        assert Sweep.objects.exists()
        remove_run(run, "me")
    assert not Sweep.objects.exists()


def test_a_file_goes_with_the_last_run_that_reads_it() -> None:
    upload = keep(BytesIO(b"x" * 1_000), "a.csv", "text/csv")
    later = timezone.now() + timedelta(hours=1)
    for _ in range(2):
        started("/split-sum-start/", n=10).uploads.add(upload)
    run_jobs()
    for left, run in enumerate(Run.objects.all()):
        Schedule.objects.filter(func=SCHEDULED).update(next_run=later)
        remove_run(run, "me")
        assert Upload.objects.exists() == (left == 0)
        is_called_for = Schedule.objects.get(func=SCHEDULED).next_run < later
        assert is_called_for == (left == 1)
    prune(0)
    assert {name: count for name, count in counts().items() if count} == {}
