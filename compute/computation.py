"""What a computation is: everything the site has to know of it, declared in one place.

A run goes: the form reads the parameters, `cut` makes the arguments of its chunks, a
worker calls `function` with each, `combine` makes one result of theirs, `show` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from timeit import repeat
from typing import Any

from django import forms


def the_only_one(results: Iterable[Any]) -> Any:
    (result,) = results
    return result


def plain(result: Any) -> str:
    """A number with its thousands apart; anything else as Python prints it."""
    number = isinstance(result, int | float) and not isinstance(result, bool)
    return f"{result:,}" if number else str(result)


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A computation, as a module in `compute/computations/` declares it.

    What `form` cleans are the parameters; they and the combined result are kept as JSON.
    The callables below get them as keywords.
    """

    #: Its name in addresses and in the terminal: letters, digits and hyphens.
    name: str
    #: What it does, in one line.
    line: str
    #: What one run of it is called: `title(**parameters)`.
    title: Callable[..., str]
    #: What a client may give, and the sentence it gets back where it may not.
    form: type[forms.Form]
    #: Does one chunk, called with a tuple that `cut` made. A plain function, found by its
    #: dotted path, without Django; arguments and result can be pickled. It may run twice.
    function: Callable[..., Any]
    #: How much there is to do, in the unit of the chunk size: `length(**parameters)`.
    #: None for what can't be cut: then `function` is called once, with the parameters.
    length: Callable[..., int] | None = None
    #: What that unit is called: "integers" makes the page say "25 million integers/s".
    unit: str = "units"
    #: The arguments of all chunks: `cut(chunk_size, **parameters)`.
    cut: Callable[..., list[tuple[Any, ...]]] | None = None
    #: Arguments of a call of `function` that takes some milliseconds, and its length: how
    #: the site learns how fast this is, to choose a chunk size, before there are runs.
    sample: tuple[tuple[Any, ...], int] | None = None
    #: One result of the chunks' results, which come one by one, in the order of `cut`.
    combine: Callable[[Iterable[Any]], Any] = the_only_one
    #: The combined result as people read it.
    show: Callable[[Any], str] = plain

    def __str__(self) -> str:
        return self.name


@cache
def sampled_speed(computation: Computation) -> float | None:
    """How much of the length is done in a second, here and now; None without a sample."""
    if computation.sample is None:
        return None
    arguments, length = computation.sample
    return length / min(repeat(lambda: computation.function(*arguments), number=1, repeat=3))
