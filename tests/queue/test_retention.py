"""What ended long ago goes in short steps; what somebody keeps, or works at, stays whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from django_q.models import Task

from compute.queue import contents, retention
from compute.queue.contents import Content, Part, Writer
from compute.queue.models import Job, JobState
from compute.queue.retention import (
    NEW,
    Pruned,
    Removed,
    batches,
    given_up_steps,
    jobs_and_groups,
    later,
    left_over_steps,
    lock,
    prune,
    remove,
    steps,
)
from tests import recipes

pytestmark = pytest.mark.django_db

NOW = timezone.now()
OLD, BEFORE = NOW - timedelta(days=3), NOW - timedelta(days=2)


def group(name: str, *states: str, **fields: Any) -> list[Job]:
    """Jobs that have ended long ago if they have ended, with django-q2's records of them."""
    jobs = []
    for position, state in enumerate(states):
        ended = None if state in ("queued", "running") else OLD
        given = {"group": name, "position": position, "state": state, "finished_at": ended}
        jobs.append(recipes.job.make(**{**given, **fields}))
        if ended:
            record(jobs[-1].pk)
    return jobs


def record(pk: str) -> None:
    Task.objects.create(id=pk, name="n", func="f", started=OLD, stopped=OLD, success=True)


def nothing(keys: Collection[str]) -> set[str]:
    """What somebody keeps who keeps nothing."""
    return set()


def pruned(kept: retention.Kept = nothing, **options: Any) -> Removed:
    return prune(steps(BEFORE, kept, **options), ease=0).removed


def left() -> set[str]:
    return set(Job.objects.values_list("group", flat=True))


# --- what goes ----------------------------------------------------------------------------


def test_a_group_goes_with_its_records() -> None:
    group("old", "done", "failed", "cancelled")
    assert pruned() == Counter(jobs=3, tasks=3)
    assert not Job.objects.exists()
    assert not Task.objects.exists()


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_a_group_of_which_something_is_unfinished_stays_whole(state: str) -> None:
    group("old", "done", state)
    assert not +pruned()
    assert Job.objects.count() == 2


def test_a_group_of_which_something_is_young_stays_whole() -> None:
    group("old", "done", "done")
    Job.objects.filter(position=1).update(finished_at=NOW)
    assert not +pruned()
    assert Job.objects.count() == 2


def test_what_somebody_keeps_stays() -> None:
    for name in ("kept", "old"):
        group(name, "done")
    record("kept without a job")
    asked: list[str] = []

    def kept(keys: Collection[str]) -> set[str]:
        asked.extend(keys)
        return {key for key in keys if key.startswith("kept")}

    assert pruned(kept) == Counter(jobs=1, tasks=1)
    assert left() == {"kept"}
    assert sorted(asked) == ["kept", "kept without a job", "old"], "each is asked for once"


def test_a_dry_run_counts_what_would_go() -> None:
    group("old", "done", "failed")
    recipes.node.make(seen_at=OLD)
    record("without a job")
    assert pruned(dry=True) == Counter(jobs=2, tasks=3, nodes=1)
    assert (Job.objects.count(), Task.objects.count()) == (2, 3)
    assert pruned() == Counter(jobs=2, tasks=3, nodes=1)


@pytest.mark.thorough
def test_what_has_been_looked_at_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows are looked at, one after the other."""
    monkeypatch.setattr(retention, "LOOK_ROWS", 1)
    for number in range(3):
        group(f"old {number}", "done", "done")
    group("stays", "done", "running")
    assert pruned() == Counter(jobs=6, tasks=6)
    assert left() == {"stays"}


# --- in steps -----------------------------------------------------------------------------


def test_all_steps_are_taken_where_there_is_time() -> None:
    taken = iter([Counter(jobs=2), Counter(), Counter(jobs=1, tasks=1)])
    assert prune(taken, ease=0) == Pruned(Counter(jobs=3, tasks=1), finished=True)


def test_when_the_time_is_over_no_step_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now, sleep=lambda seconds: None)
    monkeypatch.setattr(retention, "time", clock)

    def a_second_each() -> Iterator[Removed]:
        nonlocal now
        while True:
            now += 1
            yield Counter(jobs=1)

    assert prune(a_second_each(), seconds=2) == Pruned(Counter(jobs=3), finished=False)


@pytest.mark.parametrize(("ease", "pauses_s"), [(0, [0.005]), (1, [2.0]), (3, [6.0])])
def test_after_each_step_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch, ease: float, pauses_s: list[float]
) -> None:
    pauses: list[float] = []
    times = iter([0.0, 0.0, 2.0, 2.0])
    clock = SimpleNamespace(monotonic=lambda: next(times), sleep=pauses.append)
    monkeypatch.setattr(retention, "time", clock)
    prune(iter([Counter(jobs=1)]), ease=ease)
    assert pauses == pauses_s


def test_a_batch_has_so_many_jobs_or_a_group_that_has_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", 3)
    for name, size in (("a", 1), ("b", 2), ("c", 1), ("d", 5), ("e", 1)):
        group(name, *["done"] * size)
    assert list(batches([*"abcde", "unknown"])) == [["a", "b"], ["c"], ["d"], ["e", "unknown"]]
    assert list(batches([])) == []


def test_rows_behind_another_are_those_of_its_time_with_a_higher_key_or_later() -> None:
    for key, days in (("b", 0), ("c", 0), ("a", 1), ("d", -1)):
        recipes.job.make(pk=key, finished_at=OLD + timedelta(days=days))
    behind = Job.objects.filter(later("finished_at", (OLD, "b"))).order_by("pk")
    assert [job.pk for job in behind] == ["a", "c"]


# --- locked and removed --------------------------------------------------------------------


def test_groups_are_locked_that_have_ended_whole() -> None:
    group("old", "done", "cancelled")
    group("retried", "failed", "queued")
    group("young", "done", finished_at=NOW)
    with transaction.atomic():
        assert lock(["retried", "old", "young", "without jobs"], BEFORE) == ["old", "without jobs"]


def test_the_mark_of_a_group_without_tasks_goes_with_it() -> None:
    record("mark")
    record("another")
    assert remove(["mark"], dry=True) == Counter(tasks=1)
    assert remove(["mark"]) == Counter(tasks=1)
    assert Task.objects.get().pk == "another"


# --- contents ------------------------------------------------------------------------------


def content(holder: str, hours: float = 0, *, complete: bool = True) -> Content:
    """One of two parts, last written so long ago."""
    writer = Writer(holder)
    writer.write(bytes(contents.PART_BYTES + 1))
    if complete:
        writer.done()
    made = Content.objects.filter(pk=writer.content.pk)
    made.update(made_at=timezone.now() - timedelta(hours=hours))
    return made.get()


def left_over(kept: retention.Kept = nothing, **options: Any) -> Removed:
    return prune(left_over_steps(kept, **options), ease=0).removed


def removed_now() -> Removed:
    return prune(given_up_steps(), ease=0).removed


def test_contents_go_with_their_jobs_and_their_groups() -> None:
    old, young = group("old", "done", "done"), group("young", "done", finished_at=NOW)
    for holder in (old[0].pk, old[0].pk, "old", young[0].pk, "somebody"):
        content(holder)
    assert pruned(dry=True) == Counter(jobs=2, tasks=2, contents=3)
    assert Content.objects.exclude(holder="").count() == 5
    assert pruned() == Counter(jobs=2, tasks=2, contents=3)
    assert set(Content.objects.values_list("holder", flat=True)) == {"", young[0].pk, "somebody"}
    assert not Content.objects.filter(holder="").exclude(digest="").exists()
    assert not +removed_now(), "they are counted already"
    assert Content.objects.count() == 2
    assert Part.objects.count() == 4


def test_what_was_given_up_goes_in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "STEP_PARTS", 1)
    for _ in range(3):
        content("holder")
    stays = content("another")
    Content.objects.filter(holder="holder").give_up()
    left = [Part.objects.count() for _ in given_up_steps()]
    assert left == [7, 6, 6, 5, 4, 4, 3, 2, 2]
    assert Content.objects.get() == stays
    assert list(given_up_steps()) == []


def test_a_content_without_a_holder_is_left_over_after_an_hour() -> None:
    (job,) = group("group", "running")
    hour = NEW.total_seconds() / 3600
    for holder in (job.pk, "group", "kept", "gone"):
        content(holder, hour + 0.1)
    content("gone lately", hour - 0.1)
    asked: list[set[str]] = []

    def kept(keys: Collection[str]) -> set[str]:
        asked.append(set(keys))
        return {"kept"}

    assert left_over(kept, dry=True) == Counter(contents=1)
    assert left_over(kept) == Counter(contents=1)
    assert asked == [{"kept", "gone"}] * 2, "and for no other"
    assert not +left_over(kept)
    removed_now()
    there = set(Content.objects.values_list("holder", flat=True))
    assert there == {job.pk, "group", "kept", "gone lately"}


def test_one_that_was_never_completed_is_left_over_when_no_task_can_be_at_it(
    settings: Any,
) -> None:
    settings.Q_TIMEOUT = 10 * 3600
    (job,) = group("group", "done")
    content(job.pk, 12)
    young = content(job.pk, 10, complete=False)
    old = content(job.pk, 12, complete=False)
    content("somebody's", 99, complete=False)
    assert left_over(lambda keys: {*keys} & {"somebody's"}) == Counter(contents=1)
    assert set(Content.objects.filter(holder="")) == {old}
    assert young in Content.objects.filter(holder=job.pk)


def test_however_few_contents_are_looked_at_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOOK_ROWS", 1)
    for holder in ("gone", "kept", "gone too"):
        content(holder, 2)
    assert left_over(lambda keys: {*keys} & {"kept"}) == Counter(contents=2)
    removed_now()
    assert Content.objects.get().holder == "kept"


def test_who_is_there() -> None:
    (job,) = group("group", "done")
    assert jobs_and_groups({job.pk, "group", "else"}) == {job.pk, "group"}


def test_a_project_that_keeps_nothing_itself_schedules_its_pruning() -> None:
    group("old", "done", "failed")
    group("young", "done", finished_at=NOW)
    record("before this queue")
    content("nobody", hours=2)
    assert retention.prune_old(days=2) == {"tasks": 3, "jobs": 2, "contents": 1}
    assert (left(), list(Content.objects.all())) == ({"young"}, [])
    assert retention.prune_old(days=0, seconds=-1) == {}, "there was no time"
