"""Every task has its job, under the name and with the options that it was asked for."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import transaction
from django_q.models import OrmQ, Success
from django_q.tasks import Iter, async_iter, async_task, result

from compute.queue import fanout
from compute.queue.models import Job, JobState
from tests.queue import functions
from tests.queue.conftest import LocalNode, the_job

ADD = "tests.queue.functions.add"


def test_queueing_and_job_commit_together_or_not_at_all(db: None) -> None:
    with transaction.atomic():
        async_task(ADD, 1)
        assert (OrmQ.objects.count(), Job.objects.count()) == (1, 1)
        transaction.set_rollback(True)
    assert (OrmQ.objects.count(), Job.objects.count()) == (0, 0)


# --- its name ------------------------------------------------------------------------------------


def test_a_given_name_is_kept(node: LocalNode) -> None:
    async_task(ADD, 1, task_name="sum 1-9")
    assert the_job().name == OrmQ.objects.get().name() == "sum 1-9"
    node.run()
    assert Success.objects.get().name == "sum 1-9"


def test_a_name_in_q_options_is_kept(db: None) -> None:
    async_task(ADD, 1, q_options={"task_name": "sum 1-9"})
    assert the_job().name == "sum 1-9"


@pytest.mark.parametrize("name", ["x" * 101, "x" * 100_000])
def test_a_long_name_is_shortened(node: LocalNode, name: str) -> None:
    async_task(ADD, 1, task_name=name)
    node.run()
    assert the_job().name == Success.objects.get().name == "x" * 99 + "…"


def test_a_name_of_100_characters_is_whole(db: None) -> None:
    async_task(ADD, 1, task_name="x" * 100)
    assert the_job().name == "x" * 100


def test_a_long_list_of_arguments_is_shortened_in_the_name_alone(node: LocalNode) -> None:
    async_task(functions.give, list(range(1000)))
    node.run()
    assert len(the_job().name) == 100
    assert the_job().result == list(range(1000))


def test_a_nul_character_in_a_name_is_left_out(node: LocalNode) -> None:
    async_task(ADD, 1, task_name="a\0b")
    node.run()
    assert the_job().name == Success.objects.get().name == "ab"


@pytest.mark.parametrize(
    "function",
    [functions.one_by_one, functions.later_one_by_one, partial(functions.one_by_one, 1)],
    ids=["def", "async def", "partial"],
)
def test_what_returns_a_generator_is_not_queued(db: None, function: Any) -> None:
    said = "has a `yield`, so that it returns a generator, which can't be kept; let it return a"
    for ask in (
        lambda: async_task(function, 1),
        lambda: async_task(function, 1, sync=True),
        lambda: fanout.async_iter(function, [1, 2]),
    ):
        with pytest.raises(TypeError, match=said):
            ask()
    assert not Job.objects.exists()


def test_a_name_is_a_text(db: None) -> None:
    with pytest.raises(TypeError, match="task_name is no text: 7"):
        async_task(ADD, 1, task_name=7)


# --- its options ---------------------------------------------------------------------------------


def test_a_group_label_joins_no_fan_out(node: LocalNode) -> None:
    ids = [async_task(ADD, i, group="my label") for i in range(2)]
    assert list(Job.objects.in_group(ids[0]).values_list("pk", flat=True)) == [ids[0]]
    assert not Job.objects.in_group("my label").exists()
    node.run()
    assert sorted(Success.objects.values_list("group", "id")) == sorted(
        ("my label", task_id) for task_id in ids
    )


def test_cached_has_no_effect(node: LocalNode) -> None:
    task_id = async_task(ADD, 1, cached=60)
    assert OrmQ.objects.get().task["cached"] is False
    node.run()
    assert result(task_id) == the_job().result == 1


@pytest.mark.parametrize(
    "labels", [{"group": "x" * 101}, {"hook": "x" * 257}], ids=["group", "hook"]
)
def test_a_label_that_is_too_long_is_refused_before_a_result_can_be_lost(
    db: None, labels: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="characters, more than a task keeps"):
        async_task(ADD, 1, **labels)
    assert not OrmQ.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        *(("timeout", value, "timeout is ") for value in (None, "5", 0, -2, 2**31, 1e12, True)),
        ("timeout", float("nan"), "timeout is nan"),
        ("group", "caf\udce9", "a character that no database stores"),
        ("group", "a\0b", "a character that no database stores"),
        ("hook", "a\0b", "a character that no database stores"),
        ("cluster", "a\0b", "a character that no database stores"),
        ("group", "g" * 101, "group has over 100 characters"),
        ("hook", "h" * 257, "hook has over 256 characters"),
    ],
)
def test_options_that_cannot_work_are_refused_at_the_call(
    db: None, option: str, value: Any, why: str
) -> None:
    for options in (
        {option: value},
        {"q_options": {option: value}},
        {"sync": True, option: value},
    ):
        with pytest.raises(ValueError, match=why):
            async_task(ADD, 1, **options)
    assert not OrmQ.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("timeout", [0.5, 1, 2**31 - 1, -1])
def test_other_limits_are_taken(node: LocalNode, timeout: float) -> None:
    async_task(ADD, 1, timeout=timeout)
    node.run()
    assert the_job().state == JobState.DONE


@pytest.mark.parametrize(("asked", "rounded"), [(0.2, 1), (1, 1), (2.5, 3), (-1, -1)])
def test_a_limit_is_kept_as_it_is_beside_the_whole_seconds_that_others_take(
    db: None, asked: float, rounded: int
) -> None:
    """django-q2 in a request, and nodes of the version before, would fail at a fraction."""
    async_task(ADD, 1, timeout=asked)
    task = OrmQ.objects.get().task
    assert (task["limit"], task["timeout"]) == (asked, rounded)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[1, 2], []])
def test_stock_async_iter_is_refused_by_name_of_ours(
    db: None, arguments: list[int] | list[Any]
) -> None:
    with pytest.raises(TypeError, match=r"compute\.queue\.fanout\.async_iter"):
        async_iter(ADD, arguments)
    assert not OrmQ.objects.exists()


def test_stock_iter_is_refused_by_name_of_ours(db: None) -> None:
    with pytest.raises(TypeError, match=r"compute\.queue\.fanout\.async_iter"):
        Iter(ADD, [1, 2]).run()
    assert not OrmQ.objects.exists()


def test_a_task_that_says_it_is_one_of_an_iteration_is_refused(db: None) -> None:
    with pytest.raises(TypeError, match=r"compute\.queue\.fanout\.async_iter"):
        async_task(ADD, 1, iter_count=2)
