"""What runs make of the queue's signals."""

from __future__ import annotations

import pytest

from compute.models import Partial, Progress, Run, notes
from compute.models.partial import queue
from compute.queue.models import Job
from compute.queue.signals import groups_changed, looking_around
from tests.conftest import run_jobs, run_queued, started


def test_the_queues_word_that_a_group_has_settled_is_noted(db: None) -> None:
    run = started("/sum-start/", n=3)
    run_queued()
    groups_changed.send(sender=Job, groups={run.task_id})
    run.refresh_from_db()
    assert (run.state, run.result) == (Run.State.DONE, 6)


def test_a_run_that_cannot_be_noted_does_not_keep_others_from_it(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [started("/sum-start/", n=3), started("/sum-start/", n=3)]
    run_jobs()
    noted = notes.refresh

    def refuse(run: Run) -> Progress:
        if run == bad:
            raise ValueError("it can't be noted")
        return noted(run)

    monkeypatch.setattr(notes, "refresh", refuse)
    for bad in runs:
        Run.objects.update(state=Run.State.IN_PROGRESS)
        with pytest.raises(ValueError, match="can't be noted"):
            groups_changed.send(sender=Job, groups={run.task_id for run in runs})
        assert set(Run.objects.filter(state=Run.State.DONE)) == set(runs) - {bad}


def test_the_queues_word_about_a_group_that_is_no_run_is_nothing(db: None) -> None:
    run = started("/sum-start/", n=3)
    run_queued()
    groups_changed.send(sender=Job, groups={"another"})
    run.refresh_from_db()
    assert run.state == Run.State.IN_PROGRESS


def test_a_look_around_removes_what_was_made_of_parts(db: None) -> None:
    run = started("/split-sum-start/", n=30, chunk_size=10)
    queue(run, None, run.flow.first())
    run_jobs()
    looking_around.send(sender=Job)
    assert not Partial.objects.exists()
    assert not Job.objects.filter(name__endswith="so far").exists()
