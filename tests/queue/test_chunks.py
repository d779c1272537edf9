"""The chunks of a group as people look at them, and their arguments, of which nothing runs."""

from __future__ import annotations

import datetime
import enum
import pickle
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ, Task

from compute.queue import chunks
from compute.queue.chunks import Chunk, chunk, in_order, part, readable
from compute.queue.fanout import async_iter
from compute.queue.models import Job, JobState, Node
from tests import recipes
from tests.conftest import run_queued

#: What a pickle of the classes below has run, which reading arguments must not.
ran: list[str] = []


def note() -> None:
    ran.append("it ran")


class Runs:
    def __reduce__(self) -> Any:
        return note, ()


class Shelf:
    """What a method of something makes."""

    def __reduce__(self) -> Any:
        return [].append, (1,)


class Shade(enum.Enum):
    DARK = 1


@dataclass(frozen=True)
class Tile:
    left: int
    right: int


def told(number: int, group: str) -> Chunk:
    found = chunk(group, number)
    assert found is not None
    return found


# --- arguments -----------------------------------------------------------------------------


def test_what_waits_has_the_arguments_of_its_package(db: None) -> None:
    group = async_iter("builtins.int", [("7f",), ("10", 2)], base=16)
    assert [each.arguments for each in in_order(group)] == ["'7f', base=16", "'10', 2, base=16"]
    first = told(1, group)
    assert (first.number, first.state, first.attempt) == (1, JobState.QUEUED, 0)
    assert (first.started_at, first.seconds) == (None, None)


def test_what_ended_well_has_those_of_its_record(db: None) -> None:
    group = async_iter("builtins.abs", [-5, 10**30])
    run_queued()
    assert not OrmQ.objects.exists()
    assert [each.arguments for each in in_order(group)] == ["-5", "1" + "0" * 30]
    first = told(1, group)
    assert (first.state, first.attempt, first.error) == (JobState.DONE, 1, "")
    assert first.seconds is not None
    assert first.seconds >= 0


def test_what_failed_or_was_cancelled_has_those_of_its_payload(db: None) -> None:
    group = async_iter("builtins.int", ["x", "y"])
    run_queued(1)
    Job.objects.filter(group=group).cancel("not needed")
    Task.objects.all().delete()
    assert [(each.state, each.arguments) for each in in_order(group)] == [
        (JobState.FAILED, "'x'"),
        (JobState.CANCELLED, "'y'"),
    ]
    assert told(1, group).error.startswith("ValueError: ")


def test_what_is_not_kept_is_not_told(db: None) -> None:
    group = async_iter("builtins.abs", [-5])
    run_queued()
    Task.objects.update(args=None)
    assert told(1, group).arguments is None
    Task.objects.all().delete()
    assert told(1, group).arguments is None


def test_long_arguments_are_not_read_and_others_are_shortened(db: None) -> None:
    group = async_iter("builtins.len", ["x" * 100_000, "x" * 2_000])
    waiting = [each.arguments for each in in_order(group)]
    run_queued()
    for long, shortened in (waiting, [each.arguments for each in in_order(group)]):
        # What is queued may be compressed.
        assert long is None or len(long) == 1_000
        assert shortened is not None
        assert len(shortened) == 1_000
        assert shortened.startswith("'xxx")
        assert shortened.endswith("…")
    assert told(1, group).arguments is None


def test_a_package_of_another_site_tells_nothing(db: None) -> None:
    group = async_iter("builtins.abs", [-5])
    for payload in ("x", "x:y:z", "", "gASVBQAAAAAAAABLBUsGhpQu:1abc:" + "0" * 43):
        OrmQ.objects.update(payload=payload)
        assert told(1, group).arguments is None


def test_no_object_is_made_of_what_an_author_has_queued(db: None) -> None:
    group = async_iter("builtins.repr", [(Runs(), Tile(1, 2), Tile, OrderedDict(a=1))])
    ran.clear()
    assert told(1, group).arguments == "note(…), Tile(…), Tile, OrderedDict(…)"
    assert ran == []


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, -7, 10**50, 0.1, "ü\n", b"\xff", (1, [2, {"a": {3}}], frozenset({4}))),
        *(datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),
        *(datetime.time(1), datetime.timedelta(1), Decimal("1.10"), Fraction(1, 3)),
        *(uuid.UUID(int=7), range(1, 9, 2), 1 + 2j, PurePosixPath("a/b")),
    ],
    ids=repr,
)
def test_plain_data_is_read_as_it_is(value: Any) -> None:
    for protocol in (4, pickle.HIGHEST_PROTOCOL):
        assert readable(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Tile(1, 2), "Tile(…)"),
        ([Tile], "[Tile]"),
        (partial(int, base=2), "partial(…)"),
        (len, "len"),
        (getattr, "getattr"),
        (Shade.DARK, "Shade(…)"),
        ([Shade.DARK, Shade], "[Shade(…), Shade]"),
        ([].append, "getattr(…)"),
        (datetime.date.today, "getattr(…)"),
        (Shelf(), "getattr(…)"),
        (OrderedDict(a=[Tile(1, 2)]), "OrderedDict(…)"),
        (deque([1, 2]), "deque(…)"),
        (ValueError("no"), "ValueError(…)"),
        (uuid.SafeUUID.safe, "SafeUUID(…)"),
    ],
)
def test_in_the_place_of_an_object_stands_the_name_of_its_class(value: Any, text: str) -> None:
    assert repr(readable(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))) == text


# --- a group -------------------------------------------------------------------------------


def test_a_chunk_says_where_and_when_it_ran(queue_server: Node) -> None:
    group = async_iter("builtins.abs", [-5])
    now = timezone.now()
    Job.objects.update(
        state=JobState.RUNNING,
        node=queue_server,
        worker=77,
        attempt=2,
        progress=0.25,
        started_at=now - datetime.timedelta(seconds=9),
    )
    found = told(1, group)
    assert (found.node, found.worker, found.attempt, found.progress) == ("tests", 77, 2, 0.25)
    assert found.seconds is None
    Job.objects.update(finished_at=now)
    assert told(1, group).seconds == pytest.approx(9)


def test_there_is_none_of_another_number_or_group(db: None) -> None:
    group = async_iter("builtins.abs", [-5])
    assert chunk(group, 2) is None
    assert chunk("f" * 32, 1) is None
    assert list(in_order("f" * 32)) == []


def test_many_are_read_in_pages_of_few_statements(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "PAGE", 10)
    group = "a" * 32
    Job.objects.bulk_create(recipes.job.prepare(group=group, position=n) for n in range(25))
    Job.objects.filter(position__in=(3, 17)).update(state=JobState.FAILED)
    with CaptureQueriesContext(connection) as queries:
        assert [each.number for each in in_order(group)] == list(range(1, 26))
    assert len(queries) <= 4 * 3
    assert [each.number for each in in_order(group, JobState.FAILED)] == [4, 18]


def test_a_part_of_them_is_read(db: None, django_assert_num_queries: Any) -> None:
    group = async_iter("builtins.abs", [-5, -6, -7, -8])
    Job.objects.filter(group=group, position=1).update(state=JobState.FAILED)
    with django_assert_num_queries(3):
        found = part(group, "", 1, 2)
    assert [(each.number, each.arguments) for each in found] == [(2, "-6"), (3, "-7")]
    assert [each.number for each in part(group, "queued", 1, 10)] == [3, 4]
    assert part(group, "done", 0, 10) == part(group, "", 4, 10) == []
