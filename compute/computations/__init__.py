"""The computations of this site. A module in this folder is all that one needs."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from compute.computation import Computation


@cache
def all_computations() -> dict[str, Computation]:
    """Every Computation that a module of this folder declares, by name."""
    found: dict[str, Computation] = {}
    for info in iter_modules(__path__):
        for value in vars(import_module(f"{__name__}.{info.name}")).values():
            if isinstance(value, Computation) and found.setdefault(value.name, value) != value:
                raise ValueError(f"two computations have the name {value.name!r}")
    return dict(sorted(found.items()))
