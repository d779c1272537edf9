"""What a computation is: everything the site has to know of it, declared in one place.

A run goes: the form reads the parameters, `cut` makes the arguments of its chunks, a
worker calls `function` with each, and when all are done one calls `combine`, which makes
one result of theirs, and `show`, which prints it. A web request calls `form`, `title`,
`length` and `cut`, and nothing else of an author's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from timeit import repeat
from typing import Any, NoReturn, TypeVar

from django import forms
from django.db import Error, InterfaceError, OperationalError, connection

from . import given as filled
from .chunking import MAX_CHUNKS
from .queue.text import one_line, shorten
from .refusals import refusal_of

Form = TypeVar("Form", bound=forms.Form)


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


class DoesNotFitError(ComputationError):
    """What a form was once filled in with is not what it takes now; its text names the field."""


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
    #: About how much of the length a processor does in a second: what limits go by until a
    #: worker has found out. Without it a chunk counts UNKNOWN_CHUNK_SECONDS.
    per_second: float | None = None
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

    # --- the form -----------------------------------------------------------------------

    def made(self, form: type[Form], data: Any = None) -> Form:
        """A form of this computation's, filled in and cleaned if there is something given;
        ComputationError if its code raises, or cleans to anything but fields by name."""
        with self.blaming("form"):
            made = form(data)
            if made.is_bound and made.is_valid() and not isinstance(made.cleaned_data, dict):
                self.blame("form", f"cleaned to {described(made.cleaned_data)}; make it a dict")
        return made

    def filled_in(self, given: filled.Given | None, parameters: dict[str, Any]) -> filled.Given:
        """What the form was filled in with, of a run that kept that, or as far as the
        parameters tell it."""
        if given is not None:
            return given
        with self.blaming("form"):
            return filled.of_parameters(self.form(), parameters)

    def cleaned(self, given: filled.Given | None, parameters: dict[str, Any]) -> dict[str, Any]:
        """A run's parameters as the callables take them: its row has only what JSON has.

        DoesNotFitError if the form does not take them any more, ComputationError if it fails.
        """
        form = self.made(self.form, filled.as_data(self.filled_in(given, parameters)))
        self.check_fit(form, parameters)
        return form.cleaned_data

    def check_fit(self, form: forms.Form, parameters: dict[str, Any]) -> None:
        """DoesNotFitError unless a form has cleaned to what once were these parameters."""
        with self.blaming("form"):
            if refusal := refusal_of(form):
                raise DoesNotFitError(f"{self} does not take this any more. {refusal.detail}")
            for name in parameters.keys() - form.cleaned_data.keys():
                raise DoesNotFitError(f"{self} has no field {name} any more, so it is another.")

    @contextmanager
    def blaming(self, which: str) -> Iterator[None]:
        """Make a ComputationError of whatever is raised in here; a database that is away is
        nobody's mistake."""
        try:
            yield
        except (KeyboardInterrupt, ComputationError):
            raise
        except BaseException as error:  # an author's code may raise anything, SystemExit too
            if isinstance(error, OperationalError | InterfaceError) and not database_answers():
                raise
            raise ComputationError(f"{self}: its `{which}` raised {one_line(error)}") from error

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
        with self.blaming(which):
            return getattr(self, which)(*args, **kwargs)

    def blame(self, name: str, what: str) -> NoReturn:
        raise ComputationError(f"{self}: its `{name}` {what}.")


def database_answers() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return connection.is_usable()


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
