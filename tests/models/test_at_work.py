"""How long tasks take, by those at work and those that have ended."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from compute.models.at_work import MOST_S, Task, mean_of, seconds_between, tasks_at_work
from compute.queue.models import Job, JobState, Node
from tests.conftest import About, started


def test_what_is_left_of_a_task() -> None:
    assert Task(9, 0.75).left(5) == 3, "one that tells how far it is is believed"
    assert Task(2, 0).left(5) == 3
    assert Task(20, 0).left(5) == 2


@pytest.mark.parametrize(
    ("prior", "ended", "spent", "at_work", "mean"),
    [
        (None, 0, 0, [9], None),
        (None, 2, 6, [9], 3),
        (2, 0, 0, [], 2),
        (2, 0, 0, [1, 9], 5),
        (2, 9, 48, [], 5),
        (0, 0, 0, [], 0.001),
    ],
)
def test_a_mean_goes_by_what_was_expected_and_by_what_was_seen(
    prior: float | None, ended: int, spent: float, at_work: list[float], mean: float | None
) -> None:
    assert mean_of(prior, ended, spent, [Task(each, 0) for each in at_work]) == mean


def test_what_nodes_run_is_read_by_flow(queue_server: Node, about: About) -> None:
    run = started("/compute/primes/start/", n=100, chunk_size=50)
    job = run.jobs[0]
    begun = timezone.now() - timedelta(seconds=3)
    Job.objects.filter(pk=job.pk).update(
        state=JobState.RUNNING, node=queue_server, started_at=begun, progress=2
    )
    ((flow, (task,)),) = tasks_at_work([queue_server.pk]).items()
    assert flow == job.flow_id
    assert task.elapsed == about(3)
    assert task.progress == 1
    assert tasks_at_work([]) == {}


def test_no_time_is_negative() -> None:
    now = timezone.now()
    assert seconds_between(None, now) == 0
    assert seconds_between(now + timedelta(seconds=1), now) == 0


@pytest.mark.parametrize(
    ("elapsed", "progress", "left"),
    [(60, 1e-308, 6), (60, 0.0001, 60 * 9999), (10**8, 0.001, MOST_S), (60, 1, 0)],
)
def test_what_odd_code_says_of_itself_leaves_a_number(
    elapsed: float, progress: float, left: float
) -> None:
    assert Task(elapsed, progress).left(5) == pytest.approx(left)
    assert mean_of(1e308, 0, 0, []) == MOST_S
