"""What can be queued, how it travels, and what it is called."""

from __future__ import annotations

import pickle
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django_q.models import OrmQ, Success
from django_q.tasks import async_task

from compute.queue.call import Call, UnknownHereError, check_returns, is_generator, label, path_of
from compute.queue.models import JobState
from tests.queue import functions
from tests.queue.conftest import LocalNode, the_job

ADD = "tests.queue.functions.add"


@pytest.mark.parametrize(
    ("func", "args", "expected"),
    [
        (functions.add, (1, 2), 3),
        (ADD, (1, 2), 3),
        (functions.Adder(1), (2,), 3),
        (partial(functions.add, 1), (2,), 3),
        (functions.Adder.make, (3,), 3),
        (functions.Adder.give, (3,), "Adder gives 3"),
        (max, (1, 3), 3),
    ],
    ids=["function", "path", "object", "partial", "class method", "static method", "builtin"],
)
def test_whatever_can_be_called_has_its_job_and_runs(
    node: LocalNode, func: Any, args: tuple[Any, ...], expected: int | str
) -> None:
    task_id = async_task(func, *args)
    job = the_job()
    assert (job.pk, job.group, job.position, job.state) == (task_id, task_id, 0, JobState.QUEUED)
    assert job.queue_id == OrmQ.objects.get().pk
    assert job.queue == "sumsite"
    node.run()
    job.refresh_from_db()
    assert (job.state, job.result, job.error) == (JobState.DONE, expected, "")


def test_a_function_travels_as_its_path(node: LocalNode) -> None:
    async_task(functions.add, 1)
    assert OrmQ.objects.get().func() == ADD
    node.run()
    assert Success.objects.get().func == ADD


def test_a_call_travels_as_plain_data_that_the_version_before_can_read() -> None:
    call = Call(functions.add)
    assert call.__getstate__() == {"func": ADD, "was_there": True, "task": {}}
    travelled = pickle.loads(pickle.dumps(call))
    assert (str(travelled), travelled.func, travelled.was_there) == (ADD, ADD, True)


@pytest.mark.parametrize("state", [{"func": ADD}, {"func": ADD, "task": {"id": "1"}}])
def test_what_an_older_version_has_queued_runs(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any]
) -> None:
    """It kept the task, and said nothing of where the path came from."""
    with monkeypatch.context() as older:
        older.setattr(Call, "__getstate__", lambda self: state)
        async_task(functions.add, 1, 2)
    call = OrmQ.objects.get().task["func"]
    assert vars(call) == {"func": ADD, "was_there": False}
    node.run()
    assert (the_job().state, the_job().result) == (JobState.DONE, 3)


# --- the function itself ------------------------------------------------------------------


def test_a_call_finds_its_function_again() -> None:
    adder = functions.Adder(1)
    assert Call(functions.add).resolve() is functions.add
    assert Call(ADD).resolve() is functions.add
    assert Call(adder).resolve() is adder


@pytest.mark.parametrize("path", ["tests.queue.functions.gone", "gone", "tests.queue.functions"])
def test_a_path_to_no_function_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match=f"^Function {path} is not defined$") as raised:
        Call(path).resolve()
    assert not isinstance(raised.value, UnknownHereError)


def test_a_function_that_was_there_is_unknown_here(monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call(functions.give)
    monkeypatch.delattr(functions, "give")
    with pytest.raises(UnknownHereError, match="this node's code is not what queued it"):
        call.resolve()


@pytest.mark.parametrize(
    ("func", "path"),
    [
        (functions.add, ADD),
        (max, "builtins.max"),
        (functions.Adder.give, "tests.queue.functions.Adder.give"),
        (functions.Adder(1), None),
        (lambda: None, None),
        (partial(functions.add), None),
    ],
)
def test_a_path_is_one_that_leads_back(func: Any, path: str | None) -> None:
    assert path_of(func) == path


# --- what people call it ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (ADD, "add"),
        (functions.add, "add"),
        (functions.Adder(1), "Adder"),
        (functions.Adder.make, "make"),
        (partial(functions.add, 1), "partial"),
    ],
)
def test_the_name_of_a_call(func: Any, name: str) -> None:
    assert Call(func).name == name


def test_objects_of_a_class_count_as_one_function() -> None:
    partials = [partial(functions.add, number) for number in range(3)]
    assert {label(each) for each in partials} == {"functools.partial"}
    assert {label(Call(each)) for each in partials} == {"functools.partial"}
    assert label(Call(functions.add)) == label(ADD) == ADD
    assert len(label("x" * 1000)) == 200


@pytest.mark.parametrize(
    ("args", "kwargs", "name"),
    [
        ((1, "two"), {}, "echo(1, 'two')"),
        ((), {"b": [3]}, "echo(b=[3])"),
        ((1,), {"b": None}, "echo(1, b=None)"),
        ((), {}, "echo()"),
        (("a\0b",), {}, r"echo('a\x00b')"),
    ],
)
def test_a_task_without_a_name_is_called_as_it_is_called(
    db: None, args: tuple[Any, ...], kwargs: dict[str, Any], name: str
) -> None:
    async_task(functions.echo, *args, **kwargs)
    assert the_job().name == name


@pytest.mark.parametrize("argument", [10**5000, functions.Unreadable()], ids=["huge", "unreadable"])
def test_arguments_that_cannot_be_shown_can_be_queued(node: LocalNode, argument: Any) -> None:
    async_task(functions.give, argument)
    assert the_job().name.startswith("give(")
    node.run()
    assert the_job().state == JobState.DONE


class Decorated:
    """As Django's `@task` leaves it in the place of a function: it can't be called."""

    def __init__(self, func: Any) -> None:
        self.func = func


def decorated(value: int) -> int:
    return value + 1


inner, decorated = decorated, Decorated(decorated)  # type: ignore[assignment]


def test_of_what_stands_in_the_place_of_a_function_that_is_called() -> None:
    path = f"{__name__}.decorated"
    assert path_of(decorated) == path
    assert path_of(Decorated(inner)) == path, "one like it, which says more"
    assert path_of(Decorated(functions.add)) is None, "there is a plain function"
    for func in (path, decorated, Decorated(functions.Adder(2))):
        assert Call(func).bound({}, 1)(1) in (2, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is not defined"):
        Call(f"{__name__}.ADD").resolve()


def test_django_q2s_own_cluster_can_call_it() -> None:
    assert Call(ADD)(1, b=2) == Call(functions.add)(1, 2) == 3


def test_a_function_that_yields_is_told_by_its_name() -> None:
    for function in (functions.one_by_one, SimpleNamespace(func=functions.later_one_by_one)):
        assert is_generator(function)
        with pytest.raises(TypeError, match="one_by_one"):
            check_returns(function)
    for other in (functions.add, functions.Adder(1), max, "tests.queue.functions.one_by_one"):
        assert not is_generator(other)
        check_returns(other)
