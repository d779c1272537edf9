"""What is said of a computation that is declared wrongly, and of one that is not."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django import forms
from django.db import OperationalError
from django.utils.translation import gettext_lazy

from compute.computation import Computation, the_only_one
from compute.computations.mandelbrot import MANDELBROT
from compute.computations.primes import PRIMES, count_primes
from compute.computations.sums import BUGGY_SUM, SUM
from compute.declarations import MAX_AT_ONCE, is_name, problems_of
from compute.queue.sharing import Priority

FILE = "compute/computations/odd.py"


def of(**fields: Any) -> list[str]:
    """What is said of the primes, declared otherwise, each with its id."""
    problems = problems_of(replace(PRIMES, **fields), FILE)
    assert all(each.sentence.startswith(f"{FILE}, computation ") for each in problems)
    assert all(each.sentence.endswith(".") and each.hint.endswith(".") for each in problems)
    return [
        f"{each.id.removeprefix('compute.')}: {each.sentence.split(': ', 1)[1]}"
        for each in problems
    ]


class Unspeakable:
    """Breaks whatever looks at it."""

    def __repr__(self) -> str:
        raise ValueError("no")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"don't ask for {name}")


class Classless:
    @property  # type: ignore[misc]  # an object's own can be set
    def __class__(self) -> Any:
        raise KeyError("no class")


class Adder:
    """An object that a worker can be sent."""

    def __call__(self, first: int, last: int) -> int:
        return first + last


def nested() -> Any:
    def function(first: int, last: int) -> int:
        return first + last

    return function


def form_with(*names: str, **fields: forms.Field) -> type[forms.Form]:
    declared = {name: forms.CharField() for name in names} | fields
    return type("OddForm", (forms.Form,), declared)


@pytest.mark.parametrize("computation", [MANDELBROT, PRIMES, SUM, BUGGY_SUM], ids=str)
def test_ours_are_declared_rightly(computation: Computation) -> None:
    assert problems_of(computation, FILE) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "My_numbers-2"},
        {"line": gettext_lazy("Counts."), "about": gettext_lazy("Much."), "unit": ""},
        {"title": "primes up to {n}".format},
        {"title": lambda **parameters: "primes"},
        {"function": Adder()},
        {"function": functools.partial(count_primes, last=100), "sample": None},
        {"function": math.gcd, "sample": ([4, 6], 0.5)},
        {"show": str, "combine": max},
        {"length": None, "cut": None, "function": math.factorial, "sample": None},
        {"partial": True},
        {"priority": "background", "at_once": 1},
        {"priority": Priority.URGENT, "at_once": MAX_AT_ONCE},
    ],
    ids=" ".join,
)
def test_what_is_unusual_is_not_wrong(fields: dict[str, Any]) -> None:
    assert of(**fields) == []


@pytest.mark.parametrize("name", ["Bad Name/ü", "", "-x", "a.b", "a" * 101, "é", "a\n", None, 7])
def test_a_name_has_to_fit_an_address(name: Any) -> None:
    assert not is_name(name)
    assert of(name=name) == ["W002: its name can't stand in an address."]


def test_the_sentence_names_the_file_and_the_computation() -> None:
    (problem,) = problems_of(replace(PRIMES, name="Bad Name/ü"), FILE)
    assert problem == (
        "compute.W002",
        f"{FILE}, computation 'Bad Name/ü': its name can't stand in an address.",
        "Take letters, digits, hyphens and underscores, at most 100, no hyphen first.",
    )


@pytest.mark.parametrize("what", ["line", "about", "unit"])
def test_what_people_read_is_a_text(what: str) -> None:
    assert of(**{what: None}) == [f"W008: `{what}` is None."]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda first, last: 1, "no worker can find `function`, <lambda>."),
        (nested(), "no worker can find `function`, nested.<locals>.function."),
        (None, "`function` is None, which can't be called."),
        ("compute.computations.primes.count_primes", "which can't be called."),
    ],
    ids=["lambda", "nested", "none", "text"],
)
def test_a_function_has_to_be_found_by_a_worker(function: Any, said: str) -> None:
    (found,) = of(function=function, sample=None)
    assert found.startswith("W004: ")
    assert found.endswith(said)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"title": lambda m: "x"},
            "`title` can't be called with n: missing a required argument: 'm'.",
        ),
        (
            {"length": lambda: 1},
            "`length` can't be called with n: got an unexpected keyword argument 'n'.",
        ),
        (
            {"cut": lambda n: []},
            "`cut` can't be called with chunk_size, n: multiple values for argument 'n'.",
        ),
        (
            {"combine": lambda: 1},
            "`combine` can't be called with the results: too many positional arguments.",
        ),
        (
            {"show": lambda result, n: ""},
            "`show` can't be called with one result: missing a required argument: 'n'.",
        ),
        ({"combine": the_only_one}, "it has `cut` and no `combine`."),
        ({"title": "primes"}, "`title` is 'primes'."),
        ({"combine": None}, "`combine` is None."),
        ({"length": None}, "it has `cut` and no `length`."),
        (
            {"cut": None, "function": math.factorial, "sample": None},
            "it has `length` and no `cut`.",
        ),
        (
            {"cut": None, "length": None, "sample": None, "combine": the_only_one},
            "`function` can't be called with n: missing a required argument: 'last'.",
        ),
        (
            {"form": form_with(), "length": lambda: 1, "cut": lambda chunk_size: []},
            "`title` can't be called with nothing: missing a required argument: 'n'.",
        ),
    ],
)
def test_callables_have_to_take_the_forms_fields(fields: dict[str, Any], said: str) -> None:
    assert of(**fields) == [f"W005: {said}"]


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        (
            {"combine": lambda results, n: 1},
            "Let it take the results alone: what else it needs each chunk returns.",
        ),
        (
            {"show": lambda result, n: ""},
            "Let it take the result alone: what else it needs `combine` returns.",
        ),
        (
            {"cut": lambda chunk_size: []},
            "Let it take these, and no more; fields of `form` come by their names.",
        ),
        ({"combine": the_only_one}, "Declare one: it makes one result of the chunks'."),
    ],
)
def test_what_a_callable_may_take_is_said(fields: dict[str, Any], hint: str) -> None:
    (problem,) = problems_of(replace(PRIMES, **fields), FILE)
    assert problem.hint == hint


class RaisingForm(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise KeyError("no form")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (dict, "`form` is <class 'dict'>."),
        (PRIMES.form(), "`form` is <PrimesForm"),
        (RaisingForm, "`form` can't be made: KeyError: 'no form'."),
        (
            form_with("n", page=forms.CharField(required=False)),
            "`form` has a field 'page', a name that the site uses itself.",
        ),
    ],
    ids=["no form", "an instance", "raises", "taken"],
)
def test_a_form_has_to_be_one(form: Any, said: str) -> None:
    anything = {name: lambda *_, **__: 1 for name in ("title", "length", "cut")}
    (found,) = of(form=form, **anything)
    assert found.startswith(f"W006: {said}")


def test_a_form_may_ask_for_a_file() -> None:
    anything = {name: lambda *_, **__: 1 for name in ("title", "length", "cut")}
    assert of(form=form_with(n=forms.FileField()), **anything) == []


def test_a_form_that_asks_a_database_which_is_not_there_yet_is_not_wrong() -> None:
    class AskingForm(forms.Form):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise OperationalError("no such table")

    assert of(form=AskingForm) == []


@pytest.mark.parametrize(
    "sample", [5, (1, 2), ((1, 2), 0), ((1, 2), -1), ((1, 2), True), ((1, 2), math.inf), (), "ab"]
)
def test_a_sample_is_arguments_and_a_length(sample: Any) -> None:
    (found,) = of(sample=sample)
    assert found.startswith("W007: `sample` is ")


def test_a_sample_has_to_fit_the_function() -> None:
    assert of(sample=((1,), 10)) == [
        "W007: `function` can't be called with its `sample`: missing a required argument: 'last'."
    ]


def test_what_breaks_a_check_is_wrong() -> None:
    assert of(line=Classless()) == ["W008: its declaration can't be checked: KeyError: 'no class'."]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    said = of(name="", line=None, function=None, length=None, form=None, sample=1)
    assert [each[:4] for each in said] == ["W002", "W008", "W004", "W005", "W006", "W007"]
    said = of(function=None, length=None, cut=None, title=1, show=1, sample=None)
    assert [each[:4] for each in said] == ["W004", "W005", "W005"]


@pytest.mark.parametrize("what", list(PRIMES.__dataclass_fields__))
def test_whatever_stands_there_nothing_is_raised(what: str) -> None:
    for value in (Unspeakable(), None, 3, "text", object, lambda: 1, ((), ()), [float("nan")]):
        fields: dict[str, Any] = {what: value}
        for problem in problems_of(replace(PRIMES, **fields), FILE):
            assert "\n" not in problem.sentence
    assert of(**{what: Unspeakable()})


@pytest.mark.parametrize("priority", ["high", "", "Urgent", None, 4, ["urgent"]])
def test_a_priority_is_one_of_three(priority: Any) -> None:
    (problem,) = problems_of(replace(PRIMES, priority=priority), FILE)
    assert problem.id == "compute.W010"
    assert "`priority` is " in problem.sentence
    assert problem.hint == "Give it one of: 'urgent', 'normal', 'background'."


@pytest.mark.parametrize("at_once", [0, -1, 1.5, "3", True, MAX_AT_ONCE + 1, 10**30])
def test_so_many_at_once_is_a_whole_number(at_once: Any) -> None:
    (problem,) = problems_of(replace(PRIMES, at_once=at_once), FILE)
    assert problem.id == "compute.W010"
    assert "`at_once` is " in problem.sentence
    assert problem.hint == "Give it a whole number from 1 to 10,000, or leave it out."


def test_what_can_not_be_shown_is_refused_too() -> None:
    problems = problems_of(replace(PRIMES, priority=Unspeakable(), at_once=Unspeakable()), FILE)  # type: ignore[arg-type]
    assert [each.id for each in problems] == ["compute.W010", "compute.W010"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"partial": 1}, "W005: `partial` is 1."),
        ({"partial": None}, "W005: `partial` is None."),
        (
            {"partial": True, "length": None, "cut": None, "function": abs, "sample": None},
            "W005: it has `partial` and no `cut`.",
        ),
    ],
)
def test_what_has_no_pieces_has_no_part(fields: dict[str, Any], said: str) -> None:
    assert of(**fields) == [said]


# --- chance and what is awaited -------------------------------------------------------------


def darts(first: int, last: int, seed: int) -> int:
    return first + last + seed


def in_one_piece(n: int, seed: int) -> int:
    return n + seed


async def later(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": True, "function": darts},
        {"seed": True, "function": later},
        {"seed": True, "function": in_one_piece, "length": None, "cut": None, "sample": None},
        {"function": later},
    ],
)
def test_chance_and_what_is_awaited_are_not_wrong(fields: dict[str, Any]) -> None:
    assert of(**fields) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seed": 1}, ["W005: `seed` is 1."]),
        (
            {"seed": True, "sample": None},
            ["W004: it has `seed`, and `function` takes no keyword of that name."],
        ),
        (
            {"seed": True, "function": in_one_piece},
            [
                "W007: `function` can't be called with its `sample`: multiple values for argument "
                "'seed'."
            ],
        ),
        (
            {"function": darts, "length": None, "cut": None, "sample": None},
            ["W005: `function` can't be called with n: missing a required argument: 'last'."],
        ),
        *(
            ({what: later}, [f"W005: `{what}` is an `async def`, and `function` alone is awaited."])
            for what in ("title", "length", "cut", "combine", "show")
        ),
    ],
)
def test_chance_has_to_reach_the_function(fields: dict[str, Any], said: list[str]) -> None:
    assert of(**fields) == said


def one_by_one(*args: Any, **kwargs: Any) -> Iterator[Any]:
    yield args, kwargs


async def later_one_by_one(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
    yield args, kwargs


@pytest.mark.parametrize(
    "yields", [one_by_one, later_one_by_one, functools.partial(later_one_by_one)]
)
def test_what_yields_is_wrong_for_a_generator_is_no_result(yields: Any) -> None:
    said = "has a `yield`, so that it returns a generator."
    assert of(function=yields) == [f"W004: `function` {said}"]
    for what in ("title", "length", "cut", "combine", "show"):
        assert of(**{what: yields}) == [f"W005: `{what}` {said}"]


@pytest.mark.parametrize("method", ["clean_seed", "clean_chunk_size"])
def test_a_form_cleans_no_field_of_the_sites(method: str) -> None:
    form = type("CleaningForm", (PRIMES.form,), {method: lambda self: "mine"})
    field = method.removeprefix("clean_")
    said = f"W006: `form` has a method {method}, and the field {field} is the site's."
    assert of(form=form, seed=True, function=darts, sample=None) == [said]
    assert of(form=form) == ([said] if field == "chunk_size" else [])


@pytest.mark.parametrize("seed", [True, False])
def test_a_field_is_called_seed_only_where_the_site_has_none(seed: bool) -> None:
    anything = {name: lambda *_, **__: 1 for name in ("title", "length", "cut")}
    said = of(form=form_with("n", "seed"), seed=seed, function=darts, sample=None, **anything)
    taken = "W006: `form` has a field 'seed', a name that the site uses itself."
    assert said == ([taken] if seed else [])
