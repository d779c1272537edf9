"""Pictures that one clicks at: a computation's form says which run begins there.

A form that has `clicked(across, down)` makes the pictures of its runs buttons. It is called on the
form of the run that the picture is of, cleaned, with the place: from 0 to 1 from the left and from
the top. It returns the fields that the next run has otherwise, as a dict of what they clean to;
the rest stays as it was. If the form has `ways()` as well, a dict of such dicts by the words on
buttons, these stand below the picture.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.forms import Form

from ...computation import Computation, ComputationError, described
from ...forms import filled_in
from ...given import as_data
from ...models import Run

log = logging.getLogger(__name__)

#: How wide a picture is on a page, in its pixels: on a phone, and elsewhere.
WIDTHS = {"small": 280, "large": 512}


def is_clickable(computation: Computation) -> bool:
    return callable(getattr(computation.form, "clicked", None))


def form_of(computation: Computation, run: Run) -> Form:
    """The cleaned form of a run; ComputationError if it does not take any more what it took."""
    texts = as_data(computation.filled_in(run.given, run.parameters))
    form = filled_in(computation, texts, chunked=False)
    computation.check_fit(form, run.parameters)
    return form


def clicked(computation: Computation, form: Any, across: float, down: float) -> Mapping[str, Any]:
    """What the run has otherwise that begins at a place; ComputationError if the form fails."""
    with computation.running("form"):
        return checked(computation, "clicked", form.clicked(across, down))


def ways_of(computation: Computation, form: Any) -> dict[str, Mapping[str, Any]]:
    """The same of each button below, by the words on it."""
    if not callable(getattr(computation.form, "ways", None)):
        return {}
    with computation.running("form"):
        found = checked(computation, "ways", form.ways())
        return {str(name): checked(computation, "ways", each) for name, each in found.items()}


def checked(computation: Computation, name: str, found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        computation.blame("form", f"returned {described(found)} from `{name}`; make it a dict")
    return found


def clicks_context(run: Run, computation: Computation | None, may_repeat: bool) -> dict[str, Any]:
    """Whether its pictures are buttons, and the words on those below; for who may run it again."""
    if computation is None or not (may_repeat and is_clickable(computation)):
        return {"clickable": False}
    try:
        ways = list(ways_of(computation, form_of(computation, run)))
    except ComputationError as error:  # its page does without
        log.error("%s", error)
        return {"clickable": False}
    return {"clickable": True, "ways": ways}


def buttons(width: int, height: int) -> list[tuple[str, int, int]]:
    """A class, a width and a height for each size in which such a picture is shown."""
    rate = height / max(1, width)
    return [(name, across, max(1, round(across * rate))) for name, across in WIDTHS.items()]
