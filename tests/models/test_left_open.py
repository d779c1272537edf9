"""An author's code that leaves a transaction open: the run has its result all the same, and ends,
and so does the request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any

import pytest
from django import forms
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from compute.computations.primes import PRIMES
from compute.models import Partial, Run, Speed, measure
from compute.models.partial import combine_part
from compute.queue.contents import PART_BYTES, Content, Part
from compute.queue.models import Job
from compute.shapes import File, Table
from tests.conftest import run_queued, started
from tests.models.parts import begun
from tests.models.uncombined import START, Declare, a_run, said

WAYS: dict[str, Callable[[], Any]] = {
    "raw": lambda: connection.cursor().execute("BEGIN"),
    "autocommit off": lambda: transaction.set_autocommit(False),
    "a block": lambda: transaction.atomic().__enter__(),
}


@pytest.fixture(params=WAYS)
def leave(request: pytest.FixtureRequest) -> Callable[[], None]:
    def leave_open() -> None:
        WAYS[request.param]()
        User.objects.create_user(f"lost {User.objects.count()}")

    return leave_open


def ended_once(run: Run) -> bool:
    """Whether it was combined once, and nothing is left open."""
    assert connection.get_autocommit()
    assert not connection.in_atomic_block
    assert not User.objects.exists()
    run.refresh_from_db()
    return run.combine_job is not None and Job.objects.exclude(group=run.task_id).count() == 1


def test_combine(
    transactional_db: None,
    declare: Declare,
    leave: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leaving(results: Iterable[int]) -> int:
        leave()
        return sum(results)

    run = a_run(declare, combine=leaving)
    run_queued()
    assert said(run) == ("done", 25, None)
    assert ended_once(run)
    assert f"the code of {run} left a transaction open" in caplog.text


def test_show(transactional_db: None, declare: Declare, leave: Callable[[], None]) -> None:
    def leaving(result: int) -> Table:
        leave()
        return Table([[result]], columns=["primes"])

    run = a_run(declare, show=leaving)
    run_queued()
    assert said(run) == ("done", 25, None)
    assert ended_once(run)
    (output,) = run.outputs.all()
    assert list(output.read_rows()) == [[25]]


def test_how_a_result_is_printed(
    transactional_db: None, declare: Declare, leave: Callable[[], None]
) -> None:
    class Number(int):
        def __repr__(self) -> str:
            if not connection.in_atomic_block and connection.get_autocommit():
                leave()
            return "a number"

        __str__ = __repr__

    run = a_run(declare, combine=lambda results: Number(sum(results)))
    run_queued()
    assert said(run) == ("done", 25, None)
    assert ended_once(run)


def test_rows_that_are_written_as_they_come(
    transactional_db: None, declare: Declare, leave: Callable[[], None]
) -> None:
    def rows() -> Iterator[list[int]]:
        leave()
        yield [1]

    run = a_run(declare, combine=lambda results: Table(rows(), columns=["one"]))
    run_queued()
    assert said(run)[0] == "done"
    assert ended_once(run)
    (output,) = run.outputs.all()
    assert list(output.read_rows()) == [[1]]


def test_parts_that_are_lost_with_it_are_an_error(
    transactional_db: None, declare: Declare, leave: Callable[[], None]
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"1" * PART_BYTES
        leave()
        yield b"2" * PART_BYTES
        yield b"3"

    run = a_run(declare, combine=lambda results: File(pieces(), "numbers.txt"))
    run_queued()
    status, _, error = said(run)
    assert ended_once(run)
    if status == "error":
        assert "left a transaction open" in str(error) or "ProgrammingError" in str(error)
        assert not Content.objects.exists()
        assert not Part.objects.exists()
    else:  # SQLite writes in nothing that Django has not begun, and the part is written without
        (output,) = run.outputs.all()
        assert output.digest == sha256(b"".join(output.read())).hexdigest()


def test_a_transaction_that_is_committed_in_the_end_is_the_authors_own(
    transactional_db: None, declare: Declare
) -> None:
    def pieces() -> Iterator[bytes]:
        with transaction.atomic():
            User.objects.create_user("kept")
            yield b"1" * PART_BYTES
            yield b"2"

    run = a_run(declare, combine=lambda results: File(pieces(), "numbers.txt"))
    run_queued()
    assert said(run)[0] == "done"
    (output,) = run.outputs.all()
    assert sum(map(len, output.read())) == PART_BYTES + 1
    assert User.objects.get().username == "kept"


@pytest.mark.parametrize("fails", [False, True])
def test_a_part(
    transactional_db: None, declare: Declare, leave: Callable[[], None], fails: bool
) -> None:
    def leaving(results: Iterable[int]) -> int:
        leave()
        return sum(results) // (not fails)

    run = begun(declare, combine=leaving)
    Partial.objects.create(run=run)
    combine_part(run.task_id)
    part = Partial.objects.get(run=run)
    assert (part.shown, bool(part.trouble)) == ("" if fails else "10", fails)
    assert not User.objects.exists()
    assert connection.get_autocommit()


def test_a_sample(transactional_db: None, declare: Declare, leave: Callable[[], None]) -> None:
    left: list[int] = []

    def leaving(first: int, last: int) -> None:
        if not left:
            leave()
        left.append(first)

    declare(name="odd", sample=((2, 3), 2), function=leaving)
    Speed.objects.ask()
    measure("odd")
    assert not User.objects.exists()
    assert Speed.objects.get(computation="odd").per_second


@pytest.mark.parametrize("which", ["constructor", "clean", "clean_n", "widget"])
def test_a_form(
    transactional_db: None,
    declare: Declare,
    leave: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    which: str,
) -> None:
    def leave_in(step: str) -> None:
        if step == which:
            leave()

    class Leaving(forms.TextInput):
        def get_context(self, *args: Any) -> Any:
            leave_in("widget")
            return super().get_context(*args)

    class Form(forms.Form):
        n = forms.IntegerField(widget=Leaving)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            leave_in("constructor")
            super().__init__(*args, **kwargs)

        def clean_n(self) -> int:
            leave_in("clean_n")
            return int(self.cleaned_data["n"])

        def clean(self) -> None:
            leave_in("clean")

    declare(name="odd", form=Form)
    assert Client().get("/compute/odd/", headers={"Accept": "text/html"}).status_code == 200
    started(START, n=100, chunk_size=50)
    assert "odd: its `form` left a transaction open" in caplog.text
    assert connection.get_autocommit()
    assert not connection.in_atomic_block
    assert Run.objects.count() == 1
    assert not User.objects.exists()


@pytest.mark.parametrize("which", ["title", "length", "cut"])
def test_in_a_request(
    transactional_db: None,
    declare: Declare,
    leave: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    which: str,
) -> None:
    def leaving(*args: Any, **kwargs: Any) -> Any:
        leave()
        return getattr(PRIMES, which)(*args, **kwargs)

    declare(name="odd", **{which: leaving})
    started(START, n=100, chunk_size=50)
    assert f"odd: its `{which}` left a transaction open" in caplog.text
    assert connection.get_autocommit()
    assert not connection.in_atomic_block
    run_queued()
    started(START, n=100, chunk_size=50)
    assert Run.objects.count() == 2
    assert not User.objects.exists()
