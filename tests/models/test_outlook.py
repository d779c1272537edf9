"""When a run will start and end, by the queue as it stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.test import Client as HttpClient
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now
from django_q.conf import Conf
from django_q.tasks import async_task

from compute.computations.sums import SUM
from compute.models import Run
from compute.models import outlook as outlook_module
from compute.models.outlook import (
    OVER,
    Before,
    Outlook,
    Standing,
    before,
    lately,
    outlook,
)
from compute.models.partial import queue
from compute.models.plans import plan
from compute.queue import overview
from compute.queue.models import Flow, Job, JobState, Node, Tally
from compute.queue.sharing import Client, Pause
from tests.conftest import About, finish_by_hand, run_jobs

NOBODY_KNOWS = Outlook(None, None)


@pytest.fixture
def run(queue_server: Node) -> Run:
    """Eight chunks of 5 s, on two workers."""
    return start("a")


def start(client: str = "", expected: float | None = 40, chunks: int = 8) -> Run:
    run = plan(SUM, {"n": 10 * chunks}, 10).start()
    run.client, run.expected_seconds = client, expected
    run.save()
    run.share()
    return run


def begin(run: Run, seconds: float, *positions: int, **fields: Any) -> None:
    """Have some of its chunks at work for so long."""
    run.jobs.filter(position__in=positions).update(
        state=JobState.RUNNING,
        started_at=Now() - timedelta(seconds=seconds),
        node=Node.objects.get(),
        **fields,
    )


def end(run: Run, seconds: float, *positions: int) -> None:
    """Have some of its chunks done, each within so many seconds."""
    run.jobs.filter(position__in=positions).update(
        state=JobState.DONE,
        started_at=Now() - timedelta(seconds=seconds),
        finished_at=Now(),
        node=Node.objects.get(),
    )


# --- a run that is queued -----------------------------------------------------------------


def test_alone_it_has_all_workers_at_once(run: Run, about: About) -> None:
    assert outlook(run) == (0, about(20), 1, 1)


def test_beside_another_it_has_its_part_and_starts_when_a_task_ends(run: Run, about: About) -> None:
    begin(run, 3, 0, 1)
    second = start("b")
    found = outlook(second)
    assert (found.starts_in, found.portion, found.sharers) == (about(2), 0.5, 2)
    assert found.ends_in
    assert 30 < found.ends_in < 42
    first = outlook(run)
    assert (first.starts_in, first.portion) == (0, 0.5)


def test_a_priority_counts(run: Run) -> None:
    start("b")
    run.flow.prioritize("urgent")
    assert outlook(run).portion == pytest.approx(0.8)


def test_what_a_client_had_counts(run: Run) -> None:
    other = start("b", expected=1000)
    for name, served in (("a", 50), ("b", 0)):
        Client.objects.create(queue=Conf.CLUSTER_NAME, name=name, served=served)
    for each in (run, other):
        each.flow.update(served=0, seconds=1)
    ends = outlook(run).ends_in
    assert ends
    assert ends > 40  # the other is owed 50 s, on two workers


# --- a run at work -------------------------------------------------------------------------


def test_what_has_ended_tells_how_long_the_others_take(
    run: Run, monkeypatch: pytest.MonkeyPatch, about: About
) -> None:
    end(run, 1, 0, 1, 2, 3)
    begin(run, 0.5, 4, 5)
    # One counts as it was expected, (5 + 4 × 1) ÷ 5.
    assert outlook(run).ends_in == about(1.3 + 1.8)
    monkeypatch.setattr(outlook_module, "FEW", 7)
    run.flow.update(seconds=4.5)
    assert fresh(run) == about(1.3 + 1.8), "what its flow had tells about the same"


def test_of_runs_of_few_chunks_all_is_counted(
    run: Run, monkeypatch: pytest.MonkeyPatch, about: About
) -> None:
    other = start("b", expected=None, chunks=4)
    end(other, 3, 0)
    begin(other, 1, 1)
    end(run, 2, 0)
    run.flow.update(seconds=0.5)
    lines = {Standing().flows[pk].key: line for pk, line in Standing().lines.items()}
    mine, others = lines[run.task_id], lines[other.task_id]
    assert (mine.mean, mine.unbilled) == (about(3.5), about(1.5))
    assert (others.mean, others.unbilled) == (about(3), about(4))
    monkeypatch.setattr(outlook_module, "MOST", 11)
    assert set(Standing().uses) == {other.task_id}
    monkeypatch.setattr(outlook_module, "FEW", 3)
    assert Standing().uses == {}


def fresh(run: Run) -> float | None:
    """What a look at the queue of this moment says."""
    outlook_module._last = (0.0, None)
    return outlook(run).ends_in


def test_a_program_that_asks_how_a_large_run_is_has_none_of_its_jobs_read(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook_module, "FEW", 7)
    begin(run, 1, 0)
    with CaptureQueriesContext(connection) as queries:
        assert outlook(run).ends_in
    asked = [
        query["sql"] for query in queries.captured_queries if f"'{run.task_id}'" in query["sql"]
    ]
    assert all("COUNT(*)" in each for each in asked if "queue_job" in each), asked


def test_a_task_that_tells_how_far_it_is_is_believed(run: Run, about: About) -> None:
    begin(run, 9, *range(8), progress=0.5)
    assert outlook(run).ends_in == about(9)


def test_of_what_has_ended_all_is_known(run: Run) -> None:
    run_jobs()
    run.refresh_from_db()
    assert outlook(run) == OVER


# --- where nobody can know ------------------------------------------------------------------


def test_without_a_queue_server_nobody_knows(db: None) -> None:
    run = start()
    assert outlook(run) == NOBODY_KNOWS
    assert Standing().outlooks() == {}
    assert before("me") is None


def test_of_a_queue_server_that_drains_nothing_is_expected(run: Run) -> None:
    Node.objects.update(draining=True)
    assert outlook(run) == NOBODY_KNOWS


def test_while_the_queue_is_paused_nobody_knows(run: Run) -> None:
    Pause.objects.create(queue=Conf.CLUSTER_NAME)
    assert outlook(run) == NOBODY_KNOWS


def test_a_run_that_is_paused_leaves_the_workers_to_others(run: Run, about: About) -> None:
    other = start("b")
    run.flow.pause()
    assert outlook(run) == NOBODY_KNOWS
    assert outlook(other) == (0, about(20), 1, 1)
    begin(run, 1, 0)
    assert outlook(run) == (0, None, 0, 0)
    assert outlook(other).sharers == 2  # until what is at work has ended
    assert set(Standing().outlooks()) == {other.task_id}


def test_of_an_unknown_speed_the_end_is_unknown_until_a_chunk_has_ended(
    queue_server: Node, monkeypatch: pytest.MonkeyPatch, about: About
) -> None:
    run = start("a", expected=None)
    assert outlook(run) == (0, None, 1, 1)
    assert Standing().outlooks()[run.task_id].ends_in is None
    end(run, 3, 0, 1)
    assert outlook(run).ends_in == about(9)
    monkeypatch.setattr(outlook_module, "FEW", 7)
    assert fresh(run) is None, "nobody has written down what they took"
    run.flow.update(seconds=6)
    assert fresh(run) == about(9)


def test_to_combine_takes_as_long_as_it_takes(run: Run) -> None:
    finish_by_hand(run, *range(8))
    assert outlook(run).ends_in is None


def test_what_is_put_off_starts_who_knows_when(run: Run) -> None:
    run.jobs.update(due_at=Now())
    assert outlook(run) == NOBODY_KNOWS


# --- runs of one task, which wait in their function's line ------------------------------------


def test_of_a_run_without_a_line_nobody_knows(run: Run) -> None:
    Job.objects.update(flow=0)
    run.flow.delete()
    assert outlook(run) == NOBODY_KNOWS


def test_tasks_of_other_code_share_as_long_as_theirs_took(run: Run) -> None:
    Run.objects.update(expected_seconds=None)
    async_task("os.getpid")
    assert Standing().lines[Flow.objects.get(key="os.getpid").pk].mean == (
        settings.UNKNOWN_CHUNK_SECONDS
    )
    Tally.objects.create(func="os.getpid", kind="done", value=2)
    Tally.objects.create(func="os.getpid", kind="seconds", value=1)
    assert Standing().lines[Flow.objects.get(key="os.getpid").pk].mean == 0.5
    assert outlook(run).sharers == 2


def test_what_nobody_knows_takes_as_long_as_the_others_do(queue_server: Node) -> None:
    for name, seconds in (("os.getpid", 2), ("os.getppid", 3), ("os.getcwd", 70)):
        async_task(name)
        Tally.objects.create(func=name, kind="done", value=1)
        Tally.objects.create(func=name, kind="seconds", value=seconds)
    async_task("os.cpu_count")
    line = Standing().lines[Flow.objects.get(key="os.cpu_count").pk]
    assert (line.mean, line.work) == (3, 3)


# --- all together, and before ------------------------------------------------------------------


def test_a_list_is_told_about_the_same(run: Run) -> None:
    second = start("b")
    begin(run, 1, 0, 1)
    run.flow.update(seconds=2)
    found = Standing().outlooks()
    for each in (run, second):
        told = outlook(each)
        assert found[each.task_id].portion == told.portion
        # Or a chunk later, where both clients have had the same.
        assert found[each.task_id].ends_in == pytest.approx(told.ends_in, abs=5.1)


def test_a_newcomer_is_told_what_he_can_expect(queue_server: Node, about: About) -> None:
    assert before("me") is None
    run = start("a", expected=100)
    begin(run, 2.5, 0, 1)
    mine = before("me")
    assert mine
    assert mine.starts_in == about(10)
    assert mine.portion == 0.5
    assert mine.curve == [(0, 1), (about(95), 2)]
    urgent = before("me", weight=4)
    assert isinstance(urgent, Before)
    assert urgent.portion == 0.8


def test_of_what_would_take_for_ever_nobody_knows_the_end(
    queue_server: Node, client: HttpClient
) -> None:
    runs = [start(name, expected=1e308) for name in "ab"]
    for run in runs:
        begin(run, 60, 0, progress=1e-308)
    found = Standing().outlooks()
    assert [found[run.task_id].ends_in for run in runs] == [None, None]
    assert [outlook(run).ends_in for run in runs] == [None, None]
    assert before("c")
    for address in ("/", runs[0].get_absolute_url(), "/compute/sum/", "/nodes/"):
        assert client.get(address, headers={"accept": "text/html"}).status_code == 200


def test_more_runs_need_no_more_queries(run: Run) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            outlook(run)
        counts.append(len(queries))
        for name in "bcd":
            start(name)
    assert counts == [9, 9]


@pytest.mark.thorough
def test_what_a_node_had_once_is_not_read(run: Run, queue_server: Node) -> None:
    with CaptureQueriesContext(connection) as queries:
        Standing()
    (held,) = (each["sql"] for each in queries if "AND state = 'running'" in each["sql"])
    had = [
        Job(
            pk=f"{n:032}",
            group=f"{n:032}",
            position=n,
            state=JobState.DONE,
            node=queue_server,
            queued_at=now(),
        )
        for n in range(2000)
    ]
    Job.objects.bulk_create(had)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE queue_job")
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{explain} {held}")
        assert "job_held" in str(cursor.fetchall())


def test_the_queue_is_looked_at_once_for_all_who_ask_at_a_time(
    run: Run, monkeypatch: pytest.MonkeyPatch, about: About
) -> None:
    monkeypatch.setattr(outlook_module, "HOLDS_S", 60)
    monkeypatch.setattr(outlook_module, "_last", (0.0, None))
    first = outlook(run)
    with CaptureQueriesContext(connection) as queries:
        again = outlook(run, overview.pace(run.task_id))
    assert len(queries) == 1, "its own pace"
    assert again == first._replace(ends_in=about(first.ends_in or 0))
    assert (again.ends_in or 0) <= (first.ends_in or 0), "a look that is older tells less"
    newer = start()
    assert outlook(newer).ends_in is not None, "a run that was not there is looked for"
    assert lately() is lately()


def test_what_a_page_asks_for_is_not_told(run: Run, about: About) -> None:
    alone = outlook(run)
    queue(run, None, run.flow.first())
    assert outlook(run) == alone._replace(ends_in=about(20))
