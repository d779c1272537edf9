"""Numbers in JSON come back from either database as they were."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from hypothesis import given
from hypothesis import strategies as st

from compute.models import Run, Sweep
from compute.models.exact import ExactEncoder
from tests.conftest import check, run_jobs, started

NUMBERS = (1e308, -1.5e300, 1e16, 1e22, -0.0, 0.0, 0.5, 5e-324, 1.0, 10**30, -(2**63), 2.0**53)


@pytest.mark.parametrize(
    "value",
    [
        *NUMBERS,
        list(NUMBERS),
        {"1e+22": [-0.0, "-0.0 and 1e+22"]},
        {'a "quoted" -0.0': "\\"},
        {"b\\": [1e22, "\\"]},
        [[{"a": {"b": [None, True, -0.0]}}]],
    ],
)
def test_what_is_kept_comes_back_as_it_was(db: None, value: Any) -> None:
    run = started("/sum-start/", n=5)
    Run.objects.filter(pk=run.pk).update(result=value, parameters={"a": value})
    run.refresh_from_db()
    assert repr(run.result) == repr(value)
    assert repr(run.parameters) == repr({"a": value})
    sweep = Sweep.objects.create(computation="sum", parameters={"a": value}, sizes=[1])
    assert repr(Sweep.objects.get(pk=sweep.pk).parameters) == repr({"a": value})


@given(st.floats(allow_nan=False, allow_infinity=False), st.text())
def test_any_reader_of_json_reads_the_same(number: float, text: str) -> None:
    written = ExactEncoder().encode({text: [number, text]})
    assert repr(json.loads(written)) == repr({text: [number, text]})
    digits = ExactEncoder().encode(number)
    assert "e+" not in digits, "of which a database would make an integer"


def test_rows_that_are_there_already_are_read(db: None) -> None:
    run = started("/sum-start/", n=5)
    run_jobs()
    assert check(run)["total"] == 15
    Run.objects.filter(pk=run.pk).update(result=None)
    run.refresh_from_db()
    assert run.result is None
    assert math.copysign(1, json.loads("-1e-400")) == -1


def test_migrations_see_no_other_field() -> None:
    """Another encoder would have SQLite write the table anew."""
    for model, name in ((Run, "result"), (Run, "parameters"), (Sweep, "parameters")):
        field: Any = model._meta.get_field(name)
        _, path, _, said = field.deconstruct()
        assert (path, said["encoder"]) == ("django.db.models.JSONField", DjangoJSONEncoder)
