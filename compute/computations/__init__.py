"""The computations of this site. A module in this folder is all that one needs.

A module that can't be imported, or a computation that is declared wrongly, is left out and
told of (`problems`); the others work on.
"""

from __future__ import annotations

import keyword
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import ModuleInfo, iter_modules
from traceback import walk_tb
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from compute.computation import Computation

if TYPE_CHECKING:
    from compute.declarations import Problem

log = logging.getLogger(__name__)

#: The modules that come with the site. They go first, so that a copy whose `name` was left
#: as it was takes no run from them. bin/check and bin/test hold them to more than others.
OURS = ("mandelbrot", "primes", "sums")


class Loaded(NamedTuple):
    computations: dict[str, Computation]
    problems: list[Problem]
    #: The names of those that did not come with the site.
    own: frozenset[str] = frozenset()


def all_computations() -> dict[str, Computation]:
    """Every computation that a module of this folder declares rightly, by name."""
    return loaded().computations


def own_computations() -> list[Computation]:
    """Those of them that somebody put beside the site's own examples, in the order of names."""
    found = loaded()
    return [each for name, each in found.computations.items() if name in found.own]


def problems() -> list[Problem]:
    """Why modules and computations of this folder were left out."""
    return loaded().problems


@contextmanager
def unlogged() -> Iterator[None]:
    """For a caller that tells the problems itself: what is loaded in here is not logged."""
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


@cache
def loaded() -> Loaded:
    return load(__path__, __name__)


def load(folders: Iterable[str], package: str) -> Loaded:
    """Import every module of a package, take what each declares, and log what is wrong."""
    # Here, for a module of this folder can be imported without Django's apps.
    from compute.declarations import Problem, problems_of
    from compute.queue.text import one_line

    found: dict[str, Computation] = {}
    problems: list[Problem] = []
    homes: dict[str, str] = {}
    own: set[str] = set()
    seen: set[int] = set()
    modules = sorted(iter_modules(folders), key=lambda info: (info.name not in OURS, info.name))
    for info in modules:
        file = file_of(info)
        if not info.name.isidentifier() or keyword.iskeyword(info.name):
            why = f"{file} can't be loaded: {info.name!r} is no name of a module."
            log.error("left out: %s", why)
            hint = "Take small letters, digits and underscores."
            problems.append(Problem("compute.W001", why, hint))
            continue
        try:
            declared = declared_by(import_module(f"{package}.{info.name}"))
        except (Exception, SystemExit) as error:  # whatever its author's code may raise
            why = f"{file} can't be loaded: {one_line(error)}."
            log.error("left out: %s", why, exc_info=error)
            hint = hint_for(error, file_at(info))
            problems.append(Problem("compute.W001", why, hint))
            continue
        for computation in declared:
            if id(computation) in seen:  # imported from another module
                continue
            seen.add(id(computation))
            wrong = problems_of(computation, file)
            if not wrong and found.setdefault(computation.name, computation) is not computation:
                why = (
                    f"{file} and {homes[computation.name]} both declare a computation "
                    f"{computation.name!r}; that of {homes[computation.name]} is used."
                )
                wrong = [Problem("compute.W003", why, "Give one of them another name.")]
            elif not wrong:
                homes.setdefault(computation.name, file)
                if info.name not in OURS:
                    own.add(computation.name)
            for problem in wrong:
                log.error("left out: %s %s", problem.sentence, problem.hint)
            problems += wrong
    return Loaded(dict(sorted(found.items())), problems, frozenset(own))


def declared_by(module: ModuleType) -> list[Computation]:
    """The computations that a module has, by whatever names."""
    return [value for value in vars(module).values() if isinstance(value, Computation)]


def hint_for(error: BaseException, file: Path) -> str:
    """What to do about a module that can't be imported."""
    lines = [
        at for frame, at in walk_tb(error.__traceback__) if frame.f_code.co_filename == str(file)
    ]
    where = f" (line {lines[-1]:,})" if lines else ""
    hint = f"Mend it{where}, or take it out of the folder."
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("compute"):
        library = "If this is a library, name it in requirements.in, run bin/requirements"
        hint = f"{library}, and start bin/dev again. {hint}"
    return hint


def file_at(info: ModuleInfo) -> Path:
    folder = Path(getattr(info.module_finder, "path", ""))
    return folder / info.name / "__init__.py" if info.ispkg else folder / f"{info.name}.py"


def file_of(info: ModuleInfo) -> str:
    """Where a module is, as people of this project say it."""
    path, base = file_at(info), Path(settings.BASE_DIR)
    return str(path.relative_to(base) if path.is_relative_to(base) else path)
