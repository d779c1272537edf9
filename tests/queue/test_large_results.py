"""A large result on its way from a task to all who ask for it: they get the result itself."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import TextField
from django.db.models.functions import Cast
from django.test.utils import CaptureQueriesContext
from django_q.models import Failure, Success, Task
from django_q.tasks import Chain, async_chain, async_task, fetch, result, result_group
from pytest_django import DjangoCaptureOnCommitCallbacks

from compute.queue import room
from compute.queue.contents import Content, Part
from compute.queue.fanout import async_iter, results
from compute.queue.large import REFERENCE_CHARS, SHORT_BYTES
from compute.queue.models import Job, JobState
from compute.queue.results import in_order, plain_result, short_results
from tests.queue import functions
from tests.queue.conftest import LocalNode, the_job

MB = 1_000_000
FIVE = 5 * MB


def rows_are_short() -> None:
    for model in (Job, Task):
        stored = model._default_manager.values_list(Cast("result", TextField()), flat=True)
        assert all(len(each or "") < REFERENCE_CHARS for each in stored)


def whole() -> bool:
    """Whether each content is complete, goes with a job that is done, and has all its parts."""
    holders = set(Content.objects.exclude(digest="").values_list("holder", flat=True))
    done = set(Job.objects.filter(state=JobState.DONE).values_list("pk", flat=True))
    ids = set(Content.objects.values_list("pk", flat=True))
    written = set(Part.objects.values_list("content", flat=True))
    return holders <= done and ids == written


# --- to whom ------------------------------------------------------------------------------


def test_whoever_asks_for_a_result_gets_it(node: LocalNode) -> None:
    task_id = async_task(functions.large, FIVE)
    node.run()
    expected = functions.large(FIVE)
    assert the_job().state == JobState.DONE
    assert the_job().result == expected
    assert result(task_id) == expected
    assert fetch(task_id).result == expected
    assert Success.objects.get().result == expected
    rows_are_short()
    content = Content.objects.get()
    assert (content.holder, FIVE < content.size < FIVE + 100) == (task_id, True)


@pytest.mark.parametrize("func", [functions.boxed, "tests.queue.functions.boxed"])
def test_it_may_be_of_any_class(node: LocalNode, func: Any) -> None:
    task_id = async_task(func, MB)
    node.run()
    assert result(task_id) == functions.boxed(MB)
    rows_are_short()


def test_the_results_of_a_group_come_one_by_one(node: LocalNode) -> None:
    sizes = [MB, 10, 2 * MB]
    group = async_iter(functions.large, sizes)
    node.run()
    expected = [functions.large(size) for size in sizes]
    assert results(group) == expected
    rows_are_short()
    with CaptureQueriesContext(connection) as queries:
        one_by_one = in_order(group)
        assert next(one_by_one) == expected[0]
        read = len(queries)
        assert next(one_by_one) == expected[1]
        assert len(queries) == read, "the next large one is read when it is asked for"
        assert next(one_by_one) == expected[2]
        assert len(queries) > read


def test_groups_of_django_q2_have_them_too(node: LocalNode) -> None:
    for size in (MB, 2 * MB):
        async_task(functions.large, size, group="group")
    node.run()
    found = sorted(result_group("group"), key=len)
    assert found == [functions.large(MB), functions.large(2 * MB)]


def test_a_chain_goes_on_after_one_and_has_it(node: LocalNode) -> None:
    chain = Chain()
    chain.append(functions.large, MB)
    chain.append(functions.add, 1)
    chain.append("tests.queue.functions.large", 2 * MB)
    chain.run()
    node.run()
    assert chain.length() == chain.current() == 3
    assert sorted(len(each) for each in chain.result() if isinstance(each, bytes)) == [MB, 2 * MB]
    assert 1 in chain.result()


@pytest.mark.parametrize("save", [True, False])
def test_a_hook_gets_it(
    node: LocalNode,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    save: bool,
) -> None:
    async_task(functions.large, MB, hook=functions.note_length, save=save)
    with django_capture_on_commit_callbacks(execute=True):
        node.run()
    assert functions.ran == [MB, ("hook", True, MB)]
    assert the_job().result == functions.large(MB)


def test_a_task_in_the_request_has_one(transactional_db: None) -> None:
    task_id = async_task(functions.large, MB, sync=True)
    assert result(task_id) == the_job().result == functions.large(MB)
    group = async_iter(functions.large, [MB, 2 * MB], sync=True)
    assert results(group) == [functions.large(MB), functions.large(2 * MB)]
    assert whole()


def test_of_a_transaction_that_fails_nothing_stays(transactional_db: None) -> None:
    with suppress(RuntimeError), transaction.atomic():
        async_task(functions.large, MB, sync=True)
        raise RuntimeError
    for model in (Job, Content, Part):
        assert not model._default_manager.exists()


def test_a_web_request_reads_none(node: LocalNode) -> None:
    task_id = async_task(functions.large, MB)
    group = async_iter(functions.large, [10, MB])
    short = async_iter(functions.large, [10, 20])
    node.run()
    with CaptureQueriesContext(connection) as queries:
        assert plain_result(task_id) is None
        assert short_results(group) is None
        assert short_results(short) == [functions.large(10), functions.large(20)]
    assert not any("queue_part" in each["sql"] for each in queries.captured_queries)


# --- what it costs -------------------------------------------------------------------------


def test_a_short_one_is_one_write_as_ever(transactional_db: None, node: LocalNode) -> None:
    async_task(functions.large, SHORT_BYTES - 100)
    task = node.claim_one()
    with CaptureQueriesContext(connection) as queries:
        node.work(task)
    assert not any("queue_content" in each["sql"] for each in queries.captured_queries)
    assert len(queries) == (1 if connection.vendor == "postgresql" else 5)


def test_a_large_one_is_not_told_to_the_reporter(node: LocalNode) -> None:
    async_task(functions.large, MB)
    async_task(functions.large, 100_000)
    tasks = node.run()
    assert [task["success"] for task in tasks] == [True, True]
    assert tasks[0]["result"] is None
    assert tasks[1]["result"] == functions.large(100_000)


# --- what can't be kept ----------------------------------------------------------------------


def test_one_that_is_too_large_has_failed(node: LocalNode, settings: Any) -> None:
    settings.MAX_RESULT_MB = 1
    async_task(functions.large, 2 * MB)
    node.run()
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "TooLargeError")
    assert "MAX_RESULT_MB (1) allows no more; return less" in the_job().error
    assert "MAX_RESULT_MB" in Failure.objects.get().result
    assert not Content.objects.exists()
    settings.MAX_RESULT_MB = 3
    assert the_job().retry()
    node.run()
    assert the_job().result == functions.large(2 * MB)


def test_a_full_database_takes_short_ones_only(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "used", lambda: 1.0)
    group = async_iter(functions.large, [10, MB])
    node.run()
    short, large = Job.objects.in_group(group)
    assert short.result == functions.large(10)
    assert (large.state, large.error_class) == (JobState.FAILED, "FullError")
    assert "make room, and retry" in large.error
    assert not Content.objects.exists()
    monkeypatch.setattr(room, "used", lambda: 0.5)
    assert large.retry()
    node.run()
    assert results(group) == [functions.large(10), functions.large(MB)]


def test_one_that_cannot_be_read_again_has_failed(node: LocalNode) -> None:
    async_task(functions.write_only_and_large, MB)
    node.run()
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "TypeError")
    assert the_job().error.startswith("TypeError: the result can't be pickled: ")
    assert not Content.objects.exists()


# --- of the version before --------------------------------------------------------------------


def test_long_results_in_their_rows_are_read_as_ever(node: LocalNode) -> None:
    """As the version before has written them."""
    group = async_iter(functions.add, [1])
    node.run()
    job = the_job()
    value = functions.large(MB)
    Job.objects.update(result=value)
    Task.objects.update(result=value)
    assert result(job.pk) == value
    assert results(group) == list(in_order(group)) == short_results(group) == [value]
    assert plain_result(job.pk) is None


def test_an_async_chain_given_as_a_list_works_too(node: LocalNode) -> None:
    group = async_chain([(functions.large, (MB,)), (functions.large, (2 * MB,))])
    node.run()
    assert sorted(map(len, result_group(group))) == [MB, 2 * MB]
