"""What a computation is: everything the site has to know of it, declared in one place.

A run goes: the form reads the parameters, `cut` makes the arguments of its chunks, a
worker calls `function` with each, and when all are done one calls `combine`, which makes
one result of theirs, and `show`, which prints it. A web request calls `form`, `title`,
`length` and `cut`, and nothing else of an author's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from timeit import repeat
from typing import Any, NoReturn

from django import forms

from .chunking import MAX_CHUNKS
from .queue.call import one_line, shorten


def the_only_one(results: Iterable[Any]) -> Any:
    (result,) = results
    return result


def plain(result: Any) -> str:
    """A number with its thousands apart; anything else as Python prints it."""
    number = isinstance(result, int | float) and not isinstance(result, bool)
    return f"{result:,}" if number else str(result)


class ComputationError(Exception):
    """A callable of a computation's raised, or returned what it must not.

    Its text is for the author: it names the computation, the callable, and what was wrong.
    """


#: Characters of a result as people read it, at most.
LONGEST = 10_000


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A computation, as a module in `compute/computations/` declares it.

    What `form` cleans are the parameters; the callables below get them as keywords. The
    combined result is kept as JSON (`values` says what that takes).
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
    #: One result of the chunks' results, which come one by one, in the order of `cut`. A
    #: worker calls it, as a task of its own, so it may take its time.
    combine: Callable[[Iterable[Any]], Any] = the_only_one
    #: The combined result as people read it.
    show: Callable[[Any], str] = plain

    def __str__(self) -> str:
        return self.name

    # --- the callables, each held to what it has to return ------------------------------

    def titled(self, parameters: dict[str, Any]) -> str:
        """What a run is called, at most 200 characters; ComputationError if `title` fails."""
        title = self.call("title", **parameters)
        if not isinstance(title, str) or not title.strip():
            self.blame("title", f"returned {described(title)}; it has to return a text")
        return shorten(" ".join(title.split()), 200)

    def length_of(self, parameters: dict[str, Any]) -> int | None:
        """How much there is to do; None for what can't be cut, ComputationError if it fails."""
        if self.length is None:
            return None
        length = self.call("length", **parameters)
        if isinstance(length, bool) or not hasattr(type(length), "__index__"):
            self.blame("length", f"returned {described(length)}; it has to return a whole number")
        if not 0 <= operator.index(length) < 2**63:
            self.blame("length", f"returned {described(length)}; give 0 or more, below 2^63")
        return operator.index(length)

    def chunks_of(self, chunk_size: int, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        """The arguments of all chunks; ComputationError if `cut` fails or makes too many."""
        chunks = self.call("cut", chunk_size=chunk_size, **parameters)
        if not isinstance(chunks, Sequence) or isinstance(chunks, str | bytes):
            self.blame("cut", f"returned {described(chunks)}; it has to return a list of tuples")
        if len(chunks) > MAX_CHUNKS:
            self.blame("cut", f"made {len(chunks):,} chunks; at most {MAX_CHUNKS:,} are allowed")
        for number, arguments in enumerate(chunks):
            if not isinstance(arguments, tuple):
                self.blame(
                    "cut",
                    f"returned {described(arguments)} as chunk {number + 1:,}; each has to be a "
                    "tuple, of the arguments of one call",
                )
        return list(chunks)

    def words_for(self, result: Any) -> str:
        """The result as people read it, at most LONGEST characters.

        ComputationError if `show` fails.
        """
        shown = self.call("show", result)
        if not isinstance(shown, str):
            self.blame("show", f"returned {described(shown)}; it has to return a text")
        return shorten(shown, LONGEST)

    def call(self, which: str, /, *args: Any, **kwargs: Any) -> Any:
        """What one of them returns; ComputationError if it raises."""
        try:
            return getattr(self, which)(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # it may raise anything, SystemExit too
            raise ComputationError(f"{self}: its `{which}` raised {one_line(error)}") from error

    def blame(self, name: str, what: str) -> NoReturn:
        raise ComputationError(f"{self}: its `{name}` {what}.")


def described(value: Any) -> str:
    """A value in a sentence: what kind it is, and the beginning of how it is written."""
    try:
        written = shorten(repr(value), 60)
    except Exception:  # whatever a __repr__ may raise
        written = "…"
    return f"{written} ({type(value).__name__})"


def sampled_speed(computation: Computation) -> float | None:
    """How much of the length is done in a second, here and now; None without a sample."""
    if computation.sample is None:
        return None
    arguments, length = computation.sample
    return length / min(repeat(lambda: computation.function(*arguments), number=1, repeat=3))
