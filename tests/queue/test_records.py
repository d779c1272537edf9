"""django-q2's own record of what has ended."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import Failure, OrmQ, Task
from django_q.tasks import async_task

from compute.queue import records
from compute.queue.models import Job, JobState
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import LocalNode, queue_past_us

ADD = "tests.queue.functions.add"


def a_task(**fields: Any) -> dict[str, Any]:
    now = timezone.now()
    return {"id": "a" * 32, "name": "a task", "func": ADD, "started": now, **fields}


def test_a_record_is_the_tasks_with_what_came_of_it() -> None:
    task = a_task(args=(1,), kwargs={"b": 2}, hook="h", group="g", cluster="slow")
    record = records.record_of(task, True, [3], 2)
    assert (record.pk, record.name, record.func) == (task["id"], "a task", ADD)
    assert (record.args, record.kwargs, record.result) == ((1,), {"b": 2}, [3])
    assert (record.hook, record.group, record.cluster) == ("h", "g", "slow")
    assert (record.success, record.attempt_count) == (True, 2)
    assert record.started == task["started"] <= record.stopped
    assert record._state.adding, "it is not yet saved"


def test_of_a_package_that_could_not_be_read_little_is_known() -> None:
    task = {"id": "a" * 32, "name": 5, "func": None, "started": timezone.now()}
    record = records.record_of(task, False, "it can't be read", 0)
    assert (record.name, record.func, record.group) == ("5", "", None)
    assert (record.args, record.kwargs, record.hook) == (None, None, None)


@pytest.mark.parametrize(("label", "most"), [("name", 100), ("func", 256), ("group", 100)])
def test_a_label_is_no_longer_than_its_column(label: str, most: int) -> None:
    record = records.record_of(a_task(**{label: "x" * 1000}), True, None, 1)
    assert len(getattr(record, label)) == most
    assert Task._meta.get_field(label).max_length == most


def test_a_failure_without_a_worker_has_its_jobs_name_and_time(db: None) -> None:
    job = recipes.job.make(name="sum", attempt=3, started_at=timezone.now())
    values = records.failure(job, {"func": ADD, "args": (1,)}, "its worker died")
    assert (values["id"], values["name"], values["func"]) == (job.pk, "sum", ADD)
    assert (values["success"], values["attempt_count"]) == (False, 3)
    assert values["started"] == connection.ops.adapt_datetimefield_value(job.started_at)


def test_a_job_that_had_not_started_failed_now(db: None) -> None:
    before = connection.ops.adapt_datetimefield_value(timezone.now())
    values = records.failure(recipes.job.make(started_at=None), {}, "it can't be read")
    assert before <= values["started"] <= values["stopped"]


def test_what_failed_without_a_job_is_a_failed_task(db: None) -> None:
    pk = records.note_failure("n" * 200, ADD, "why")
    failure = Failure.objects.get(pk=pk)
    assert (failure.name, failure.func) == ("n" * 99 + "…", ADD)
    assert (failure.result, failure.attempt_count) == ("why", 0)


def test_columns_are_those_of_the_table_with_values_that_it_takes(db: None) -> None:
    record = records.record_of(a_task(args=(1,), kwargs={}), True, {"a": 1}, 1)
    columns = records.columns_of(record)
    names = [field.column for field in Task._meta.concrete_fields]
    assert list(columns) == names
    with connection.cursor() as cursor:
        marks = ", ".join(["%s"] * len(names))
        into = ", ".join(f'"{name}"' for name in names)
        insert = f"INSERT INTO django_q_task ({into}) VALUES ({marks})"  # noqa: S608
        cursor.execute(insert, list(columns.values()))
    assert (Task.objects.get().args, Task.objects.get().result) == ((1,), {"a": 1})


def test_arguments_that_cannot_be_pickled_are_left_out_and_the_result_is_not(db: None) -> None:
    spoiled = records.record_of(a_task(args=([lambda: None],), kwargs={"b": 2}), True, 3, 1)
    columns = records.stored(spoiled)
    assert (spoiled.args, spoiled.kwargs, spoiled.result) == (None, None, 3)
    assert columns["args"] is None


def spoil(values: list[Any], error: str | None = None) -> str:
    """Leave in its argument what can't be pickled."""
    values.append(lambda: None)
    if error:
        raise ValueError(error)
    return "spoiled"


@pytest.mark.parametrize("error", [None, "spoiled, too"])
@pytest.mark.parametrize("queue", [async_task, queue_past_us], ids=["a job", "no job"])
def test_arguments_that_the_function_has_spoiled_cost_no_outcome(
    node: LocalNode, queue: Any, error: str | None
) -> None:
    queue(spoil, [1], error)
    node.run()
    record = Task.objects.get()
    assert (record.success, record.args, record.kwargs) == (error is None, None, None)
    assert record.result == "spoiled" if error is None else "spoiled, too" in record.result
    assert not OrmQ.objects.exists()
    states = set(Job.objects.values_list("state", flat=True))
    assert states <= {JobState.FAILED if error else JobState.DONE}


@pytest.mark.parametrize("label", ["name", "group"])
def test_a_label_that_is_too_long_for_its_record_is_shortened_without_a_job(
    node: LocalNode, label: str
) -> None:
    queue_past_us(ADD, 1, **{label: "x" * 101})
    node.run()
    assert getattr(Task.objects.get(), label) == "x" * 99 + "…"
    assert functions.ran == [(1, 0)]
    assert not OrmQ.objects.exists()
