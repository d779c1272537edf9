"""The tutorial's views. What serves any computation, and the site itself, is in compute/web/."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django_q.tasks import async_task

from . import chunking, tasks
from .computations.sums import BUGGY_SUM, SUM, title
from .forms import ChunkSizeForm, form_for
from .models import Progress, Run
from .models.plans import best_chunk_size, run_of
from .queue.fanout import async_iter
from .web import slots
from .web.pages.home import estimate_context, problems_context
from .web.pages.runs import runs_context
from .web.replies import page_or_json
from .web.runs import CheckView, ComputationFormView, StartView, progress_data


class SumFormView(ComputationFormView):
    """A form of the tutorial's: how to sum, on the first page."""

    template = "compute/home.html"
    computation = SUM

    def context(self, form: ChunkSizeForm) -> dict[str, Any]:
        return {
            "form": form,
            "sync_max": settings.SUM_SYNC_MAX_N,
            "presets": [10**7, 10**8, 3 * 10**9],
            **estimate_context(SUM, form["n"].value()),
            **runs_context(self.request),
            **problems_context(self.request),
        }


class HomeView(SumFormView):
    """The page for people: the form, and what is running."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        context = self.context(form_for(SUM)(initial=request.GET.dict()))
        links = [request.build_absolute_uri(run.get_absolute_url()) for run in context["page"]]
        data = {"runs": [{"task_progress": link} for link in links]}
        return page_or_json(request, self.page_or_part(), context, data)


class SumView(SumFormView):
    """Adds up inside the request, which is what this site shows not to do."""

    chunked = False
    starts_work = True

    def form_valid(self, form: ChunkSizeForm) -> HttpResponse:
        n = form.cleaned_data["n"]
        if n > settings.SUM_SYNC_MAX_N > 0:
            form.add_error(
                "n",
                f"Adding up to {n:,} takes too long for one request; "
                f"start it at {reverse('sum-async-start')}?n={n} instead.",
            )
            return self.refuse_form(form, 422)
        try:
            with slots.a_place():
                total = tasks.get_sum(n)
        except slots.AllTaken:
            form.add_error(
                None,
                f"As many requests compute as may at a time, {slots.places()}; ask again in a few "
                f"seconds, or start it at {reverse('sum-async-start')}?n={n} instead.",
            )
            return self.refuse_form(form, 429, headers={"Retry-After": str(slots.RETRY_AFTER)})
        context = {"title": title(n), "total": total}
        return page_or_json(self.request, "compute/sum.html", context, {"total": total})


class SumStartView(SumFormView, StartView):
    """Starts a sum as the subclass says, and points at the tutorial's own check address."""

    check = "sum-async-progress"

    def plan(self, form: ChunkSizeForm) -> Callable[[], Run]:
        return partial(self.start, **form.cleaned_data)

    def start(self, *args: Any, **kwargs: Any) -> Run:
        raise NotImplementedError

    def address(self, run: Run) -> str:
        return f"{reverse(self.check)}?task_id={run.task_id}"


class SumAsyncStartView(SumStartView):
    """One task for the whole sum."""

    chunked = False

    def start(self, n: int) -> Run:
        task = async_task(tasks.get_sum, n, task_name=title(n))
        return run_of(task, SUM, {"n": n})


class BuggySumAsyncStartView(SumStartView):
    """One task that fails, to be debugged as the README tells."""

    computation = BUGGY_SUM
    chunked = False

    def start(self, n: int) -> Run:
        task = async_task(tasks.get_sum_buggy, n)
        return run_of(task, BUGGY_SUM, {"n": n})


class SplitSumAsyncStartView(SumStartView):
    """Many tasks, each for a chunk of the sum, on all workers of all nodes at once."""

    check = "split-sum-async-progress"

    def start(self, n: int, chunk_size: int | None = None) -> Run:
        why = ""
        if chunk_size is None:
            chunk_size, why = best_chunk_size(SUM, {"n": n})
        chunks = chunking.ranges(n, chunk_size)
        task = async_iter(tasks.get_sum_range, chunks, task_name=title(n))
        sizes = {"chunk_size": chunk_size, "chunks": len(chunks), "why": why}
        return run_of(task, SUM, {"n": n}, **sizes)


class SumAsyncProgressView(CheckView):
    """How a run stands, by the id that its start gave: of one task or of many."""

    def data(self, run: Run, progress: Progress) -> dict[str, Any]:
        return {"status": run.status, "total": run.result, "error": run.error()}


class SplitSumAsyncProgressView(CheckView):
    """The same, with the totals of the chunks and how many are done."""

    def data(self, run: Run, progress: Progress) -> dict[str, Any]:
        return {
            "status": run.status,
            "raw": run.results() if progress.settled and not progress.failed else None,
            "total": run.result,
            "error": run.error(),
            "progress": progress_data(progress),
        }
