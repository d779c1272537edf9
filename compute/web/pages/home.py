"""What the first page shows beside the list of runs."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from ...computation import Computation
from ...computations import problems
from ...models.speed import speed_of
from ...queue.models import Node


def problems_context(request: HttpRequest) -> dict[str, Any]:
    """What was left out of the computations, and why, for those who can mend it."""
    told = settings.DEBUG or request.user.is_staff
    return {"problems": problems() if told else []}


def estimate_context(computation: Computation, given: object) -> dict[str, Any]:
    """How long it will take, in seconds, by the speed that was measured: for a length given
    as it was typed, and what a browser needs to tell it for another."""
    speed = speed_of(computation) or 0.0
    workers = Node.objects.workers() or settings.Q_WORKERS
    typed = str(given)
    length = int(typed) if re.fullmatch("[0-9]{1,18}", typed, re.ASCII) else 0
    return {
        "speed": round(speed),
        "workers": workers,
        "alone": length / speed if speed else 0.0,
        "split": length / speed / workers if speed else 0.0,
    }
