"""The tutorial's views. Each parses, calls one thing and answers, as a page or as JSON."""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.urls import reverse
from django.views import View
from django_htmx.middleware import HtmxDetails
from django_q.tasks import async_task

from . import chunking, health, tasks
from .forms import SplitSumForm, SumForm
from .models import Run, title
from .queue.fanout import async_iter
from .queue.models import Node
from .replies import of_two_shapes, page_or_json, refuse, wants_page

RUNS_PER_PAGE = 20


class HtmxHttpRequest(HttpRequest):
    """What django-htmx's middleware makes of a request."""

    htmx: HtmxDetails


class ReplyView(View):
    """A view that says no in the client's own shape."""

    http_method_names = ["get", "head"]

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        allowed = ", ".join(name.upper() for name in self.http_method_names)
        return refuse(request, 405, f"Ask this address with {allowed}.", headers={"Allow": allowed})


class HomeView(ReplyView):
    """The page for people: the form, and what is running."""

    def get(self, request: HttpRequest) -> HttpResponse:
        context = home_context(request, SplitSumForm())
        data = {"runs": [run_link(request, run) for run in context["page"]]}
        return page_or_json(request, "compute/home.html", context, data)


class FormView(ReplyView):
    """Takes a form by GET, so that it can be typed into an address bar, or by POST."""

    http_method_names = ["get", "post"]
    form_class: type[SumForm] = SumForm

    def get(self, request: HttpRequest) -> HttpResponse:
        form = self.form_class(parameters(request))
        if not form.is_valid():
            return refuse_form(request, form, 400)
        return self.form_valid(request, form)

    post = get

    def form_valid(self, request: HttpRequest, form: SumForm) -> HttpResponse:
        raise NotImplementedError


class SumView(FormView):
    """Adds up inside the request, which is what this site shows not to do."""

    def form_valid(self, request: HttpRequest, form: SumForm) -> HttpResponse:
        n = form.cleaned_data["n"]
        if n > settings.SUM_SYNC_MAX_N > 0:
            form.add_error(
                "n",
                f"Adding up to {n:,} takes too long for one request; "
                f"start it at {reverse('sum-async-start')}?n={n} instead.",
            )
            return refuse_form(request, form, 422)
        total = tasks.get_sum(n)
        context = {"title": title(n), "total": total}
        return page_or_json(request, "compute/sum.html", context, {"total": total})


class StartView(FormView):
    """Starts a run, and tells where its progress can be followed."""

    def form_valid(self, request: HttpRequest, form: SumForm) -> HttpResponse:
        if Run.objects.unfinished() >= settings.MAX_ACTIVE_RUNS:
            form.add_error(
                None,
                f"{settings.MAX_ACTIVE_RUNS} runs are unfinished, which is the most there may "
                "be; come back when one has ended.",
            )
            return refuse_form(request, form, 429, headers={"Retry-After": "10"})
        with transaction.atomic():  # the run, its jobs and the queued tasks, or nothing
            run = self.start(**form.cleaned_data)
        if wants_page(request):
            headers = {"Location": run.get_absolute_url()}
            return of_two_shapes(HttpResponse(status=303, headers=headers))
        return of_two_shapes(JsonResponse(run_link(request, run)))

    def start(self, n: int) -> Run:
        raise NotImplementedError


class SumAsyncStartView(StartView):
    """One task for the whole sum."""

    def start(self, n: int) -> Run:
        task = async_task(tasks.get_sum, n, task_name=title(n))
        return Run.objects.create(task_id=task, kind=Run.Kind.SUM, n=n)


class BuggySumAsyncStartView(StartView):
    """One task that fails, to be debugged as the README tells."""

    def start(self, n: int) -> Run:
        task = async_task(tasks.get_sum_buggy, n)
        return Run.objects.create(task_id=task, kind=Run.Kind.BUGGY, n=n)


class SplitSumAsyncStartView(StartView):
    """Many tasks, each for a chunk of the sum, on all workers of all nodes at once."""

    form_class = SplitSumForm

    def start(self, n: int, chunk_size: int | None = None) -> Run:
        chunk_size = chunk_size or chunking.default_chunk_size(n)
        chunks = chunking.ranges(n, chunk_size)
        task = async_iter(tasks.get_sum_range, chunks, task_name=title(n))
        return Run.objects.create(
            task_id=task, kind=Run.Kind.SPLIT, n=n, chunk_size=chunk_size, chunks=len(chunks)
        )


class SumAsyncProgressView(ReplyView):
    """How a run stands, by the id that its start gave: of one task or of many."""

    def get(self, request: HtmxHttpRequest) -> HttpResponse:
        task_id = request.GET.get("task_id", "")
        if not task_id:
            return refuse(request, 400, "Give the task_id that starting the run returned.")
        run = find_run(task_id)
        if run is None:
            return refuse(
                request, 404, "No run has this task_id; use the one that starting it returned."
            )
        progress = run.progress()
        if progress.settled == (run.state == Run.State.IN_PROGRESS):  # the note is out of date
            progress = run.refresh()
        context = {"run": run, "progress": progress, "failures": run.failures()}
        # htmx swaps a part of the page; the rest stays as it is.
        template = "compute/_run.html" if request.htmx else "compute/run.html"
        data = self.data(run, progress) if not wants_page(request) else {}
        return page_or_json(request, template, context, data)

    def data(self, run: Run, progress: Any) -> dict[str, Any]:
        return {"status": run.state, "total": run.result, "error": run.error()}


class SplitSumAsyncProgressView(SumAsyncProgressView):
    """The same, with the totals of the chunks and how many are done."""

    def data(self, run: Run, progress: Any) -> dict[str, Any]:
        return {
            "status": run.state,
            "raw": run.results() if run.state == Run.State.DONE else None,
            "total": run.result,
            "error": run.error(),
            "progress": progress._asdict(),
        }


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


# --- shared by the views -------------------------------------------------------------


def parameters(request: HttpRequest) -> QueryDict:
    """What the request gives, in its address or in its body, which wins."""
    given = request.GET.copy()
    for name in request.POST:
        given[name] = request.POST[name]
    return given


def find_run(task_id: str) -> Run | None:
    if not re.fullmatch(r"[0-9a-f]{32}", task_id):
        return None
    return Run.objects.filter(task_id=task_id).first()


def run_link(request: HttpRequest, run: Run) -> dict[str, str]:
    return {"task_progress": request.build_absolute_uri(run.get_absolute_url())}


def home_context(request: HttpRequest, form: SumForm) -> dict[str, Any]:
    page = Paginator(Run.objects.all(), RUNS_PER_PAGE).get_page(request.GET.get("page"))
    return {
        "form": form,
        "page": page,
        "queue_server": Node.objects.alive().exists(),
        "sync_max": settings.SUM_SYNC_MAX_N,
        "has_session": settings.SESSION_COOKIE_NAME in request.COOKIES,
    }


def refuse_form(
    request: HttpRequest, form: SumForm, status: int, headers: dict[str, str] | None = None
) -> HttpResponse:
    """The first thing that is wrong with it; for a browser the form again, with everything."""
    detail = str(next(iter(form.errors.values()))[0])
    context = home_context(request, form) if wants_page(request) else {}
    return refuse(
        request, status, detail, headers=headers, template="compute/home.html", context=context
    )
