"""The tutorial's views. Those of any computation, and of the site, are in compute/web/."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django_q.tasks import async_task

from . import chunking, tasks
from .computation import Computation
from .computations import all_computations, own_computations
from .computations.sums import BUGGY_SUM, SUM, title
from .forms import form_for
from .models import Progress, Run
from .models.plans import best_chunk_size, run_of, shared
from .queue.fanout import async_iter
from .values import MOST_BYTES
from .web import slots
from .web.checking import CheckView, progress_data
from .web.formats import FORMATS, json_of
from .web.pages.cards import cards_context
from .web.pages.home import estimate_context, page_of, problems_context
from .web.pages.runs import runs_context
from .web.replies import page_or_json
from .web.runs import ComputationFormView, StartView


def others() -> list[Computation]:
    """All but the tutorial's; those first that did not come with the site."""
    known, own = all_computations(), {each.name for each in own_computations()}
    names = known.keys() - {SUM.name, BUGGY_SUM.name}
    return [known[name] for name in sorted(names, key=lambda name: (name not in own, name))]


def first() -> Computation | None:
    """The one whose form is on the first page; None for cards of all."""
    if chosen := all_computations().get(settings.HOME_PAGE):
        return chosen
    if settings.TUTORIAL:
        return None if own_computations() else SUM
    offered = others()
    return offered[0] if len(offered) == 1 else None


def is_tutorial(computation: Computation | None) -> bool:
    """Whether it is the one that has the tutorial's page."""
    return settings.TUTORIAL and computation is not None and computation.name == SUM.name


class SumFormView(ComputationFormView):
    """A form of the tutorial's: how to sum, on its page."""

    template = "compute/home.html"
    computation = SUM

    def context(self, form: Form) -> dict[str, Any]:
        return {
            "form": form,
            "sync_max": settings.SUM_SYNC_MAX_N,
            "presets": [10**7, 10**8, 3 * 10**9],
            **estimate_context(self.request, SUM, form["n"].value()),
            **runs_context(self.request),
            **problems_context(self.request),
            **cards_context(self.request, others()),
            "tutorial_at": reverse("home" if is_tutorial(first()) else "tutorial"),
        }


class TutorialView(SumFormView):
    """The tutorial's page: every way to add up, and what is running."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        template, context = self.page()
        links = [run.get_absolute_url() for run, *_ in context["rows"]]
        data: dict[str, Any] = {
            "runs": [{"task_progress": request.build_absolute_uri(link)} for link in links]
        }
        if context["older"]:
            data["older"] = request.build_absolute_uri(context["older"])
        return page_or_json(request, template, context, data)

    def page(self) -> tuple[str, dict[str, Any]]:
        """The template and its context; htmx asks for the list of runs alone, again and again."""
        if self.request.htmx:
            return "compute/_runs.html", runs_context(self.request)
        return self.template, self.context(form_for(SUM)(initial=self.request.GET.dict()))


class HomeView(TutorialView):
    """The first page: the tutorial's, or another computation's, or cards of all."""

    def page(self) -> tuple[str, dict[str, Any]]:
        if self.request.htmx or is_tutorial(first()):
            return super().page()
        offered = [*others(), SUM] if settings.TUTORIAL else others()
        return page_of(self.request, first(), offered, {SUM.name: reverse("tutorial")})


class SumView(SumFormView):
    """Adds up inside the request, which is what this site shows not to do."""

    chunked = False
    starts_work = True

    def form_valid(self, form: Form) -> HttpResponse:
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
            return self.refuse_form(form, 429, headers={"Retry-After": str(slots.RETRY_AFTER_S)})
        context = {"title": title(n), "total": total}
        return page_or_json(self.request, "compute/sum.html", context, {"total": total})


class SumStartView(SumFormView, StartView):
    """Starts a sum as the subclass says, and points at the tutorial's own check address."""

    check = "sum-async-progress"

    def plan(self, form: Form) -> Callable[[], Run]:
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
        named = {"task_name": title(n), "broker": shared(SUM)}
        task = async_iter(tasks.get_sum_range, chunks, **named)
        sizes = {"chunk_size": chunk_size, "chunks": len(chunks), "why": why}
        return run_of(task, SUM, {"n": n}, **sizes)


def whole(run: Run) -> Any:
    """A run's result as the tutorial's addresses have it: all of it, up to what one could have when
    they were made. A larger one is not for a web process to hold."""
    output = run.outputs.first() if run.state == Run.State.DONE and run.result is None else None
    if output is None or output.size > MOST_BYTES or output.kind not in FORMATS["json"].kinds:
        return run.result
    return json.loads(b"".join(json_of(output).read()))


class SumAsyncProgressView(CheckView):
    """How a run stands, by the id that its start gave: of one task or of many."""

    def data(self, run: Run, progress: Progress) -> dict[str, Any]:
        return {"status": run.status, "total": whole(run), "error": run.error()}


class SplitSumAsyncProgressView(CheckView):
    """The same, with the totals of the chunks and how many are done."""

    def data(self, run: Run, progress: Progress) -> dict[str, Any]:
        return {
            "status": run.status,
            "raw": run.results() if progress.settled and not progress.failed else None,
            "total": whole(run),
            "error": run.error(),
            "progress": progress_data(progress),
        }
