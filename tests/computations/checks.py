"""What any computation has to pass: `check(COMPUTATION, {"n": 1000}, expected=168)`."""

from __future__ import annotations

import json
import math
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from io import BytesIO
from typing import Any
from unittest.mock import patch

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.core.serializers.json import DjangoJSONEncoder

from compute import chunking, files
from compute.computation import Computation, ComputationError
from compute.declarations import problems_of
from compute.forms import form_for, parameters_of
from compute.models import Run, combining, keeping
from compute.models.upload import Upload
from compute.queue.room import TooLargeError, check_size
from compute.queue.text import shorten
from compute.trying import called, sampled_speed
from compute.values import NotKeptError


def check(
    computation: Computation,
    given: Mapping[str, str | bytes],
    expected: Any,
    chunks: int = 20,
    *,
    exact: bool = True,
    tolerance: float = 1e-9,
    alike: Callable[[Any, Any], bool] | None = None,
    seed: int = 1,
) -> None:
    """Compute it here and now, in one piece and in many, and compare with what is known.

    `given` is what a client sends, a file as its bytes; choose it small. `chunks` is about how
    many the finest cut makes. Fails with a sentence that says which promise is broken.

    With `exact=False` its result may depend on how it is cut, as with chance, or where floats are
    added up: each number may differ from the expected one by `tolerance` of it. Or else
    `alike(result, expected)` says whether a result will do. In the same chunks, with the same
    `seed`, it has to come to the same all the same.
    """
    for problem in problems_of(computation, "the site leaves it out"):
        raise AssertionError(f"{problem.sentence} {problem.hint}")
    same = alike or (equal if exact else partial(close, tolerance=tolerance))
    with uploaded(given) as texts:
        form = computation.made(form_for(computation), texts)
        assert form.is_valid(), f"the form refuses the check's own parameters: {told(form)}"
        parameters = parameters_of(form)
        assert computation.title(**parameters), "a run needs a title"
        json.dumps(
            {name: files.told(each) for name, each in parameters.items()}, cls=DjangoJSONEncoder
        )
        made: list[tuple[int, Any]] = []
        for arguments in cuts_of(computation, parameters, chunks):
            assert all(isinstance(each, tuple) for each in arguments), "cut makes tuples"
            assert survives(arguments), "a chunk's arguments can't be pickled"
            order = list(range(len(arguments)))
            random.Random(1).shuffle(order)  # noqa: S311 - no secret
            results = {place: called(computation, arguments[place], seed, place) for place in order}
            again = [called(computation, each, seed, place) for place, each in enumerate(arguments)]
            assert all(equal(results[place], each) for place, each in enumerate(again)), (
                "a chunk that runs twice differs"
            )
            assert survives(again), "a chunk's result can't be pickled"
            check_kept(computation, computation.combine(iter(copied(again))))
            made.append((len(again), computation.combine(iter(copied(again)))))
        for count, result in made:
            if same(result, expected):
                continue
            said = f"{count:,} chunk(s) make {written(result)}, and {written(expected)} is expected"
            others = [each for _, each in made if not equal(each, result)]
            if exact and not alike and others:
                said += f"; cut otherwise they make {written(others[0])}: if it may hang on how it "
                said += "is cut, say exact=False"
            raise AssertionError(said)


def check_kept(computation: Computation, result: Any) -> None:
    """Write a result as a worker would, but to nowhere; AssertionError if it can't be kept, or
    can't be shown."""
    with patch.object(keeping, "Writer", Nowhere):
        try:
            noted = combining.written(keeping.Keeper(Run()), computation, result)
        except (ComputationError, NotKeptError, TooLargeError, TypeError) as error:
            raise AssertionError(f"the result can't be kept: {error}") from error
    assert not noted.trouble, noted.trouble


class Nowhere:
    """Takes the place of a writer to the database."""

    pk = ""
    size = 0

    def __init__(self, holder: str, limit: int) -> None:
        self.limit = limit

    def __enter__(self) -> Nowhere:
        return self

    def __exit__(self, *error: object) -> None: ...

    def write(self, data: bytes) -> int:
        self.size += len(data)
        check_size(self.size, self.limit)
        return len(data)

    def done(self) -> Nowhere:
        return self


def told(form: forms.Form) -> str:
    """The errors of a form, as text."""
    names = {name: "" if name == NON_FIELD_ERRORS else f"{name}: " for name in form.errors}
    return " ".join(
        names[name] + " ".join(map(str, errors)) for name, errors in form.errors.items()
    )


def written(value: Any) -> str:
    return shorten(repr(value), 300)


@contextmanager
def uploaded(given: Mapping[str, str | bytes]) -> Iterator[dict[str, str]]:
    """The texts that a form is filled in with; files stand behind theirs for as long as it takes,
    and need no database."""
    texts = {name: each for name, each in given.items() if isinstance(each, str)}
    contents: dict[str, bytes] = {}
    for name, each in given.items():
        if isinstance(each, bytes):
            texts[name] = f"{len(contents):032x}"
            contents[texts[name]] = each
    stored = {id_: files.StoredFile(id_, "file", len(each), "") for id_, each in contents.items()}
    uploads = type(Upload.objects)
    with (
        patch.object(uploads, "stored", lambda self, ids: stored),
        patch.object(files, "open", lambda file: BytesIO(contents[file.id])),
    ):
        yield texts


def cuts_of(
    computation: Computation, parameters: dict[str, Any], chunks: int
) -> list[list[tuple[Any, ...]]]:
    if computation.cut is None or computation.length is None:
        return [[tuple(parameters.values())]]
    length = computation.length(**parameters)
    chosen, _ = chunking.best_chunk_size(length, sampled_speed(computation), workers=2)
    sizes = {chosen, max(1, length), max(1, length // 3), max(1, length // chunks)}
    return [computation.cut(size, **parameters) for size in sorted(sizes)]


def copied(values: list[Any]) -> list[Any]:
    """As they come from the workers: `combine` may change them."""
    found: list[Any] = pickle.loads(pickle.dumps(values))
    return found


def survives(values: list[Any]) -> bool:
    """Whether they survive the way to a worker and back."""
    try:
        return equal(copied(values), values)
    except Exception:
        return False


def equal(one: Any, other: Any) -> bool:
    """Whether two results are the same: also arrays, of which `==` makes another, and NaN, which is
    not equal to itself."""
    with suppress(ValueError):
        if one == other:
            return True
    with suppress(Exception):  # what can't be pickled is no more than itself
        return pickle.dumps(one) == pickle.dumps(other)
    return False


def close(one: Any, other: Any, tolerance: float) -> bool:
    """Whether two results are the same but for their numbers, which differ little."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(
            close(each, other[name], tolerance) for name, each in one.items()
        )
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(
            close(each, another, tolerance) for each, another in zip(one, other, strict=True)
        )
    try:
        return math.isclose(one, other, rel_tol=tolerance)
    except TypeError:
        return equal(one, other)
