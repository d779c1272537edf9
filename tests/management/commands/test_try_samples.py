"""`manage.py try_samples`: each sample runs, in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command

from compute.computations.primes import PRIMES
from compute.management.commands import try_samples
from tests.management.calling import call, printed


def raises(first: int, last: int) -> None:
    raise ValueError("not\nthis")


def dies(first: int, last: int) -> None:
    os._exit(7)


def hangs(first: int, last: int) -> None:
    subprocess.run(["sleep", "600"])


def gives_a_function(first: int, last: int) -> Callable[[], None]:
    return lambda: None


@pytest.fixture
def computations(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let there be those with these functions, and the primes."""

    def computations(*functions: Callable[[int, int], Any]) -> None:
        declared = {each.__name__: replace(PRIMES, function=each) for each in functions}
        found = {name: replace(each, name=name) for name, each in declared.items()}
        monkeypatch.setattr(try_samples, "all_computations", lambda: {"primes": PRIMES, **found})

    return computations


def test_samples_that_work_are_nothing_to_speak_of(computations: Callable[..., None]) -> None:
    computations()
    streams = call("try_samples")
    assert (streams.out.getvalue(), streams.err.getvalue()) == ("", "")


def test_a_sample_that_does_not_work_is_named(computations: Callable[..., None]) -> None:
    computations(raises, dies, gives_a_function)
    with printed() as streams, pytest.raises(CommandError, match=r"3 samples did not work"):
        call_command("try_samples")
    said = streams.err.getvalue()
    assert "(compute.W009) The sample of computation 'raises' raises ValueError: not this." in said
    assert "The sample of computation 'dies' ends its process, with exit code 7." in said
    assert "The sample of computation 'gives_a_function' raises AttributeError: " in said
    assert "'primes'" not in said


@pytest.mark.thorough
def test_a_sample_that_takes_too_long_is_ended_with_all_that_it_started() -> None:
    slow, before = replace(PRIMES, function=hangs), psutil.Process().children(recursive=True)
    assert try_samples.trouble_with(slow, seconds=0.5) == "takes over 0.5 s"
    assert set(psutil.Process().children(recursive=True)) <= set(before)
