"""How a run stands: its page, and what a check answers programs."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django_htmx.http import HttpResponseClientRefresh

from ..models import Progress, Run, notes
from ..models.outlook import outlook
from .base import HtmxHttpRequest, ReplyView, find_run
from .masking import shown_to
from .outputs import address_of
from .pages.run import rest_context, run_context, timeline_context
from .replies import of_two_shapes, page_or_json, wants_page
from .states import standing


class CheckView(ReplyView):
    """How a run stands, by the id that its start gave."""

    def get(self, request: HtmxHttpRequest, name: str = "") -> HttpResponse:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        progress = run.progress()
        if notes.is_out_of_date(run, progress):
            progress = notes.refresh(run)
        if not wants_page(request):
            data = self.data(run, progress)
            told = {
                "error": shown_to(request, data["error"]),
                **standing(run, progress),
                **times(run),
            }
            return page_or_json(request, "", {}, {**data, **told})
        if request.htmx and "timeline" in request.GET:
            context = timeline_context(request, run)
            return page_or_json(request, "compute/_timeline.html", context, {})
        context = run_context(request, run, progress)
        if request.htmx and request.GET.get("paused") == ("0" if context["paused"] else "1"):
            return of_two_shapes(HttpResponseClientRefresh())  # it has other buttons now
        if not (request.htmx and context["running"]):
            context |= rest_context(request, run)
        # htmx swaps a part of the page; the rest stays as it is, until the run has ended.
        template = "compute/_run.html" if request.htmx else "compute/run.html"
        return page_or_json(request, template, context, {})

    def data(self, run: Run, progress: Progress) -> dict[str, Any]:
        return {
            "status": run.status,
            "result": run.result,
            **self.elsewhere(run),
            **chance_data(run),
            "error": run.error(),
            "progress": progress_data(progress),
        }

    def elsewhere(self, run: Run) -> dict[str, str]:
        """Where a result is to be had that is kept apart from its run."""
        if run.state != Run.State.DONE or not run.outputs.exists():
            return {}
        return {"result_at": self.request.build_absolute_uri(address_of(run))}


def times(run: Run) -> dict[str, float | None]:
    """In how many seconds it will start and end; null where nobody can know."""
    ahead = outlook(run)
    return {
        name: None if seconds is None else round(seconds, 1)
        for name, seconds in (("starts_in", ahead.starts_in), ("ends_in", ahead.ends_in))
    }


def chance_data(run: Run) -> dict[str, int]:
    """The seed of a run that makes use of chance."""
    return {} if run.seed is None else {"seed": run.seed}


def progress_data(progress: Progress) -> dict[str, int]:
    return {"done": progress.done, "failed": progress.failed, "total": progress.total}
