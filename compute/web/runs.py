"""Views that serve every computation; the tutorial's own stand on them (compute/views.py)."""

from __future__ import annotations

from collections.abc import Callable
from inspect import cleandoc
from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from ..computation import Computation
from ..computations import all_computations
from ..forms import filled_in, given_in, parameters_of, seed_of, shown
from ..given import as_data, of_form
from ..models import Run, plans
from ..models.estimates import cost_of
from ..refusals import Refusal, refusal_of
from .acting import refuse_stranger
from .arriving import NotTaken, say_where_none_is_taken, taken_in, takes_files
from .base import HtmxHttpRequest, ReplyView, find_run, reply_with
from .limits import TooMuch, within_limits
from .owners import FileGone, may_manage, may_start, own, refuse_nameless, sees_all
from .pages.base import form_context
from .pages.estimate import estimate
from .pages.home import no_such_computation
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
                return refuse(request, 404, no_such_computation(request, kwargs["name"]))
            self.computation = found
        return super().dispatch(request)

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            form = filled_in(self.computation, self.given(), self.chunked)
        except NotTaken as error:
            return self.refuse_file(error)
        if not form.is_valid():
            say_where_none_is_taken(form)
            return self.refuse_form(form, 400)
        return self.form_valid(form)

    post = get

    def given(self) -> Any:
        """The texts that the form is filled in with; NotTaken if a file may not be kept."""
        return taken_in(self.request, self.computation)

    def form_valid(self, form: Form) -> HttpResponse:
        raise NotImplementedError

    def refuse_form(
        self, form: Form, status: int, headers: dict[str, str] | None = None
    ) -> HttpResponse:
        """Refuse with the first error; a browser gets the form again, with all of them."""
        with self.computation.running("form"):  # the words are its author's
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

    def refuse_file(self, error: NotTaken) -> HttpResponse:
        """Refuse with why a file is not kept, instead of that it is not there."""
        form = filled_in(self.computation, error.data, self.chunked)
        form.errors.pop(error.field, None)
        form.add_error(error.field, str(error))
        return self.refuse_form(form, error.status, headers=error.headers)

    def refuse_too_much(self, form: Form, error: TooMuch) -> HttpResponse:
        form.add_error(None, str(error))
        return self.refuse_form(form, 429, headers={"Retry-After": str(error.retry_after)})

    def context(self, form: Form) -> dict[str, Any]:
        runs = runs_context(self.request, self.computation)
        return {
            **form_context(self.computation, form),
            "computation": self.computation,
            "expected": estimate(self.request, self.computation, form),
            **runs,
        }


class StartView(ComputationFormView):
    """Starts a run, and tells where its progress can be followed."""

    starts_work = True  # see origins.py
    takes_files = staticmethod(takes_files)  # see bodies.py

    def form_valid(self, form: Form) -> HttpResponse:
        if not may_start(self.request):
            return refuse_nameless(self.request)
        start = self.plan(form)
        chunk_size = form.cleaned_data.get("chunk_size")
        cost = cost_of(self.computation, parameters_of(form), chunk_size, whole=not self.chunked)
        try:
            with within_limits(self.request, cost):  # run, jobs and queued tasks, or nothing
                run = start()
                run.given = given_in(form)
                own(self.request, run, cost)
        except TooMuch as error:
            return self.refuse_too_much(form, error)
        except FileGone as error:
            form.add_error(None, str(error))
            return self.refuse_form(form, 409)
        return reply_with(self.request, self.address(run), {})

    def plan(self, form: Form) -> Callable[[], Run]:
        """A function that starts the run. An author's code is called here, before the
        transaction."""
        chunk_size = form.cleaned_data.get("chunk_size")
        return plans.plan(self.computation, parameters_of(form), chunk_size, seed_of(form)).start

    def address(self, run: Run) -> str:
        return run.get_absolute_url()


class OfRunView(StartView):
    """Starts a run that goes out from another, `run`, for those who may run that again."""

    http_method_names = ["post"]
    run: Run

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST":
            run = find_run(request)
            if isinstance(run, HttpResponse):
                return run
            if not (sees_all(request) or may_manage(request, run)):
                return refuse_stranger(request)
            self.run, kwargs["name"] = run, run.computation
        return super().dispatch(request, *args, **kwargs)


class ComputationView(ComputationFormView):
    """A computation's own page: what it does, its form, and the runs."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        run = find_run(request, "from") if "from" in request.GET else None
        if isinstance(run, HttpResponse):
            return run
        form = filled_in(self.computation, self.asked(run), boxes=run is None)
        data = {
            "name": self.computation.name,
            "line": self.computation.line,
            "about": cleandoc(str(self.computation.about)),
            "parameters": {each.name: each.help_text for each in shown(self.computation, form)},
            "start": request.build_absolute_uri(reverse("start", args=[self.computation.name])),
        }
        if self.request.htmx:  # asks for the list of runs alone, again and again
            context = runs_context(request, self.computation)
            return page_or_json(request, "compute/_runs.html", context, data)
        return page_or_json(request, self.template, self.context(form), data)

    def asked(self, run: Run | None) -> QueryDict | None:
        """The texts of an address that fills the form in, beside those of a run (`from`); None
        if it has neither."""
        form = filled_in(self.computation)
        texts = of_form(form, taken_in(self.request, self.computation))
        size, seed = {}, {}
        if run and run.seed is not None:
            seed = {"seed": [str(run.seed)]}
        if run and run.chunk_size and not run.why:  # else the site has chosen it, or will
            size = {"chunk_size": str(run.chunk_size)}
        if "chunk_size" in self.request.GET:
            size = {"chunk_size": self.request.GET["chunk_size"]}
        if run:
            return as_data({**run.filled_in(), **seed, **texts}, **size)
        return as_data(texts, **size) if texts or size else None
