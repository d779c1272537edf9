from __future__ import annotations

import datetime
import sys
from types import ModuleType
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django_q.tasks import async_task

from compute.queue import results as results_module
from compute.queue.contents import Content
from compute.queue.fanout import async_iter, results
from compute.queue.large import SHORT_CHARS
from compute.queue.models import Job, JobState
from compute.queue.results import (
    in_order,
    pickled,
    plain_in_order,
    plain_result,
    short_results,
    stored_in_order,
)
from compute.queue.room import TooLargeError
from tests.queue import functions
from tests.queue.conftest import LocalNode

ADD = "tests.queue.functions.add"


def done(result: Any) -> str:
    """The id of a task that is done, with this result."""
    task_id: str = async_task(ADD, 1)
    Job.objects.filter(pk=task_id).update(state=JobState.DONE, result=result)
    return task_id


# --- in pages ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_results_come_in_the_order_of_the_arguments(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(results_module, "PAGE", 3)
    group = async_iter(ADD, list(range(count)))
    node.run()
    assert list(in_order(group)) == list(range(count))


def test_those_that_are_not_done_are_left_out(node: LocalNode) -> None:
    group = async_iter(ADD, [1, 2, 3])
    node.run()
    Job.objects.filter(group=group, position=1).update(state=JobState.FAILED)
    async_iter(ADD, [4])
    assert list(in_order(group)) == [1, 3]


def test_a_page_is_read_only_when_it_is_wanted(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_module, "PAGE", 2)
    group = async_iter(ADD, [1, 2, 3, 4, 5])
    node.run()
    with CaptureQueriesContext(connection) as queries:
        results = in_order(group)
        assert len(queries) == 0
        assert [next(results), next(results)] == [1, 2]
        assert len(queries) == 1
        assert next(results) == 3
        assert len(queries) == 2


def test_between_two_pages_nothing_is_held(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others write meanwhile, and the connection may be another one afterwards."""
    monkeypatch.setattr(results_module, "PAGE", 1)
    group = async_iter(ADD, [1, 2, 3])
    node.run()
    results = in_order(group)
    assert next(results) == 1
    assert not connection.in_atomic_block
    connection.close()
    Job.objects.filter(group=group, position=1).delete()
    assert list(results) == [3]


def test_a_result_of_none_is_a_result(node: LocalNode) -> None:
    group = async_iter("builtins.print", ["x"])
    node.run()
    assert list(in_order(group)) == [None]


def test_each_is_made_when_it_is_asked_for(node: LocalNode) -> None:
    group = async_iter(functions.boxed, [10, 20])
    node.run()
    functions.ran.clear()
    results = in_order(group)
    for count in (1, 2):
        assert len(next(results).content) == 10 * count
        assert functions.ran == ["made of a pickle"] * count


def test_their_pickles_come_with_their_places(node: LocalNode) -> None:
    group = async_iter(ADD, [1, 2])
    node.run()
    assert list(stored_in_order(group)) == [(0, pickled(1)), (1, pickled(2))]


@pytest.mark.parametrize(
    ("size", "error", "words"),
    [(2_000_000, TooLargeError, "MAX_RESULT_MB"), (10, TypeError, "can't be pickled: ValueError")],
)
def test_what_cannot_be_kept_says_why(
    settings: Any, size: int, error: type[Exception], words: str
) -> None:
    settings.MAX_RESULT_MB = 1
    with pytest.raises(error, match=words):
        pickled(functions.write_only_and_large(size))


def test_a_database_that_stays_away_makes_no_result_unreadable(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = async_iter(ADD, [1])
    node.run()

    def away(stored: str) -> None:
        raise OperationalError("the server is gone")

    monkeypatch.setattr(results_module, "dbsafe_decode", away)
    with pytest.raises(OperationalError):
        results(group)


def test_a_web_request_gets_all_or_none_if_one_is_large(node: LocalNode) -> None:
    group = async_iter(functions.give, [1, None, "x" * SHORT_CHARS])
    for position in (0, 1):
        assert short_results(group) == [1, None][:position]
        node.work(node.claim_one())
    assert short_results(group) == [1, None]
    node.run()
    assert Content.objects.count() == 1
    assert short_results(group) is None


# --- plain ones ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result", [None, 0, 2**100, 1.5, "é", b"x", [1, {"a": (2, None)}], {1, 2}, True], ids=repr
)
def test_plain_data_is_read(db: None, result: Any) -> None:
    assert plain_result(done(result)) == (result,)


@pytest.mark.parametrize(
    "result", [datetime.date(2026, 1, 1), functions.add, [{"a": JobState.DONE}], len, 1j], ids=type
)
def test_what_would_run_code_is_not(db: None, result: Any) -> None:
    assert plain_result(done(result)) is None


class Restoring:
    """Runs something when its pickle is read."""

    def __reduce__(self) -> Any:
        return functions.give, ("read",)


def test_nothing_of_an_authors_runs(db: None) -> None:
    task_id = done([Restoring()])
    assert plain_result(task_id) is None
    assert functions.ran == []
    assert list(in_order(task_id)) == [["read"]]
    assert functions.ran == ["read"]


def test_a_long_one_is_not_read(db: None) -> None:
    """As the version before has written it, in the row; and no more of it than of a short one."""
    with CaptureQueriesContext(connection) as queries:
        assert plain_result("unknown") is None
    assert "SUBSTR" in queries.captured_queries[0]["sql"]
    assert plain_result(done("x" * SHORT_CHARS)) is None
    assert plain_result(done("x" * (SHORT_CHARS // 2))) == ("x" * (SHORT_CHARS // 2),)


def test_what_is_no_pickle_is_not_read(db: None) -> None:
    task_id = done(1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE queue_job SET result = 'no pickle' WHERE task_id = %s", [task_id])
    assert plain_result(task_id) is None


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.FAILED])
def test_one_that_is_not_done_has_no_result(db: None, state: JobState) -> None:
    task_id = done(1)
    Job.objects.update(state=state)
    assert plain_result(task_id) is None
    assert plain_result("unknown") is None


def test_all_plain_results_of_a_group(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page at a time; those of what is done, and nothing of what is for workers alone."""
    monkeypatch.setattr(results_module, "PAGE", 2)
    given = [1, None, "x" * SHORT_CHARS, [2], "left"]
    group = async_iter(functions.give, given)
    for _ in given[:-1]:
        node.work(node.claim_one())
    found = list(plain_in_order(group))
    assert [result for _, _, result in found] == [(1,), (None,), None, ([2],)]
    assert [position for _, position, _ in found] == [0, 1, 2, 3]
    assert [plain_result(task_id) for task_id, *_ in found] == [result for *_, result in found]
    with CaptureQueriesContext(connection) as queries:
        list(plain_in_order(group))
    assert len(queries) == 3


def test_a_result_whose_class_was_removed_is_said_so(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("removed_later")
    thing = type("Thing", (), {"__module__": "removed_later"})
    monkeypatch.setattr(module, "Thing", thing, raising=False)
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "removed_later", module)
        group = async_iter("tests.queue.functions.give", [1, thing()])
        node.run()
    unreadable = "the result of chunk 2 can't be read: ModuleNotFound"
    with pytest.raises(ValueError, match=unreadable):
        results(group)
    with pytest.raises(ValueError, match=unreadable):
        list(in_order(group))
