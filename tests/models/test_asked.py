"""What a person asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from compute.computations.sums import SUM
from compute.models import Run, as_kept
from compute.models.asked import function_of
from compute.models.speed import speed_of


def test_a_runs_address_names_its_computation() -> None:
    run = Run(computation="primes", task_id="abc")
    assert run.get_absolute_url() == "/compute/primes/check/?task_id=abc"


def test_a_length_that_cannot_be_told_any_more_is_none(db: None) -> None:
    assert Run(computation="sum", parameters={"n": 7}).length() == 7
    assert Run(computation="sum", parameters={"m": 7}).length() is None
    assert Run(computation="gone", parameters={"n": 7}).length() is None
    for n in ({"m": 10**9}, {"n": 10**9}):
        Run.objects.create(
            task_id=str(n)[:32],
            computation="sum",
            parameters=n,
            state=Run.State.DONE,
            work_seconds=2,
        )
    assert speed_of(SUM) == 500_000_000


def test_the_function_is_known_by_its_path_and_an_object_has_none() -> None:
    assert function_of(SUM) == "compute.tasks.get_sum_range"
    assert function_of(replace(SUM, function=partial(sum, start=1))) == ""


def test_what_its_form_was_filled_in_with_is_there_again() -> None:
    assert Run(computation="sum", given={"n": ["07"]}, parameters={"n": 7}).filled_in() == {
        "n": ["07"]
    }
    assert Run(computation="sum", parameters={"n": 7}).filled_in() == {"n": ["7"]}
    assert Run(computation="gone", parameters={"n": 7}).filled_in() == {}


def test_parameters_are_kept_as_plain_data_and_what_cannot_be_as_text() -> None:
    assert as_kept({"n": 7, "pair": (1, 2), "what": object}) == {
        "n": 7,
        "pair": [1, 2],
        "what": "<type: NotKeptError>",
    }
