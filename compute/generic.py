"""Views that serve every computation; the tutorial's own stand on them (views.py)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.urls import reverse
from django.views import View
from django_htmx.middleware import HtmxDetails

from .computation import Computation, ComputationError
from .computations import all_computations
from .estimates import cost_of
from .forms import ChunkSizeForm, filled_in, shown
from .limits import TooMuch, within_limits
from .masking import shown_to
from .models import Progress, Run
from .owners import may_start, own, reachable, refuse_nameless, sees_all
from .pages import (
    failures_context,
    run_context,
    runs_context,
    timeline_context,
)
from .refusals import Refusal, refusal_of
from .replies import of_two_shapes, page_or_json, refuse, wants_page

log = logging.getLogger(__name__)


class HtmxHttpRequest(HttpRequest):
    """What django-htmx's middleware makes of a request."""

    htmx: HtmxDetails


class ReplyView(View):
    """A view that says no in the client's own shape."""

    http_method_names = ["get", "head"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]
        except Run.DoesNotExist:  # removed since this request found it
            return refuse_unknown(request)
        except ComputationError as error:
            return refuse_mistake(request, error)

    def http_method_not_allowed(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        allowed = ", ".join(name.upper() for name in self.http_method_names)
        return refuse(request, 405, f"Ask this address with {allowed}.", headers={"Allow": allowed})


class FormView(ReplyView):
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


class StartView(FormView):
    """Starts a run, and tells where its progress can be followed."""

    starts_work = True  # see origins.py

    def form_valid(self, form: ChunkSizeForm) -> HttpResponse:
        if not may_start(self.request):
            return refuse_nameless(self.request)
        start = self.plan(form)
        chunk_size = form.cleaned_data.get("chunk_size")
        runs, whole = Run.objects.all(), not self.chunked
        cost = cost_of(runs, self.computation, form.parameters, chunk_size, whole)
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
        return Run.objects.plan(self.computation, form.parameters, chunk_size).start

    def address(self, run: Run) -> str:
        return run.get_absolute_url()


class CheckView(ReplyView):
    """How a run stands, by the id that its start gave."""

    def get(self, request: HtmxHttpRequest, name: str = "") -> HttpResponse:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        progress = run.progress()
        if run.note_is_out_of_date(progress):
            progress = run.refresh()
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


class ComputationView(FormView):
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


# --- shared by the views -------------------------------------------------------------


def parameters(request: HttpRequest) -> QueryDict:
    """What the request gives, in its address or in its body, which wins."""
    given = request.GET.copy()
    for name, values in request.POST.lists():
        given.setlist(name, values)
    return given


def find_run(request: HttpRequest) -> Run | HttpResponse:
    """The run that the request means, or why there is none: for this client, at least."""
    task_id = parameters(request).get("task_id", "")
    if not task_id:
        return refuse(request, 400, "Give the task_id that starting the run returned.")
    known = re.fullmatch(r"[0-9a-f]{32}", task_id)
    run = reachable(request).filter(task_id=task_id).first() if known else None
    return run or refuse_unknown(request)


def refuse_mistake(request: HttpRequest, error: ComputationError) -> HttpResponse:
    """A computation's own code is wrong: its author is told how, others that it is."""
    log.error("%s", error, exc_info=error)
    told = settings.DEBUG or request.user.is_staff
    detail = "This computation has a mistake in its code, which is logged; nothing was started."
    return refuse(request, 422, str(error) if told else detail)


def refuse_unknown(request: HttpRequest) -> HttpResponse:
    """The same words for a run that there is not and for one that is not for this client."""
    detail = "No run has this task_id; use the one that starting it returned."
    if not sees_all(request):
        detail = (
            "No run of yours has this task_id; sign in as its owner, or ask for it to be shared."
        )
    # A page that is open, and asks for a part of itself, says so: its run may have been removed,
    # its session ended, or the address no longer be shared.
    headers = {"HX-Refresh": "true"} if request.headers.get("HX-Request") else None
    return refuse(request, 404, detail, headers=headers)


def reply_with(
    request: HttpRequest, address: str, done: dict[str, Any], name: str = "task_progress"
) -> HttpResponse:
    """Send a browser on to an address; tell a program what was done, and the address."""
    if wants_page(request):
        return of_two_shapes(HttpResponse(status=303, headers={"Location": address}))
    return of_two_shapes(JsonResponse({**done, name: request.build_absolute_uri(address)}))


def progress_data(progress: Progress) -> dict[str, int]:
    return {"done": progress.done, "failed": progress.failed, "total": progress.total}
