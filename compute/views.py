"""The tutorial's views, and the site's own addresses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django_q.tasks import async_task
from prometheus_client import CONTENT_TYPE_LATEST

from . import chunking, generic, health, metrics, slots, tasks
from .computations.sums import BUGGY_SUM, SUM, title
from .forms import ChunkSizeForm, form_for
from .generic import CheckView, ReplyView
from .models import Progress, Run
from .pages import estimate_context, nodes_context, problems_context, runs_context
from .queue.fanout import async_iter
from .replies import page_or_json, refuse


class FormView(generic.FormView):
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


class HomeView(FormView):
    """The page for people: the form, and what is running."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        context = self.context(form_for(SUM)(initial=request.GET.dict()))
        links = [request.build_absolute_uri(run.get_absolute_url()) for run in context["page"]]
        data = {"runs": [{"task_progress": link} for link in links]}
        return page_or_json(request, self.page_or_part(), context, data)


class SumView(FormView):
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


class StartView(FormView, generic.StartView):
    """Starts a sum as the subclass says, and points at the tutorial's own check address."""

    check = "sum-async-progress"

    def plan(self, form: ChunkSizeForm) -> Callable[[], Run]:
        return partial(self.start, **form.cleaned_data)

    def start(self, *args: Any, **kwargs: Any) -> Run:
        raise NotImplementedError

    def address(self, run: Run) -> str:
        return f"{reverse(self.check)}?task_id={run.task_id}"


class SumAsyncStartView(StartView):
    """One task for the whole sum."""

    chunked = False

    def start(self, n: int) -> Run:
        task = async_task(tasks.get_sum, n, task_name=title(n))
        return Run.objects.note(task, SUM, {"n": n})


class BuggySumAsyncStartView(StartView):
    """One task that fails, to be debugged as the README tells."""

    computation = BUGGY_SUM
    chunked = False

    def start(self, n: int) -> Run:
        task = async_task(tasks.get_sum_buggy, n)
        return Run.objects.note(task, BUGGY_SUM, {"n": n})


class SplitSumAsyncStartView(StartView):
    """Many tasks, each for a chunk of the sum, on all workers of all nodes at once."""

    check = "split-sum-async-progress"

    def start(self, n: int, chunk_size: int | None = None) -> Run:
        why = ""
        if chunk_size is None:
            chunk_size, why = Run.objects.best_chunk_size(SUM, {"n": n})
        chunks = chunking.ranges(n, chunk_size)
        task = async_iter(tasks.get_sum_range, chunks, task_name=title(n))
        sizes = {"chunk_size": chunk_size, "chunks": len(chunks), "why": why}
        return Run.objects.note(task, SUM, {"n": n}, **sizes)


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
            "progress": generic.progress_data(progress),
        }


class NodesView(ReplyView):
    """The queue servers, what their workers run, and what waits."""

    def get(self, request: generic.HtmxHttpRequest) -> HttpResponse:
        context = nodes_context(request)
        data = {
            "waiting": context["waiting"],
            "oldest_seconds": context["oldest"],
            "nodes": [
                {
                    "name": each["name"],
                    "host": each["host"],
                    "state": each["state"],
                    "since": each["node"].started_at,
                    "seen": each["node"].seen_at,
                    "workers": each["node"].workers,
                    "ended": each["node"].ended,
                    "restarts": each["node"].restarts,
                    "running": [
                        {"task": one["task"], "seconds": one["seconds"]} for one in each["running"]
                    ],
                }
                for each in context["nodes"]
            ],
        }
        template = "compute/_nodes.html" if request.htmx else "compute/nodes.html"
        return page_or_json(request, template, context, data)


class HealthView(ReplyView):
    """This process answers. Touches nothing else. (For machines, so JSON it is.)"""

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"status": "ok"})


class ReadyView(ReplyView):
    """The site can do its work: database, migrations, a queue server."""

    def get(self, request: HttpRequest) -> HttpResponse:
        detail = health.missing()
        if detail:
            return JsonResponse({"detail": detail}, status=503, headers={"Retry-After": "5"})
        return JsonResponse({"status": "ok"})


class MetricsView(ReplyView):
    """For Prometheus: how the queue stands and what it has done."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if metrics.may_scrape(request):
            headers = {"Cache-Control": "no-store"}
            return HttpResponse(metrics.text(), content_type=CONTENT_TYPE_LATEST, headers=headers)
        if settings.METRICS_TOKEN:
            detail = "Send `Authorization: Bearer <METRICS_TOKEN>`."
            return refuse(request, 401, detail, headers={"WWW-Authenticate": "Bearer"})
        return refuse(request, 403, "For staff, until METRICS_TOKEN is set for a scraper.")
