"""`manage.py compute`: any computation in the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from compute.computations.sums import SumForm
from compute.models import Run
from tests.management.calling import call, manage, printed
from tests.processes import Processes
from tests.seeded import declare_darts


def test_compute_prints_the_result_alone(processes: Processes) -> None:
    processes.node()
    streams = call("compute", "primes", "100000", "--chunk-size", "20000")
    assert streams.out.getvalue() == "9592\n"
    assert "5 of 5 chunks" in streams.err.getvalue()
    assert call("compute", "buggy-sum", "1000").out.getvalue() == "500500\n"


@pytest.mark.thorough
def test_compute_names_the_computations_in_its_help() -> None:
    assert "primes (Counts the primes up to n, with a sieve)" in " ".join(
        manage("help", "compute").stdout.split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "There is no computation 'nothing'; there are: buggy-sum, "),
        (["primes"], "Give n as a whole number"),
        (["primes", "x"], "Give n as a whole number"),
        (["primes", "1", "2"], "primes takes 1 value: n."),
        (["primes", "1000000", "--chunk-size", "1"], "Give a chunk_size of at least 100"),
        (["buggy-sum", "1", "--chunk-size", "1"], "buggy-sum runs in one piece"),
    ],
)
def test_compute_refuses_what_the_site_refuses(
    db: None, arguments: list[str], message: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(message)):
        call_command("compute", *arguments)
    assert not Run.objects.exists()


def test_a_form_that_fails_now_and_then_is_its_authors_mistake(
    db: None, declare: Callable[..., None]
) -> None:
    made = []

    class OnceForm(SumForm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            made.append(self)
            if len(made) > 1:  # the first one is made for the options
                raise ZeroDivisionError("so often")
            super().__init__(*args, **kwargs)

    declare(name="once", form=OnceForm)
    made.clear()
    with pytest.raises(CommandError, match="once: its `form` raised ZeroDivisionError: so often"):
        call_command("compute", "once", "5")
    assert not Run.objects.exists()


# --- chance -----------------------------------------------------------------------------


def left(run: Run) -> None:
    """In the place of following it to its end."""
    raise KeyboardInterrupt


def test_a_seed_is_given_in_the_terminal_or_told_there(
    transactional_db: None, declare: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_darts(declare)
    monkeypatch.setattr("compute.management.terminal.follow", left)
    with printed() as streams, pytest.raises(SystemExit):
        call_command("compute", "darts", "10", "--seed", "42", "--chunk-size", "4")
    assert Run.objects.get().seed == 42
    assert "To repeat it exactly: --seed 42 --chunk-size 4\n" in streams.err.getvalue()
    with printed() as streams, pytest.raises(SystemExit):
        call_command("compute", "darts", "10")
    run = Run.objects.latest("id")
    told = f"To repeat it exactly: --seed {run.seed} --chunk-size {run.chunk_size}\n"
    assert told in streams.err.getvalue()


def test_what_runs_in_one_piece_has_no_chunk_size_to_tell(
    transactional_db: None, declare: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(name="dart", function=thrown_once, length=None, cut=None, sample=None, seed=True)
    monkeypatch.setattr("compute.management.terminal.follow", left)
    with printed() as streams, pytest.raises(SystemExit):
        call_command("compute", "dart", "10", "--seed", "42")
    assert "To repeat it exactly: --seed 42\n" in streams.err.getvalue()


def thrown_once(n: int, seed: int) -> int:
    return n + seed


def test_a_seed_without_chance_is_refused(db: None, declare: Callable[..., None]) -> None:
    declare_darts(declare)
    for arguments, message in (
        (["primes", "10"], "primes makes no use of chance, and takes no seed."),
        (["darts", "10"], "seed: Give seed as a whole number"),
    ):
        with pytest.raises(CommandError, match=message):
            call_command("compute", *arguments, "--seed", "x")
    assert not Run.objects.exists()
