"""A sum whose combining takes as long as its form says."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable
from multiprocessing import get_context

from django import forms

from compute import chunking, tasks
from compute.computation import Computation
from compute.fields import WholeNumberField


class MergingForm(forms.Form):
    n = WholeNumberField("Give n in plain digits.", label="n")
    seconds = forms.FloatField(min_value=0)


def part(first: int, last: int, seconds: float) -> tuple[int, float]:
    """A part of the sum, by another process; and in chaos one that the node has to end."""
    if mark := os.environ.get("CHAOS_SLEEP"):
        subprocess.Popen(["sleep", mark])
    with get_context("fork").Pool(1) as pool:
        return pool.apply(tasks.get_sum_range, (first, last)), seconds


def merge(results: Iterable[tuple[int, float]]) -> int:
    totals, seconds = zip(*results, strict=True)
    end = time.monotonic() + seconds[0]
    while time.monotonic() < end:
        time.sleep(0.01)
    return sum(totals)


MERGING = Computation(
    name="merging",
    line="Adds up all integers from 1 to n, and takes its time to combine.",
    title=lambda n, seconds: f"merging 1–{n:,}",
    form=MergingForm,
    function=part,
    length=lambda n, seconds: n,
    cut=lambda chunk_size, n, seconds: [
        (*ends, seconds) for ends in chunking.ranges(n, chunk_size)
    ],
    combine=merge,
)
