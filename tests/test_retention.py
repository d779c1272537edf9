"""What grows old is removed, whole, and nothing else is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Task

from compute import retention
from compute.computations.sums import SUM
from compute.models import MailAsked, Run, Sweep, Upload
from compute.models.notes import refresh
from compute.models.plans import run_of
from compute.models.retries import retry
from compute.models.upload import begin
from compute.queue import retention as queue
from compute.queue.contents import Content, Part, Writer
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from compute.queue.node.scheduler import queue_due
from compute.queue.sharing import Slot
from tests import recipes
from tests.aged import OLD, a_run, age, counts
from tests.conftest import check, run_jobs, run_queued, started
from tests.processes import Processes, wait_until
from tests.recipes import new_id
from tests.uploads.data import stored

MIGRATION = import_module("compute.migrations.0005_retention")
NEW = timedelta(days=29)


def prune(**options: Any) -> dict[str, int]:
    return dict(retention.prune(30, ease=0, **options).removed)


@pytest.mark.thorough
def test_an_old_run_goes_with_all_that_is_its(db: None) -> None:
    old, young = a_run(), a_run(by=NEW)
    Slot.objects.create(pool=old.task_id, number=0, until=timezone.now())
    # Its four chunks, and what has combined them.
    assert prune() == {"runs": 1, "jobs": 5, "tasks": 5}
    assert not old.flow.exists()
    assert not Slot.objects.exists()
    assert young.flow.exists()
    assert counts() == {"Run": 1, "Job": 5, "Task": 5, "OrmQ": 0, "Sweep": 0, "Node": 0}
    for address in ("/sum-check/", "/split-sum-check/", "/compute/sum/check/"):
        assert Client().get(address, {"task_id": old.task_id}).status_code == 404
    assert check(young)["total"] == 500500
    assert prune() == {}


def written(holder: str, **ago: float) -> None:
    with Writer(holder) as writer:
        writer.write(b"x")
        writer.done()
    made = Content.objects.filter(pk=writer.content.pk)
    made.update(made_at=timezone.now() - timedelta(**ago))


def contents_of() -> set[str]:
    return set(Content.objects.values_list("holder", flat=True))


@pytest.mark.thorough
def test_contents_go_with_their_run_and_its_chunks(db: None) -> None:
    old, young = a_run(), a_run(by=NEW)
    chunk = old.jobs.all()[0]
    for holder in (old.task_id, chunk.pk, old.combine_id, young.task_id):
        written(holder, days=29)
    assert prune(dry=True) == {"runs": 1, "jobs": 5, "tasks": 5, "contents": 3}
    assert prune() == {"runs": 1, "jobs": 5, "tasks": 5, "contents": 3}
    assert contents_of() == {young.task_id}
    assert Part.objects.count() == 1
    assert prune() == {}


@pytest.mark.parametrize("days", [30, 0])
def test_what_dead_workers_have_left_goes_whatever_is_kept_of_runs(db: None, days: int) -> None:
    run = a_run(by=NEW)
    Job.objects.all().delete()
    for holder in (run.task_id, run.combine_id, "gone"):
        written(holder, hours=2)
    written("gone lately", minutes=30)
    removed = retention.prune(days, ease=0).removed
    assert removed["contents"] == 1
    assert contents_of() == {run.task_id, run.combine_id, "gone lately"}


def test_what_a_share_had_no_time_to_remove_the_next_one_does(db: None) -> None:
    written("holder", days=1)
    Content.objects.give_up()
    list(retention.steps(0, dry=True))
    assert Content.objects.exists()
    first = retention.steps(30)
    while Content.objects.exists():
        next(first)
    assert not Part.objects.exists()


@pytest.mark.thorough
def test_a_dry_run_counts_the_same_and_removes_nothing(db: None) -> None:
    a_run()
    async_iter("math.sqrt", [1, 4])
    run_jobs()
    Job.objects.update(finished_at=timezone.now() - OLD)
    Task.objects.create(id="c" * 32, started=timezone.now(), stopped=timezone.now() - OLD)
    recipes.node.make(seen_at=timezone.now() - OLD)
    Sweep.objects.create(computation="sum", parameters={}, sizes=[], ended=True)
    Sweep.objects.update(created_at=timezone.now() - OLD)
    there = counts()
    assert prune(dry=True) == {"runs": 1, "jobs": 7, "tasks": 8, "nodes": 1, "sweeps": 1}
    assert counts() == there
    assert prune() == {"runs": 1, "jobs": 7, "tasks": 8, "nodes": 1, "sweeps": 1}
    assert set(counts().values()) == {0}


def test_what_is_unfinished_stays_whatever_its_age(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    first, *_ = run.jobs
    Job.objects.filter(pk=first.pk).update(
        state=Job.State.DONE, result=31375, finished_at="2020-01-01T00:00Z"
    )
    Job.objects.update(queued_at="2020-01-01T00:00Z")
    group = async_iter("math.sqrt", [1, 4])
    Job.objects.filter(group=group, position=0).update(
        state=Job.State.DONE, finished_at="2020-01-01T00:00Z"
    )
    there = counts()
    assert prune() == {}
    assert counts() == there
    assert there["Job"] == 6


@pytest.mark.thorough
def test_a_group_goes_only_when_its_last_job_is_old(db: None) -> None:
    group = async_iter("math.sqrt", [1, 4])
    run_jobs()
    Job.objects.filter(group=group, position=0).update(finished_at=timezone.now() - OLD)
    assert prune() == {}
    Job.objects.filter(group=group, position=1).update(finished_at=timezone.now() - OLD)
    assert prune() == {"jobs": 2, "tasks": 2}


def test_a_run_that_settled_unnoticed_is_noted_and_goes(db: None) -> None:
    run = started("/sum-start/", n=1000)
    run_queued()
    Job.objects.update(finished_at=timezone.now() - OLD)
    assert Run.objects.get().state == Run.State.IN_PROGRESS
    assert prune() == {"runs": 1, "jobs": 1, "tasks": 1}
    assert not Run.objects.filter(pk=run.pk).exists()


@pytest.mark.thorough
def test_a_run_that_nobody_has_combined_is_combined_and_as_young_as_that(db: None) -> None:
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    run_queued()
    Job.objects.update(finished_at=timezone.now() - OLD)
    assert prune() == {}
    run_queued()
    assert prune() == {}
    assert check(run)["total"] == 500500


@pytest.mark.thorough
def test_what_combined_a_run_stays_as_long_as_the_run(db: None) -> None:
    run = a_run(by=NEW)
    old = timezone.now() - OLD
    Job.objects.filter(pk=run.combine_id).update(finished_at=old)
    Task.objects.filter(pk=run.combine_id).update(stopped=old)
    assert prune() == {}
    assert run.combine_job is not None


@pytest.mark.thorough
def test_a_retried_run_is_as_young_as_its_retry(run_with_a_failure: Run, missing_file: Any) -> None:
    refresh(run_with_a_failure)
    age(run_with_a_failure)
    missing_file.write_text("x")
    assert retry(run_with_a_failure) == 1
    assert prune() == {}
    run_jobs()
    refresh(run_with_a_failure)
    assert prune() == {}
    assert run_with_a_failure.result == 121


@pytest.mark.thorough
def test_runs_of_a_sweep_go_together_and_then_the_sweep(db: None) -> None:
    sweep = Sweep.objects.create(computation="sum", parameters={"n": 9}, sizes=[1, 2])
    Sweep.objects.update(created_at=timezone.now() - OLD)
    first, second = a_run(), a_run(by=NEW)
    Run.objects.update(sweep=sweep)
    assert prune() == {}
    age(second)
    assert prune() == {}, "the sweep is unfinished: without its runs it would begin again"
    Sweep.objects.update(ended=True)
    assert prune() == {"runs": 2, "jobs": 10, "tasks": 10, "sweeps": 1}
    assert first.pk != second.pk


def test_dead_nodes_go_once_no_job_names_them(db: None) -> None:
    alive, dead, named = (
        recipes.node.make(seen_at=timezone.now() - since) for since in (NEW, OLD, OLD)
    )
    recipes.job.make(node=named, state=Job.State.RUNNING)
    assert prune() == {"nodes": 1}
    assert set(Node.objects.all()) == {alive, named}
    assert dead not in Node.objects.all()


@pytest.mark.thorough
def test_the_mark_of_a_run_without_chunks_goes_with_it(db: None) -> None:
    kept, lone = async_iter("math.sqrt", []), async_iter("math.sqrt", [])
    Task.objects.update(stopped=timezone.now() - OLD)
    run = run_of(kept, SUM, {"n": 0}, chunk_size=1, chunks=0)
    assert prune() == {"tasks": 1}
    assert list(Task.objects.values_list("pk", flat=True)) == [kept], lone
    run_jobs()
    age(run)
    assert prune() == {"tasks": 2, "runs": 1, "jobs": 1}  # the other is what combined nothing


@pytest.mark.thorough
def test_many_windows_and_batches(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.queue.retention.LOOK_ROWS", 3)
    monkeypatch.setattr("compute.queue.retention.BATCH", 3)
    for _ in range(3):
        a_run("/sum-start/")
    kept = a_run()
    Run.objects.filter(pk=kept.pk).update(finished_at=timezone.now())
    group = async_iter("math.sqrt", [1, 4, 9, 16, 25, 36, 49])
    run_jobs()
    Job.objects.filter(group=group).update(finished_at=timezone.now() - OLD)
    assert prune() == {"runs": 3, "jobs": 10, "tasks": 10}
    assert set(Job.objects.values_list("group", flat=True)) == {kept.task_id, kept.combine_id}


def test_the_log_says_how_many_runs_went_and_by_whom(
    db: None, caplog: pytest.LogCaptureFixture
) -> None:
    a_run()
    with caplog.at_level("INFO", logger="compute.retention"):
        prune(dry=True)
        prune(by="the operator")
        prune()
    told = [each.getMessage() for each in caplog.records if each.name == "compute.retention"]
    assert told == ["deleted: 1 run that ended over 30 days ago, by the operator"]


# --- a request that found the run just before it was removed ---------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("state", [Run.State.DONE, Run.State.ERROR, Run.State.CANCELLED])
@pytest.mark.parametrize("address", ["/sum-check/", "/split-sum-check/", "/compute/sum/check/"])
def test_a_run_is_never_shown_without_its_chunks(
    db: None, monkeypatch: pytest.MonkeyPatch, address: str, state: str
) -> None:
    run = a_run()
    Run.objects.update(state=state)
    run.refresh_from_db()
    assert prune()["runs"] == 1
    monkeypatch.setattr("compute.web.checking.find_run", lambda request: run)
    reply = Client().get(address, {"task_id": run.task_id})
    if state == Run.State.DONE and address != "/split-sum-check/":
        assert reply.status_code == 200  # what it says is the run's own, and right
    else:
        assert reply.status_code == 404
        assert "task_id" in reply.json()["detail"]


# --- the schedule ----------------------------------------------------------------------------


@pytest.fixture
def schedule(db: None, monkeypatch: pytest.MonkeyPatch) -> Schedule:
    """As the migration makes it, also where another test's flush has taken it."""
    # The scheduler closes old connections; in here it shares the test's own.
    monkeypatch.setattr("compute.queue.node.scheduler.close_old_django_connections", lambda: None)
    MIGRATION.make_schedule(apps, None)
    return Schedule.objects.get(func=retention.SCHEDULED)


def test_what_the_migration_schedules_is_there(schedule: Schedule) -> None:
    assert MIGRATION.FUNC == retention.SCHEDULED == schedule.func
    assert schedule.schedule_type == Schedule.HOURLY
    MIGRATION.make_schedule(apps, None)
    assert Schedule.objects.filter(func=retention.SCHEDULED).count() == 1
    MIGRATION.remove_schedule(apps, None)
    assert not Schedule.objects.filter(func=retention.SCHEDULED).exists()


def make_due(schedule: Schedule) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(next_run=timezone.now() - timedelta(days=3))


@pytest.mark.thorough
def test_a_missed_schedule_runs_once_as_a_task_with_a_job(schedule: Schedule) -> None:
    a_run()
    make_due(schedule)
    for _ in range(2):
        queue_due()
    (job,) = Job.objects.unsettled()
    schedule.refresh_from_db()
    assert job.pk == schedule.task
    assert schedule.next_run > timezone.now()
    run_jobs()
    job.refresh_from_db()
    assert job.state == Job.State.DONE
    assert job.result == {"runs": 1, "jobs": 5, "tasks": 5}


def test_a_prune_that_fails_is_listed(schedule: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Iterator[None]:
        raise OSError("the disk is full")

    monkeypatch.setattr(retention, "steps", broken)
    make_due(schedule)
    queue_due()
    run_jobs()
    failure = Failure.objects.get()
    assert failure.func == retention.SCHEDULED
    assert "the disk is full" in failure.result
    assert Job.objects.get().state == Job.State.FAILED


@pytest.mark.thorough
def test_a_prune_that_takes_too_long_comes_again_soon(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run()
    monkeypatch.setattr(retention, "SHARE_S", -1)
    assert retention.prune_a_share() == {}
    schedule.refresh_from_db()
    assert schedule.next_run < timezone.now() + timedelta(seconds=retention.REST_S + 1)
    monkeypatch.setattr(retention, "SHARE_S", 60)
    assert retention.prune_a_share() == {"runs": 1, "jobs": 5, "tasks": 5}


def test_zero_days_keep_everything(db: None, settings: Any) -> None:
    settings.RUN_RETENTION_DAYS = 0
    a_run(by=timedelta(days=10_000))
    assert retention.prune_a_share() == {}
    assert counts()["Run"] == 1


def test_of_many_schedulers_one_queues_it(processes: Processes) -> None:
    """What each node's scheduler does, in four processes at once, a hundred times each."""
    MIGRATION.make_schedule(apps, None)
    make_due(Schedule.objects.get())
    code = (
        "import django; django.setup()\n"
        "from compute.queue.node.scheduler import queue_due\n"
        "for _ in range(100): queue_due()\n"
    )
    asking = [
        processes.start(sys.executable, "-c", code, DJANGO_SETTINGS_MODULE="sumsite.settings")
        for _ in range(4)
    ]
    for process in asking:
        assert process.popen.wait(60) == 0, process.text()
        assert "can't be run" not in process.text()
    assert Job.objects.count() == OrmQ.objects.count() == 1


@pytest.mark.long
def test_of_two_nodes_one_queues_it(processes: Processes) -> None:
    nodes = [processes.node() for _ in range(2)]
    MIGRATION.make_schedule(apps, None)
    make_due(Schedule.objects.get())
    wait_until(lambda: Job.objects.filter(state=Job.State.DONE).exists(), 70)
    before = {node.pk: node.seen_at for node in Node.objects.all()}
    assert len(before) == 2
    # Both look every 30 s, so by then the other has looked, too.
    wait_until(
        lambda: all(
            node.seen_at > before[node.pk] + timedelta(seconds=35) for node in Node.objects.all()
        ),
        60,
    )
    (job,) = Job.objects.all()
    assert job.pk == Schedule.objects.get().task
    assert job.attempt == 1
    for node in nodes:
        assert node.stop() == 0


# --- sessions --------------------------------------------------------------------------------


def sessions(count: int, ends: timedelta) -> set[str]:
    made = [
        Session(session_key=new_id(), session_data="", expire_date=timezone.now() + ends)
        for _ in range(count)
    ]
    return {session.pk for session in Session.objects.bulk_create(made)}


@pytest.mark.thorough
@pytest.mark.parametrize("days", [30, 0])
def test_sessions_that_have_ended_go_whatever_is_kept_of_runs(
    db: None,
    days: int,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("compute.queue.retention.BATCH", 3)
    sessions(8, timedelta(seconds=-1))
    alive = sessions(2, timedelta(seconds=60))
    MailAsked.objects.create(key="old", asked_at=timezone.now() - timedelta(minutes=61))
    MailAsked.objects.create(key="new")
    assert dict(retention.prune(days, ease=0, dry=True).removed) == {
        "sessions": 8,
        "mail requests": 1,
    }
    assert Session.objects.count() == 10
    settings.RUN_RETENTION_DAYS = days
    assert retention.prune_a_share() == {"sessions": 8, "mail requests": 1}
    assert set(Session.objects.values_list("pk", flat=True)) == alive
    assert str(MailAsked.objects.get()) == "new"
    call_command("prune", days=days)
    assert capsys.readouterr().out.startswith("Removed: nothing.")


def test_a_session_that_is_renewed_meanwhile_stays(db: None) -> None:
    (key,) = sessions(1, timedelta(seconds=-1))
    steps = retention.session_steps(dry=False)
    Session.objects.update(expire_date=timezone.now() + timedelta(days=1))
    assert not sum((step.total() for step in steps), 0)
    assert Session.objects.get().pk == key


@pytest.mark.thorough
def test_many_sessions_go_in_short_steps(db: None) -> None:
    sessions(1_000, timedelta(seconds=-1))
    with CaptureQueriesContext(connection) as queries:
        assert retention.prune_a_share() == {"sessions": 1_000}
    deletes = [query for query in queries if query["sql"].startswith('DELETE FROM "django_ses')]
    assert len(deletes) == 2


# --- uploads ------------------------------------------------------------------------------


def given(run: Run, *ids: str) -> Run:
    run.uploads.add(*Upload.objects.filter(pk__in=ids))
    return run


def test_an_upload_goes_with_the_last_run_that_uses_it(db: None) -> None:
    old, young = a_run(), a_run(by=NEW)
    both, one, gone_with = stored(b"1" * 600_000).id, stored(b"2").id, stored(b"3").id
    given(old, both, gone_with)
    given(young, both, one)
    there = {"runs": 1, "jobs": 5, "tasks": 5, "uploads": 1}
    assert prune(dry=True) == there
    assert prune() == there
    assert set(Upload.objects.values_list("pk", flat=True)) == {both, one}
    assert contents_of() == {both, one}
    age(young)
    assert prune() == {**there, "uploads": 2}
    for kind in (Upload, Content, Part):
        assert not kind.objects.exists()


@pytest.mark.parametrize("days", [30, 0])
def test_an_upload_that_no_run_uses_goes_after_a_day(
    db: None, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "BATCH", 2)
    unused = [stored(b"x").id for _ in range(3)]
    part = begin("half", 10).pk
    fresh, used = stored(b"y").id, stored(b"z").id
    given(a_run(by=NEW), used)
    Content.objects.update(made_at=timezone.now() - timedelta(hours=2))
    Content.objects.filter(holder=part).update(made_at=timezone.now() - timedelta(days=9))
    assert retention.prune(days, ease=0).removed["uploads"] == 0
    assert part in contents_of(), "whatever Q_TIMEOUT is"
    old = timezone.now() - timedelta(hours=25)
    Upload.objects.exclude(pk=fresh).update(touched_at=old)
    assert prune(dry=True)["uploads"] == 4
    removed = retention.prune(days, ease=0).removed
    assert removed["uploads"] == 4
    assert contents_of() == {fresh, used}
    assert not set(unused) & contents_of()
    assert not Upload.objects.filter(pk=part).exists()
