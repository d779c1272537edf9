"""How long a run would take that is started now, for the form of any computation."""

from __future__ import annotations

import logging
from math import ceil
from typing import NamedTuple

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest

from ...computation import Computation, ComputationError
from ...forms import filled_in, parameters_of
from ...given import as_data
from ...models.estimates import Cost, cost_of
from ...models.fluid import along
from ...models.outlook import before
from ...queue.models import Node
from ...queue.sharing import Priority
from ..clients import client_of

log = logging.getLogger(__name__)


class Estimate(NamedTuple):
    """Times in seconds from now."""

    #: Until it is done; None if nobody knows how fast it is.
    seconds: float | None
    chunks: int
    workers: int
    #: Whether these workers are there, or are those that a queue server would have here.
    there: bool
    starts_in: float = 0.0
    #: How much of the workers it has when it starts, from 0 to 1.
    portion: float = 1.0


def estimate(request: HttpRequest, computation: Computation, form: Form) -> Estimate | None:
    """What a run takes that this form would start; before it is filled in, one with the fields as
    they are at first. None for a form that would be refused, and where the computation's code
    fails: the press on the button tells why."""
    try:
        filled = form if form.is_bound else at_first(computation)
        if not filled.is_valid():
            return None
        chunk_size = filled.cleaned_data.get("chunk_size")
        cost = cost_of(computation, parameters_of(filled), chunk_size)
    except ComputationError as error:
        log.warning("%s", error)
        return None
    return estimate_of(request, computation, cost)


def at_first(computation: Computation) -> Form:
    """The form as it is if somebody presses the button at once."""
    return filled_in(computation, as_data({}), boxes=True)


def estimate_of(request: HttpRequest, computation: Computation, cost: Cost) -> Estimate:
    """A chunk is one piece, so the last of them may have a worker alone."""
    there = Node.objects.workers()
    workers = there or settings.Q_WORKERS
    chunks = max(1, cost.chunks)
    if cost.seconds is None:
        return Estimate(None, chunks, workers, bool(there))
    most = min(workers, chunks, computation.at_once or workers)
    ahead = before(client_of(request).sharer, Priority(computation.priority).weight)
    curve = ahead.curve if ahead else [(0.0, float(workers))]
    flowing = along([(since, min(gets, most)) for since, gets in curve], cost.seconds)
    in_pieces = ceil(chunks / most) * cost.seconds / chunks
    starts_in = ahead.starts_in if ahead else 0.0
    seconds = starts_in + max(flowing or 0.0, in_pieces)
    portion = ahead.portion if ahead else 1.0
    return Estimate(seconds, chunks, workers, bool(there), starts_in, portion)
