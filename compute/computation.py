"""A computation: everything the site has to know of it, declared in one place.

In a run the form reads the parameters, `cut` makes the chunks' arguments, and workers call
`function` with them. When all chunks are done, a worker calls `combine`, which makes one
result of theirs, and `show`, which prints it. A web request calls `form`, `title`, `length`
and `cut`, and nothing else of an author's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from django import forms

from . import files
from . import given as filled
from .chunking import MAX_CHUNKS
from .queue import leftovers
from .queue.away import answers, is_away
from .queue.text import one_line, shorten
from .refusals import refusal_of
from .shapes import Shape, Shapes, Value, shape_of
from .words import SHOWN_CHARS, plain

Form = TypeVar("Form", bound=forms.Form)


def the_only_one(results: Iterable[Any]) -> Any:
    (result,) = results
    return result


class ComputationError(Exception):
    """A computation's callable raised an error, or returned what it must not.

    Its text is for the author: it names the computation, the callable, and what was wrong.
    """


class DoesNotFitError(ComputationError):
    """The form no longer takes what it was once filled in with; the text names the field."""


@dataclass(frozen=True, kw_only=True)
class Computation:
    """A computation, as a module in `compute/computations/` declares it.

    The parameters are what `form` cleans; `title`, `length` and `cut` get them as keywords, and
    `function` what `cut` makes of them. `combine` gets the chunks' results alone: what else it
    needs each chunk returns. The combined result is kept as JSON (`values` says what that takes),
    or in the shape that it has: a table, a series, a picture, a file (`shapes`).
    """

    #: Its name in addresses and in the terminal: letters, digits and hyphens.
    name: str
    #: One line about what it does.
    line: str
    #: More about it, below that line on its page: what it is good for, and what its parameters
    #: mean. Plain text, in paragraphs with an empty line between, as a docstring.
    about: str = ""
    #: The name of a run: `title(**parameters)`.
    title: Callable[..., str]
    #: The fields that a client may give, each with the sentence that refuses a wrong value.
    form: type[forms.Form]
    #: Does one chunk, called with a tuple that `cut` made. A plain function, found by its
    #: dotted path, without Django; arguments and result can be pickled. It may run twice. An
    #: `async def` is awaited.
    function: Callable[..., Any]
    #: How much there is to do, in the unit of the chunk size: `length(**parameters)`.
    #: None for what can't be cut: then `function` is called once, with the parameters.
    length: Callable[..., int] | None = None
    #: The name of that unit: "integers" makes the page say "25 million integers/s".
    unit: str = "units"
    #: The arguments of all chunks: `cut(chunk_size, **parameters)`.
    cut: Callable[..., list[tuple[Any, ...]]] | None = None
    #: About how much of the length a processor does in a second. Limits go by it until a
    #: worker has found out. Without it a chunk counts UNKNOWN_CHUNK_SECONDS.
    per_second: float | None = None
    #: Arguments of a call of `function` that takes some milliseconds, and its length. The
    #: site times it, to choose a chunk size before there are runs.
    sample: tuple[tuple[Any, ...], int] | None = None
    #: The share of its runs beside others: "urgent", four times a "normal" one's worker seconds, or
    #: "background", a quarter of that.
    priority: str = "normal"
    #: How many of its chunks may be at work at once, over all runs and nodes; None for any number.
    at_once: int | None = None
    #: Whether it makes use of chance: `function` gets a keyword `seed` then, an integer from 0 to
    #: 2**63 - 1 of the run's seed and the chunk's place alone. A run with the same seed and chunk
    #: size comes to the same.
    seed: bool = False
    #: Makes one result of the chunks', which come one by one, in the order of `cut`, and are all
    #: that it gets. A worker calls it, as a task of its own, so it may take its time. What is cut
    #: has to have one.
    combine: Callable[[Iterable[Any]], Any] = the_only_one
    #: Whether `combine` makes sense of a part of the results, too: a number so far, a table of the
    #: rows that there are, a picture with gaps. While a run is at work and somebody looks at it, a
    #: worker calls it with the results of the chunks that are done, in the order of `cut`, at most
    #: every 2 s. A result does not tell which chunk it is of: where that matters, let it say so.
    partial: bool = False
    #: The combined result as people look at it: a text, or a Table, Series, Picture or File of
    #: `compute.shapes`, or a dict of these by name; never HTML. Without it the site finds out:
    #: a list of dicts or of rows, or a dict of lists, is a table; a list of numbers is drawn; bytes
    #: are a picture or a file. `combine` may return such a shape itself, with rows or bytes that
    #: come from a generator: they are written as they come, up to MAX_RESULT_MB.
    show: Callable[[Any], str | Shape | Mapping[str, Any]] = plain

    def __str__(self) -> str:
        return self.name

    # --- the form -----------------------------------------------------------------------

    def made(self, form: type[Form], data: Any = None) -> Form:
        """The computation's form, filled in and cleaned if there is data; ComputationError if
        its code raises, or cleans to anything but fields by name."""
        with self.running("form"):
            made: Form = files.attached(form(data))
            if made.is_bound and made.is_valid() and not isinstance(files.settled(made), dict):
                self.blame("form", f"cleaned to {described(made.cleaned_data)}; make it a dict")
        return made

    def filled_in(self, given: filled.Given | None, parameters: dict[str, Any]) -> filled.Given:
        """The texts of a run's form: those that it kept, or as far as the parameters tell."""
        if given is not None:
            return given
        with self.running("form"):
            return filled.of_parameters(self.form(), parameters)

    def cleaned(self, given: filled.Given | None, parameters: dict[str, Any]) -> dict[str, Any]:
        """A run's parameters as the callables take them: its row has only what JSON has.

        DoesNotFitError if the form does not take them any more, ComputationError if it fails.
        """
        form = self.made(self.form, filled.as_data(self.filled_in(given, parameters)))
        self.check_fit(form, parameters)
        return form.cleaned_data

    def check_fit(self, form: forms.Form, parameters: dict[str, Any]) -> None:
        """DoesNotFitError if a form refuses what once gave these parameters, or lacks one."""
        with self.running("form"):
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
            if is_away(error) and not answers():
                raise
            raise ComputationError(f"{self}: its `{which}` raised {one_line(error)}") from error

    # --- the callables, each held to what it has to return ------------------------------

    def titled(self, parameters: dict[str, Any]) -> str:
        """A run's name, at most 200 characters; ComputationError if `title` fails."""
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

    def shown_as(self, result: Any) -> str | Shapes:
        """What `show` makes of the result: a text of at most SHOWN_CHARS, or shapes by name.

        ComputationError if it fails, or returns neither.
        """
        shown = self.call("show", result)
        if isinstance(shown, str):
            return shorten(shown, SHOWN_CHARS)
        with self.blaming("show"):
            found = shape_of(shown)
        if isinstance(found, Value):
            self.blame(
                "show",
                f"returned {described(shown)}; it has to return a text, a Table, Series, Picture "
                "or File of compute.shapes, or a dict of these by name",
            )
        return found if isinstance(found, dict) else {"": found}

    def call(self, which: str, /, *args: Any, **kwargs: Any) -> Any:
        """The result of one of them, by its name; ComputationError if it raises."""
        with self.running(which):
            return getattr(self, which)(*args, **kwargs)

    @contextmanager
    def running(self, which: str) -> Iterator[None]:
        """As `blaming`; a transaction that is left open in here ends with it, and is nobody
        else's."""
        with self.blaming(which), leftovers.removed(f"{self}: its `{which}`"):
            yield

    def blame(self, name: str, what: str) -> NoReturn:
        raise ComputationError(f"{self}: its `{name}` {what}.")


def described(value: Any) -> str:
    """A value in a sentence: the beginning of its repr, and its kind."""
    try:
        written = shorten(repr(value), 60)
    except Exception:  # whatever a __repr__ may raise
        written = "…"
    return f"{written} ({type(value).__name__})"
