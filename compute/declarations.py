"""Checks that a computation is declared as `Computation` asks, when the code is loaded.

A declaration is code that somebody wrote lately: it may hold anything. Each fault is a
`Problem`, which a system check, the log and the first page tell; nothing in here raises. The
registry (compute/computations) leaves out a computation that has one, so that the rest works.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from django import forms
from django.db import DatabaseError
from django.utils.functional import Promise

from .authored import cannot_take, is_async, is_positive, shown, survives, takes_keyword
from .computation import Computation, the_only_one
from .form_faults import faults_of
from .forms import form_for, names_of_site
from .queue.call import is_generator, path_of
from .queue.sharing import Priority
from .queue.text import one_line

#: Names that fit an address (`<slug:name>`), a column of 100 characters, and a terminal,
#: which takes a word that begins with a hyphen for an option.
NAME = re.compile(r"[a-zA-Z0-9_][-a-zA-Z0-9_]{0,99}", re.ASCII)
#: Names that the site itself reads from an address or a form beside a computation's fields.
TAKEN = ("chunk_size", "task_id", "csrfmiddlewaretoken", "from", "page", "state", "q")
#: Hints for the callables that get nothing of `form`.
TAKES = {
    "combine": "Let it take the results alone: what else it needs each chunk returns.",
    "show": "Let it take the result alone: what else it needs `combine` returns.",
}
#: Of a callable that nobody could make use of.
GENERATES = "has a `yield`, so that it returns a generator"
#: Of what is limited there is a row for each that may be at work at once.
MAX_AT_ONCE = 10_000


class Problem(NamedTuple):
    """A fault of a declaration, and what to do about it: one sentence each."""

    id: str
    sentence: str
    hint: str


class Wrong(Exception):
    """Why a declaration is no good, and what mends it."""

    def __init__(self, id: str, why: str, hint: str) -> None:
        super().__init__(why)
        self.id, self.why, self.hint = id, why, hint


def is_name(name: object) -> bool:
    """Whether a computation can be called so."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def problems_of(computation: Computation, file: str) -> list[Problem]:
    """All that is wrong with a computation that this file declares."""
    called = f"{file}, computation {shown(getattr(computation, 'name', None))}"
    problems = []
    for check in (name, texts, function, pieces, chance, form, callables, sample, share):
        try:
            found = list(check(computation))
        except Exception as error:  # whatever an author's object may raise when it is looked at
            why = f"its declaration can't be checked: {one_line(error)}"
            found = [Wrong("compute.W008", why, "Declare it as the others are.")]
        problems += [Problem(each.id, f"{called}: {each.why}.", each.hint) for each in found]
    return problems


def name(computation: Computation) -> Iterator[Wrong]:
    if not is_name(computation.name):
        yield Wrong(
            "compute.W002",
            "its name can't stand in an address",
            "Take letters, digits, hyphens and underscores, at most 100, no hyphen first.",
        )


def texts(computation: Computation) -> Iterator[Wrong]:
    for what in ("line", "about", "unit"):
        value = getattr(computation, what)
        if not isinstance(value, str | Promise):
            yield Wrong("compute.W008", f"`{what}` is {shown(value)}", "Give it a text.")


def function(computation: Computation) -> Iterator[Wrong]:
    if not callable(computation.function):
        why = f"`function` is {shown(computation.function)}, which can't be called"
        yield Wrong("compute.W004", why, "Give it a function of the module.")
    elif is_generator(computation.function):
        yield Wrong("compute.W004", f"`function` {GENERATES}", "Let it return a list.")
    elif path_of(computation.function) is None and not survives(computation.function):
        yield Wrong(
            "compute.W004",
            f"no worker can find `function`, {shown(computation.function)}",
            "Take a plain `def` at the top of a module: no lambda, no function in a function.",
        )


def pieces(computation: Computation) -> Iterator[Wrong]:
    if (computation.length is None) != (computation.cut is None):
        there, absent = ("cut", "length") if computation.length is None else ("length", "cut")
        yield Wrong(
            "compute.W005", f"it has `{there}` and no `{absent}`", "Declare both or neither."
        )
    elif computation.cut is not None and computation.combine is the_only_one:
        why = "it has `cut` and no `combine`"
        yield Wrong("compute.W005", why, "Declare one: it makes one result of the chunks'.")
    if not isinstance(computation.partial, bool):
        why = f"`partial` is {shown(computation.partial)}"
        yield Wrong("compute.W005", why, "Give it True or False.")
    elif computation.partial and computation.cut is None:
        why = "it has `partial` and no `cut`"
        yield Wrong("compute.W005", why, "What runs in one piece has no part: leave it out.")


def chance(computation: Computation) -> Iterator[Wrong]:
    if not isinstance(computation.seed, bool):
        yield Wrong(
            "compute.W005", f"`seed` is {shown(computation.seed)}", "Give it True or False."
        )
    elif computation.seed and not takes_keyword(computation.function, "seed"):
        yield Wrong(
            "compute.W004",
            "it has `seed`, and `function` takes no keyword of that name",
            "Let it take one, beside the arguments of a chunk: def function(first, last, seed).",
        )


def own_keywords(computation: Computation) -> dict[str, Any]:
    """The keywords that `function` gets besides, as a call would have them."""
    return {"seed": 0} if computation.seed is True else {}


def form(computation: Computation) -> Iterator[Wrong]:
    if not (isinstance(computation.form, type) and issubclass(computation.form, forms.Form)):
        why = f"`form` is {shown(computation.form)}"
        yield Wrong("compute.W006", why, "Give it a subclass of django.forms.Form.")
        return
    try:
        made, whole = computation.form(), form_for(computation)()
    except DatabaseError:  # no fault of the form's: it asks a database that is not there yet
        return
    except Exception as error:
        why = f"`form` can't be made: {one_line(error)}"
        yield Wrong("compute.W006", why, "It has to be made without arguments, and with data.")
        return
    for field in made.fields:
        if field in TAKEN or (field == "seed" and computation.seed is True):
            why = f"`form` has a field {shown(field)}, a name that the site uses itself"
            yield Wrong("compute.W006", why, "Give the field another name.")
    for field in names_of_site(whole):
        if hasattr(made, f"clean_{field}") and field not in made.fields:
            why = f"`form` has a method clean_{field}, and the field {field} is the site's"
            yield Wrong("compute.W006", why, "Give the method another name.")
    yield from (Wrong("compute.W006", *fault) for fault in faults_of(made))


def callables(computation: Computation) -> Iterator[Wrong]:
    """Callables that get the form's fields take exactly these; `combine` and `show` one thing."""
    names = fields_of(computation)
    if names is None:
        return
    fields = dict.fromkeys(names)
    own = own_keywords(computation)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any], str]]
    calls = [("title", (), fields, ", ".join(fields))]
    if computation.length is not None:
        calls.append(("length", (), fields, ", ".join(fields)))
    if computation.cut is not None:
        calls.append(("cut", (None,), fields, ", ".join(["chunk_size", *fields])))
    else:
        calls.append(("function", tuple(fields), own, ", ".join([*fields, *own])))
    calls += [("combine", (None,), {}, "the results"), ("show", (None,), {}, "one result")]
    for what, arguments, keywords, given in calls:
        value = getattr(computation, what)
        if not callable(value):
            if what != "function":  # told of already
                yield Wrong("compute.W005", f"`{what}` is {shown(value)}", "Give it a function.")
        elif what != "function" and is_async(value):
            why = f"`{what}` is an `async def`, and `function` alone is awaited"
            yield Wrong("compute.W005", why, "Make it a plain `def`.")
        elif what != "function" and is_generator(value):
            yield Wrong("compute.W005", f"`{what}` {GENERATES}", "Let it return what it makes.")
        elif refusal := cannot_take(value, *arguments, **keywords):
            yield Wrong(
                "compute.W005",
                f"`{what}` can't be called with {given or 'nothing'}: {refusal}",
                TAKES.get(
                    what, "Let it take these, and no more; fields of `form` come by their names."
                ),
            )


def sample(computation: Computation) -> Iterator[Wrong]:
    rate: Any = computation.per_second
    if not (rate is None or is_positive(rate)):
        why = f"`per_second` is {shown(rate)}"
        yield Wrong("compute.W007", why, "Give it a number over nought, or leave it out.")
    given: Any = computation.sample
    if given is None:
        return
    pair = isinstance(given, tuple | list) and len(given) == 2
    if not (pair and isinstance(given[0], tuple | list) and is_positive(given[1])):
        yield Wrong(
            "compute.W007",
            f"`sample` is {shown(given)}",
            "Give it the arguments of one call, as a tuple, and their length, over nought: "
            "((1, 1000), 1000).",
        )
    elif refusal := cannot_take(computation.function, *given[0], **own_keywords(computation)):
        why = f"`function` can't be called with its `sample`: {refusal}"
        yield Wrong("compute.W007", why, "Give the arguments of one call.")


def share(computation: Computation) -> Iterator[Wrong]:
    priority: Any = computation.priority
    if not (isinstance(priority, str) and priority in Priority.values):
        names = ", ".join(map(repr, Priority.values))
        yield Wrong("compute.W010", f"`priority` is {shown(priority)}", f"Give it one of: {names}.")
    at_once: Any = computation.at_once
    whole = isinstance(at_once, int) and not isinstance(at_once, bool)
    if not (at_once is None or (whole and 1 <= at_once <= MAX_AT_ONCE)):
        yield Wrong(
            "compute.W010",
            f"`at_once` is {shown(at_once)}",
            f"Give it a whole number from 1 to {MAX_AT_ONCE:,}, or leave it out.",
        )


def fields_of(computation: Computation) -> list[str] | None:
    """The names of the form's fields; None if they can't be known."""
    try:
        return list(computation.form().fields)
    except Exception:  # told of by `form`, or the database is not there yet
        return None
