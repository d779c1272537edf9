"""Adding up all integers from 1 to n: the tutorial's example."""

from __future__ import annotations

from dataclasses import replace

from django import forms
from django.conf import settings

from compute import chunking, tasks
from compute.computation import Computation, the_only_one
from compute.fields import WholeNumberField


class SumForm(forms.Form):
    n = WholeNumberField(
        "Give n as a whole number in plain digits, for example n=1000.",
        label="n",
        help_text="Add up all integers from 1 to n.",
    )

    def clean_n(self) -> int:
        n: int = self.cleaned_data["n"]
        if n > settings.SUM_MAX_N:
            raise forms.ValidationError(f"Give an n of at most {settings.SUM_MAX_N:,}.")
        return n


def title(n: int) -> str:
    """A sum's name wherever people read of it."""
    return f"sum 1–{n:,}"


SUM = Computation(
    name="sum",
    line="Adds up all integers from 1 to n.",
    about="""
    There is a formula. Pretend that there is none: the loop stands for whatever your computation
    is. A chunk is a range of integers, and the totals of all are added up.
    """,
    title=title,
    form=SumForm,
    function=tasks.get_sum_range,
    length=lambda n: n,
    unit="integers",
    cut=lambda chunk_size, n: chunking.ranges(n, chunk_size),
    per_second=25e6,
    sample=((1, 200_000), 200_000),
    combine=sum,
    partial=True,
)

BUGGY_SUM = replace(
    SUM,
    name="buggy-sum",
    line="Fails for every n of 1,234,567 or more; made for debugging.",
    about="",
    function=tasks.get_sum_buggy,
    length=None,
    per_second=None,
    sample=None,
    cut=None,
    combine=the_only_one,
    partial=False,
)
