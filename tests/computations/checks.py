"""What any computation has to pass: `check(COMPUTATION, {"n": 1000}, expected=168)`."""

from __future__ import annotations

import json
import pickle
import random
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from compute import chunking
from compute.computation import Computation, sampled_speed
from compute.forms import form_for


def check(computation: Computation, given: dict[str, str], expected: Any, chunks: int = 20) -> None:
    """Compute it here and now, in one piece and in many, and compare with what is known.

    `given` is what a client sends; choose it small. `chunks` is about how many the finest
    cut makes. Fails with a sentence that says which promise is broken.
    """
    form = form_for(computation)(given)
    assert form.is_valid(), f"the form refuses the check's own parameters: {form.errors}"
    parameters = form.parameters
    assert computation.title(**parameters), "a run needs a title"
    json.dumps(parameters, cls=DjangoJSONEncoder)
    assert computation.length is None or computation.cut is not None, "it has a length: cut it"
    for arguments in cuts_of(computation, parameters, chunks):
        assert all(isinstance(each, tuple) for each in arguments), "cut makes tuples"
        assert same(arguments), "a chunk's arguments can't be pickled"
        order = list(range(len(arguments)))
        random.Random(1).shuffle(order)  # noqa: S311 - no secret
        results = {i: computation.function(*arguments[i]) for i in order}
        again = [computation.function(*each) for each in arguments]
        assert [results[i] for i in range(len(again))] == again, "a chunk that runs twice differs"
        assert same(again), "a chunk's result can't be pickled"
        result = computation.combine(iter(again))
        assert result == expected, f"{len(arguments)} chunk(s) make {result!r}"
        assert json.loads(json.dumps(result, cls=DjangoJSONEncoder)) == result, "not kept by JSON"
        assert isinstance(computation.show(result), str), "show makes text"


def cuts_of(
    computation: Computation, parameters: dict[str, Any], chunks: int
) -> list[list[tuple[Any, ...]]]:
    if computation.cut is None or computation.length is None:
        return [[tuple(parameters.values())]]
    length = computation.length(**parameters)
    chosen, _ = chunking.best_chunk_size(length, sampled_speed(computation), workers=2)
    sizes = {chosen, max(1, length), max(1, length // 3), max(1, length // chunks)}
    return [computation.cut(size, **parameters) for size in sorted(sizes)]


def same(values: list[Any]) -> bool:
    """Whether they survive the way to a worker and back."""
    try:
        return bool(pickle.loads(pickle.dumps(values)) == values)
    except Exception:
        return False
