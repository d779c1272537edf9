from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ, Success, Task
from django_q.tasks import async_task
from django_q.tasks import result as result_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoCaptureOnCommitCallbacks

from compute.queue import transitions
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job, JobState
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import LocalNode

ADD = "tests.queue.functions.add"

#: Nothing of an example is left to disturb the next one: each has a group of its own.
on_one_database = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20
)


def packages() -> list[dict[str, Any]]:
    return [row.task for row in OrmQ.objects.order_by("pk")]


def names() -> list[str]:
    return [package["name"] for package in packages()]


# --- what is queued ----------------------------------------------------------------


def test_each_argument_has_a_task_and_a_job(db: None) -> None:
    group = async_iter(functions.add, [(1, 2), (3, 4), (5, 6)])
    jobs = list(Job.objects.in_group(group))
    assert [job.position for job in jobs] == [0, 1, 2]
    assert [job.number for job in jobs] == [1, 2, 3]
    assert {job.state for job in jobs} == {JobState.QUEUED}
    assert {job.queue for job in jobs} == {"sumsite"}
    rows = OrmQ.objects.in_bulk([job.queue_id for job in jobs])
    assert [rows[job.queue_id].task_id() for job in jobs] == [job.pk for job in jobs]
    assert [package["args"] for package in packages()] == [(1, 2), (3, 4), (5, 6)]
    assert [job.name for job in jobs] == names() == ["add(1, 2)", "add(3, 4)", "add(5, 6)"]
    assert functions.ran == []


arguments = st.one_of(
    st.integers(), st.none(), st.text(max_size=5), st.lists(st.integers(), max_size=3)
)


@pytest.mark.thorough
@on_one_database
@given(args_iter=st.lists(st.one_of(arguments, st.tuples(), st.tuples(arguments, arguments))))
def test_a_tuple_is_the_arguments_and_anything_else_is_the_only_one(
    node: LocalNode, args_iter: Sequence[Any]
) -> None:
    group = async_iter(functions.echo, args_iter)
    node.run()
    calls = [args if isinstance(args, tuple) else (args,) for args in args_iter]
    assert results(group) == [(args, {}) for args in calls]


@pytest.mark.parametrize("args_iter", [(1, 2), range(1, 3), "ab"])
def test_any_sequence_will_do(node: LocalNode, args_iter: Sequence[Any]) -> None:
    group = async_iter(functions.give, args_iter)
    node.run()
    assert results(group) == list(args_iter)


def test_all_is_queued_with_the_callers_transaction_or_nothing(db: None) -> None:
    with transaction.atomic():
        async_iter(ADD, [1, 2])
        async_iter(ADD, [])
        assert (Job.objects.count(), OrmQ.objects.count(), Task.objects.count()) == (2, 2, 1)
        transaction.set_rollback(True)
    assert (Job.objects.count(), OrmQ.objects.count(), Task.objects.count()) == (0, 0, 0)


def test_a_bad_argument_in_the_middle_queues_nothing(db: None) -> None:
    with pytest.raises((AttributeError, TypeError)):
        async_iter(ADD, [1, lambda: None, 3])
    assert (Job.objects.count(), OrmQ.objects.count()) == (0, 0)


def test_nothing_is_queued_when_the_jobs_cannot_be_written(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = recipes.job.make(position=1)
    monkeypatch.setattr("compute.queue.fanout.uuid4", lambda: SimpleNamespace(hex=taken.group))
    with pytest.raises(IntegrityError), transaction.atomic():
        async_iter(ADD, [1, 2])
    assert list(Job.objects.all()) == [taken]
    assert not OrmQ.objects.exists()


def test_a_package_that_comes_after_a_fan_out_has_no_job(db: None) -> None:
    async_iter(ADD, [1, 2])
    get_broker().enqueue("a package")
    assert (OrmQ.objects.count(), Job.objects.count()) == (3, 2)


def test_two_fan_outs_do_not_mix(node: LocalNode) -> None:
    groups = [async_iter(ADD, args) for args in ([1, 2], [10, 20])]
    node.run()
    assert [results(group) for group in groups] == [[1, 2], [10, 20]]


# --- options -----------------------------------------------------------------------


def test_other_keywords_go_to_the_function(node: LocalNode) -> None:
    group = async_iter(functions.echo, [1, 2], b=5, name="x")
    node.run()
    assert results(group) == [((1,), {"b": 5, "name": "x"}), ((2,), {"b": 5, "name": "x"})]


def test_a_name_tells_the_chunk_and_how_many_there_are(db: None) -> None:
    group = async_iter(ADD, range(30), task_name="sum 1-30")
    assert names()[6] == "sum 1-30, chunk 7 of 30"
    assert Job.objects.in_group(group)[29].name == "sum 1-30, chunk 30 of 30"


@pytest.mark.thorough
def test_chunks_are_counted_as_people_write_numbers(db: None) -> None:
    async_iter(ADD, range(1200), task_name="sum")
    assert names()[1099] == "sum, chunk 1,100 of 1,200"


def test_a_long_name_is_shortened(db: None) -> None:
    group = async_iter(ADD, range(30), task_name="x" * 200)
    assert {len(name) for name in names()} == {100}
    assert [job.name for job in Job.objects.in_group(group)] == names()


def test_a_timeout_is_the_tasks_and_not_the_functions(node: LocalNode) -> None:
    group = async_iter(functions.echo, [1], timeout=60)
    assert packages()[0]["timeout"] == 60
    node.run()
    assert results(group) == [((1,), {})]


def test_a_hook_is_called_for_each_task(
    node: LocalNode, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    group = async_iter(ADD, [1, 2], hook=functions.hook)
    with django_capture_on_commit_callbacks(execute=True):
        node.run()
    called = [("hook", job.pk, True) for job in Job.objects.in_group(group)]
    assert functions.ran[-2:] == called


def test_options_may_come_in_q_options(node: LocalNode) -> None:
    options = {"task_name": "sum", "timeout": 60, "hook": "tests.queue.functions.hook"}
    given = dict(options)
    async_iter(functions.echo, [1, 2], q_options=given, b=5)
    assert given == options
    assert names() == ["sum, chunk 1 of 2", "sum, chunk 2 of 2"]
    assert {package["timeout"] for package in packages()} == {60}
    assert [package["kwargs"] for package in packages()] == [{"b": 5}] * 2


@pytest.mark.parametrize("options", [{"group": "mine"}, {"q_options": {"group": "mine"}}])
def test_the_group_is_always_a_new_one(node: LocalNode, options: dict[str, Any]) -> None:
    group = async_iter(functions.echo, [1, 2], **options)
    assert group != "mine"
    assert {package["group"] for package in packages()} == {group}
    node.run()
    assert results(group) == [((1,), {}), ((2,), {})]
    assert set(Success.objects.values_list("group", flat=True)) == {group}


@pytest.mark.parametrize(
    "options",
    [
        {"cluster": "other"},
        {"q_options": {"cluster": "other"}},
        lambda: {"broker": get_broker("other")},
        lambda: {"q_options": {"broker": get_broker("other")}},
    ],
    ids=["cluster", "cluster in q_options", "broker", "broker in q_options"],
)
def test_tasks_go_to_the_queue_that_is_asked_for(
    db: None, options: dict[str, Any] | Callable[..., Any]
) -> None:
    group = async_iter(functions.echo, [1, 2], **(options() if callable(options) else options))
    assert {row.key for row in OrmQ.objects.all()} == {"other"}
    assert {job.queue for job in Job.objects.in_group(group)} == {"other"}
    assert {str(package["kwargs"]) for package in packages()} == {"{}"}
    assert len(transitions.claim("other", 5, None)) == 2


def test_results_are_kept_without_a_record_of_each(node: LocalNode) -> None:
    group = async_iter(ADD, [1, 2], save=False)
    node.run()
    assert results(group) == [1, 2]
    assert not Task.objects.exists()


@pytest.mark.parametrize("func", [functions.Adder(10), functions.Adder(10).__call__])
def test_any_callable_will_do(node: LocalNode, func: Any) -> None:
    group = async_iter(func, [1, 2])
    node.run()
    assert results(group) == [11, 12]


# --- results -----------------------------------------------------------------------


@pytest.mark.thorough
@on_one_database
@given(order=st.permutations(range(6)))
def test_results_come_in_the_order_of_the_arguments_whatever_finishes_first(
    node: LocalNode, order: list[int]
) -> None:
    group = async_iter(ADD, [10, 20, 30, 40, 50, 60])
    tasks = node.claim(6)
    for index in order:
        assert results(group) is None
        node.work(tasks[index])
    assert results(group) == [10, 20, 30, 40, 50, 60]


def test_results_are_in_the_order_of_the_arguments_and_not_of_the_ids(node: LocalNode) -> None:
    numbers = random.sample(range(10**6), 50)
    group = async_iter(functions.give, numbers, save=False)
    node.run()
    assert results(group) == numbers


@pytest.mark.parametrize("state", [state for state in JobState if state != JobState.DONE])
def test_there_are_no_results_until_every_job_is_done(node: LocalNode, state: JobState) -> None:
    group = async_iter(ADD, [1, 2, 3])
    assert results(group) is None
    node.run()
    Job.objects.filter(group=group, position=1).update(state=state)
    assert results(group) is None


def test_a_failed_chunk_that_is_retried_completes_its_group(node: LocalNode) -> None:
    group = async_iter(functions.fail_once, ["a"])
    node.run()
    assert results(group) is None
    assert Job.objects.get().retry()
    node.run()
    assert results(group) == ["luck"]


def test_a_chunk_that_is_delivered_twice_counts_once(
    node: LocalNode, other_node: LocalNode
) -> None:
    group = async_iter(ADD, [1, 2])
    first = node.claim(2)
    Job.objects.filter(node=node.row).give_back()
    other_node.run()
    for task in first:
        node.work(task)
    assert results(group) == [1, 2]
    assert Job.objects.filter(group=group, state=JobState.DONE, delivery=3).count() == 2


def test_no_arguments_are_complete_at_once(db: None) -> None:
    group = async_iter(ADD, [])
    assert results(group) == []
    assert result_of(group) == []
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize(
    ("name", "shown"), [("sum", "sum"), ("a\0b", "ab"), (None, ADD)], ids=["plain", "NUL", "none"]
)
def test_a_group_without_tasks_has_a_name(db: None, name: str | None, shown: str) -> None:
    async_iter(ADD, [], task_name=name)
    assert Success.objects.get().name == shown


def test_a_long_name_of_a_group_without_tasks_is_shortened(db: None) -> None:
    async_iter(ADD, [], task_name="x" * 200)
    assert len(Success.objects.get().name) == 100


def test_an_unknown_group_has_no_results(db: None) -> None:
    assert results("unknown") is None


def test_a_lone_task_is_a_group_of_one(node: LocalNode) -> None:
    task_id = async_task(ADD, 1)
    assert results(task_id) is None
    node.run()
    assert results(task_id) == [1]


# --- in place ----------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"sync": True}, {"q_options": {"sync": True}}])
def test_sync_runs_all_in_place(db: None, options: dict[str, Any]) -> None:
    group = async_iter(functions.echo, [1, 2, 3], **options)
    assert results(group) == [((1,), {}), ((2,), {}), ((3,), {})]
    assert not OrmQ.objects.exists()
    assert [job.position for job in Job.objects.in_group(group)] == [0, 1, 2]


def test_a_site_that_runs_all_in_place_has_its_results_too(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Conf, "SYNC", True)
    group = async_iter(ADD, [1, 2])
    assert results(group) == [1, 2]


def test_sync_passes_an_error_on_and_nothing_is_left(db: None) -> None:
    with pytest.raises(ValueError, match="no luck"):
        async_iter(functions.fail, ["no luck", "none"], sync=True)
    assert functions.ran == ["no luck"]
    assert not Job.objects.exists()


# --- cost --------------------------------------------------------------------------


def statements(function: Callable[..., Any], *args: Any) -> int:
    with CaptureQueriesContext(connection) as queries:
        function(*args)
    return len(queries)


@pytest.mark.thorough
def test_statements_grow_by_batches_and_not_by_tasks(db: None) -> None:
    few = statements(async_iter, ADD, range(1000))
    many = statements(async_iter, ADD, range(10_000))
    assert Job.objects.count() == OrmQ.objects.count() == 11_000
    assert (many - few) / 9_000 < 1 / 30


def test_results_are_read_in_one_statement(node: LocalNode) -> None:
    group = async_iter(ADD, range(20))
    node.run()
    assert statements(results, group) == 1


def test_each_call_may_have_keywords_of_its_own(node: LocalNode) -> None:
    own = [{"seed": 1}, {"seed": 2, "b": 3}]
    group = async_iter(functions.echo, [1, 2], b=0, q_options={"keywords": own})
    given = [package["kwargs"] for package in packages()]
    assert given == [{"b": 0, "seed": 1}, {"b": 3, "seed": 2}]
    assert names() == ["echo(1, b=0, seed=1)", "echo(2, b=3, seed=2)"]
    node.run()
    assert results(group) == [((1,), {"b": 0, "seed": 1}), ((2,), {"b": 3, "seed": 2})]


def test_such_keywords_go_along_in_a_request(db: None) -> None:
    group = async_iter(functions.echo, [1, 2], sync=True, q_options={"keywords": [{"x": 1}, {}]})
    assert results(group) == [((1,), {"x": 1}), ((2,), {})]


def test_such_keywords_have_to_travel(db: None) -> None:
    own: list[dict[str, Any]] = [{}, {"x": lambda: 1}]
    with pytest.raises(TypeError, match="a worker could not read this task"):
        async_iter(functions.echo, [1, 2], q_options={"keywords": own})
    assert not Job.objects.exists()
