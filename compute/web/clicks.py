"""A click at a picture of a run starts another (`pages.clicks` says how a computation has that).

It needs no JavaScript: a browser sends where in a picture one has clicked, in pixels of the page,
and the button's name says how large it was there. Pressed by the keyboard it has no place, and
counts as its middle.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict

from ..forms import parameters_of
from ..given import as_data, of_parameters
from .base import parameters
from .pages.clicks import clicked, form_of, is_clickable, ways_of
from .replies import refuse
from .runs import OfRunView

#: The names under which a browser sends the place of a click, and what it sends.
PLACE = re.compile(r"at-([1-9][0-9]{0,3})x([1-9][0-9]{0,3})\.([xy])", re.ASCII)
PIXELS = re.compile(r"[0-9]{1,5}", re.ASCII)
NOWHERE = (
    "Say where: at-<width>x<height>.x and at-<width>x<height>.y, a place in a picture of that "
    "size, or way, one of those that the run's page offers."
)


class ClickView(OfRunView):
    """Starts the run that a click at a picture of another one leads to, or a way from there."""

    template = "compute/computation.html"
    texts: QueryDict

    def post(self, request: HttpRequest) -> HttpResponse:
        changed = None
        if is_clickable(self.computation):
            form = form_of(self.computation, self.run)
            changed = self.changed(form)
        if changed is None:
            return refuse(request, 400, NOWHERE)
        with self.computation.running("form"):
            self.texts = as_data(of_parameters(form, {**parameters_of(form), **changed}))
        return self.get(request)

    def changed(self, form: Any) -> Mapping[str, Any] | None:
        """The fields that the next run has otherwise; None if nobody has said which run."""
        asked = parameters(self.request)
        if "way" in asked:
            return ways_of(self.computation, form).get(str(asked["way"]))
        place = place_of(asked)
        return clicked(self.computation, form, *place) if place else None

    def given(self) -> QueryDict:
        return self.texts


def place_of(asked: QueryDict) -> tuple[float, float] | None:
    """The place of a click, from 0 to 1 from the left and from the top; None without one."""
    found: dict[str, float] = {}
    for name, value in asked.items():
        match = PLACE.fullmatch(name)
        pixels = PIXELS.fullmatch(str(value))
        if match and pixels:
            width, height, axis = match.groups()
            found[axis] = min(1.0, int(pixels[0]) / int(width if axis == "x" else height))
    if len(found) < 2:
        return None
    return (found["x"], found["y"]) if any(found.values()) else (0.5, 0.5)
