"""What a run that is not done has come to so far, shown as a result is."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from ...computation import Computation
from ...models import Partial, Progress, Run
from ...models.partial import ask
from ...queue.models import Flow
from ..outputs import address_of
from .outputs import Place, all_shown, in_words


def partial_context(
    request: HttpRequest,
    run: Run,
    computation: Computation | None,
    progress: Progress,
    flow: Flow | None,
) -> dict[str, Any]:
    """What there is, of how many chunks; while it is at work a newer one is asked for.

    Nothing without a computation that makes sense of a part, or once the result is there.
    """
    if run.state == Run.State.DONE or computation is None or not computation.partial:
        return {}
    if run.state == Run.State.IN_PROGRESS and not (flow and flow.kind_paused):
        found = ask(run, progress, flow)
    else:
        found = Partial.objects.filter(run=run, chunks__gt=0).first()
    if found is None:
        return {}
    outputs = list(run.outputs.all())
    # Each part has an address of its own, so that a browser loads its picture anew.
    place = Place(run.get_absolute_url(), address_of(run, part=found.chunks))
    return {
        "outputs": all_shown(request, outputs, place),
        "in_words": None if outputs else in_words(found.shown, found.shown),
        "so_far": found.chunks,
        "part_trouble": found.trouble,
    }
