"""Which run begins where one clicks at a picture, as a computation's form says it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from compute.computation import Computation, ComputationError
from compute.computations import all_computations
from compute.computations.mandelbrot import MANDELBROT, WHOLE, MandelbrotForm
from compute.computations.primes import PRIMES, PrimesForm
from compute.models import Run
from compute.web.pages.clicks import (
    buttons,
    clicked,
    clicks_context,
    form_of,
    is_clickable,
    ways_of,
)
from tests.conftest import started
from tests.models.uncombined import Declare, page

START = "/compute/mandelbrot/start/"


class Plain(MandelbrotForm):
    ways = None  # type: ignore[assignment]


class Wrong(MandelbrotForm):
    def clicked(self, across: float, down: float) -> Any:
        return [across, down]

    def ways(self) -> Any:
        return {"On": 5}


class Raising(MandelbrotForm):
    def clicked(self, across: float, down: float) -> Any:
        raise ZeroDivisionError("/srv/secret")

    ways = clicked  # type: ignore[assignment]


def odd(declare: Declare, form: Any) -> Computation:
    """A Mandelbrot set with another form."""
    fields = {name: getattr(MANDELBROT, name) for name in ("title", "function", "length", "cut")}
    declare(**{**fields, "name": "odd", "form": form, "sample": None})
    return all_computations()["odd"]


def a_run(name: str = "odd", **texts: str) -> Run:
    fields: dict[str, Any] = {"pixels": 64, "iterations": 5, **texts}
    return started(f"/compute/{name}/start/", None, **fields)


def test_a_form_says_whether_its_pictures_are_buttons() -> None:
    assert is_clickable(MANDELBROT)
    assert not is_clickable(PRIMES)


def test_it_is_asked_with_what_the_run_has(db: None) -> None:
    run = a_run("mandelbrot", x="-1", y="0.5", width="0.4")
    form = form_of(MANDELBROT, run)
    assert clicked(MANDELBROT, form, 1, 0) == {
        "x": Decimal("-0.8"),
        "y": Decimal("0.7"),
        "width": Decimal("0.1"),
    }
    assert ways_of(MANDELBROT, form)["The whole set"] == WHOLE


def test_ways_are_no_must(db: None, declare: Declare) -> None:
    computation = odd(declare, Plain)
    run = a_run()
    assert ways_of(computation, form_of(computation, run)) == {}
    assert clicks_context(run, computation, True) == {"clickable": True, "ways": []}


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (Wrong, "odd: its `form` returned [0.5, 0.5] (list) from `clicked`; make it a dict."),
        (Raising, "odd: its `form` raised ZeroDivisionError: /srv/secret"),
    ],
)
def test_what_is_wrong_is_told_to_its_author(
    db: None, declare: Declare, form: Any, said: str
) -> None:
    computation = odd(declare, form)
    made = form_of(computation, a_run())
    with pytest.raises(ComputationError) as error:
        clicked(computation, made, 0.5, 0.5)
    assert str(error.value).startswith(said)
    with pytest.raises(ComputationError):
        ways_of(computation, made)


def test_a_page_does_without_what_is_wrong(
    db: None, declare: Declare, caplog: pytest.LogCaptureFixture
) -> None:
    computation = odd(declare, Wrong)
    run = a_run()
    assert clicks_context(run, computation, True) == {"clickable": False}
    assert "returned 5 (int) from `ways`; make it a dict." in caplog.text
    assert "0 of " in page(run)


def test_only_who_may_run_it_again_may_click(db: None) -> None:
    run = a_run("mandelbrot")
    nothing = {"clickable": False}
    assert clicks_context(run, MANDELBROT, True) == {"clickable": True, "ways": ["Zoom in"]}
    assert clicks_context(run, MANDELBROT, False) == nothing
    assert clicks_context(run, None, True) == nothing
    assert clicks_context(run, PRIMES, True) == nothing


def test_a_run_that_the_form_takes_no_more_has_none(db: None, declare: Declare) -> None:
    run = a_run("mandelbrot")
    Run.objects.update(given={"x": ["9"]})
    run.refresh_from_db()
    assert clicks_context(run, MANDELBROT, True) == {"clickable": False}


def test_pictures_are_shown_in_sizes_that_are_known() -> None:
    assert buttons(1024, 512) == [("small", 280, 140), ("large", 512, 256)]
    assert buttons(5_000, 1) == [("small", 280, 1), ("large", 512, 1)]


def test_the_primes_form_is_as_it_was() -> None:
    assert not hasattr(PrimesForm, "clicked")
