"""Views that serve every computation; the tutorial's own stand on them (compute/views.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from ..computation import Computation
from ..computations import all_computations
from ..forms import ChunkSizeForm, filled_in, shown
from ..models import Progress, Run, notes, plans
from ..models.estimates import cost_of
from ..refusals import Refusal, refusal_of
from .base import HtmxHttpRequest, ReplyView, find_run, parameters, reply_with
from .limits import TooMuch, within_limits
from .masking import shown_to
from .owners import may_start, own, refuse_nameless
from .pages.run import failures_context, run_context, timeline_context
from .pages.runs import runs_context
from .replies import page_or_json, refuse, wants_page


class ComputationFormView(ReplyView):
    """Takes a computation's form by GET, so that it can be typed into an address bar, or by POST.

    The computation is the class's own, or the one that the address names.
    """

    http_method_names = ["get", "post"]
    template = "compute/computation.html"
    computation: Computation
    chunked = True
    request: HtmxHttpRequest

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "name" in kwargs:
            found = all_computations().get(kwargs["name"])
            if found is None:
                names = ", ".join(all_computations())
                return refuse(request, 404, f"There is no such computation; there are: {names}.")
            self.computation = found
        return super().dispatch(request)

    def get(self, request: HttpRequest) -> HttpResponse:
        form = filled_in(self.computation, self.given(), self.chunked)
        if not form.is_valid():
            return self.refuse_form(form, 400)
        return self.form_valid(form)

    post = get

    def given(self) -> Any:
        """What the form is filled in with."""
        return parameters(self.request)

    def form_valid(self, form: ChunkSizeForm) -> HttpResponse:
        raise NotImplementedError

    def refuse_form(
        self, form: ChunkSizeForm, status: int, headers: dict[str, str] | None = None
    ) -> HttpResponse:
        """The first thing that is wrong; for a browser the form again, with everything."""
        with self.computation.blaming("form"):  # the words are its author's
            refusal = refusal_of(form) or Refusal("", {}, False)
        context = self.context(form) if wants_page(self.request) else {}
        return refuse(
            self.request,
            status,
            refusal.detail,
            headers=headers,
            template=self.template,
            context=context,
            fields=refusal.fields if refusal.several else {},
        )

    def refuse_too_much(self, form: ChunkSizeForm, error: TooMuch) -> HttpResponse:
        form.add_error(None, str(error))
        return self.refuse_form(form, 429, headers={"Retry-After": str(error.retry_after)})

    def page_or_part(self) -> str:
        """htmx asks for the list of runs alone, again and again."""
        return "compute/_runs.html" if self.request.htmx else self.template

    def context(self, form: ChunkSizeForm) -> dict[str, Any]:
        runs = runs_context(self.request, self.computation)
        fields = shown(form)
        return {"form": form, "fields": fields, "computation": self.computation, **runs}


class StartView(ComputationFormView):
    """Starts a run, and tells where its progress can be followed."""

    starts_work = True  # see origins.py

    def form_valid(self, form: ChunkSizeForm) -> HttpResponse:
        if not may_start(self.request):
            return refuse_nameless(self.request)
        start = self.plan(form)
        chunk_size = form.cleaned_data.get("chunk_size")
        cost = cost_of(self.computation, form.parameters, chunk_size, whole=not self.chunked)
        try:
            with within_limits(self.request, cost):  # run, jobs and queued tasks, or nothing
                run = start()
                run.given = form.given
                own(self.request, run, cost)
        except TooMuch as error:
            return self.refuse_too_much(form, error)
        return reply_with(self.request, self.address(run), {})

    def plan(self, form: ChunkSizeForm) -> Callable[[], Run]:
        """What starts the run. An author's code is called here, and not in the transaction."""
        chunk_size = form.cleaned_data.get("chunk_size")
        return plans.plan(self.computation, form.parameters, chunk_size).start

    def address(self, run: Run) -> str:
        return run.get_absolute_url()


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
            return page_or_json(
                request, "", {}, {**data, "error": shown_to(request, data["error"])}
            )
        if request.htmx and "timeline" in request.GET:
            context = timeline_context(request, run)
            return page_or_json(request, "compute/_timeline.html", context, {})
        context = run_context(request, run, progress)
        if not (request.htmx and context["running"]):
            context |= {**failures_context(request, run), **timeline_context(request, run)}
        # htmx swaps a part of the page; the rest stays as it is, until the run has ended.
        template = "compute/_run.html" if request.htmx else "compute/run.html"
        return page_or_json(request, template, context, {})

    def data(self, run: Run, progress: Progress) -> dict[str, Any]:
        return {
            "status": run.status,
            "result": run.result,
            "error": run.error(),
            "progress": progress_data(progress),
        }


class ComputationView(ComputationFormView):
    """A computation's own page: what it does, its form, and the runs."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        form = filled_in(self.computation)
        data = {
            "name": self.computation.name,
            "line": self.computation.line,
            "parameters": {each.field.name: each.help_text for each in shown(form)},
            "start": request.build_absolute_uri(reverse("start", args=[self.computation.name])),
        }
        return page_or_json(request, self.page_or_part(), self.context(form), data)


def progress_data(progress: Progress) -> dict[str, int]:
    return {"done": progress.done, "failed": progress.failed, "total": progress.total}
