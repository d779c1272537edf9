from __future__ import annotations

import datetime
import sys
from types import ModuleType

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.tasks import async_task

from compute.queue import results as results_module
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobState
from compute.queue.results import SHORT, in_order, plain_result
from tests.queue import functions

ADD = "tests.queue.functions.add"


def done(result):
    """The id of a task that is done, with this result."""
    task_id = async_task(ADD, 1)
    Job.objects.filter(pk=task_id).update(state=JobState.DONE, result=result)
    return task_id


# --- in pages ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_results_come_in_the_order_of_the_arguments(node, monkeypatch, count):
    monkeypatch.setattr(results_module, "PAGE", 3)
    group = async_iter(ADD, list(range(count)))
    node.run()
    assert list(in_order(group)) == list(range(count))


def test_those_that_are_not_done_are_left_out(node):
    group = async_iter(ADD, [1, 2, 3])
    node.run()
    Job.objects.filter(group=group, position=1).update(state=JobState.FAILED)
    async_iter(ADD, [4])
    assert list(in_order(group)) == [1, 3]


def test_a_page_is_read_only_when_it_is_wanted(node, monkeypatch):
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


def test_between_two_pages_nothing_is_held(transactional_db, node, monkeypatch):
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


def test_a_result_of_none_is_a_result(node):
    group = async_iter("builtins.print", ["x"])
    node.run()
    assert list(in_order(group)) == [None]


# --- plain ones ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result", [None, 0, 2**100, 1.5, "é", b"x", [1, {"a": (2, None)}], {1, 2}, True], ids=repr
)
def test_plain_data_is_read(db, result):
    assert plain_result(done(result)) == (result,)


@pytest.mark.parametrize(
    "result", [datetime.date(2026, 1, 1), functions.add, [{"a": JobState.DONE}], len, 1j], ids=repr
)
def test_what_would_run_code_is_not(db, result):
    assert plain_result(done(result)) is None


class Restoring:
    """Runs something when its pickle is read."""

    def __reduce__(self):
        return functions.give, ("read",)


def test_nothing_of_an_authors_runs(db):
    task_id = done([Restoring()])
    assert plain_result(task_id) is None
    assert functions.ran == []
    assert list(in_order(task_id)) == [["read"]]
    assert functions.ran == ["read"]


def test_a_long_one_is_not_read(db):
    assert plain_result(done("x" * SHORT)) is None
    assert plain_result(done("x" * (SHORT // 2))) == ("x" * (SHORT // 2),)


def test_what_is_no_pickle_is_not_read(db):
    task_id = done(1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE queue_job SET result = 'no pickle' WHERE task_id = %s", [task_id])
    assert plain_result(task_id) is None


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.FAILED])
def test_one_that_is_not_done_has_no_result(db, state):
    task_id = done(1)
    Job.objects.update(state=state)
    assert plain_result(task_id) is None
    assert plain_result("unknown") is None


def test_a_result_whose_class_was_removed_is_said_so(node, monkeypatch):
    module = ModuleType("removed_later")
    module.Thing = type("Thing", (), {"__module__": "removed_later"})
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "removed_later", module)
        group = async_iter("tests.queue.functions.give", [1, module.Thing()])
        node.run()
    for read in (lambda: results(group), lambda: list(in_order(group))):
        with pytest.raises(ValueError, match="the result of chunk 2 can't be read: ModuleNotFound"):
            read()
