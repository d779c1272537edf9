"""Actions on a run: cancel it, go on with it, retry what failed, run it again, in chunks of other
sizes, or in several sizes to compare them."""

from __future__ import annotations

from typing import Any

from django.forms import Form
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from ..computation import DoesNotFitError
from ..computations import all_computations
from ..forms import filled_in, given_in, names_of_site, parameters_of
from ..given import as_data, of_form
from ..models import Run, Sweep, as_kept, plans, retries
from ..models.estimates import Cost, cost_of, cost_of_sweep
from ..models.notes import cancel, refresh
from ..refusals import refusal_of
from .acting import ActionView, NotNow
from .arriving import takes_files
from .base import find_run, parameters, reply_with
from .limits import TooMuch, ensure_room, within_limits
from .owners import count_for, may_start, own, refuse_nameless
from .pages.base import form_context, site_context
from .pages.chunk_sizes import sweep_context
from .pages.run import cancel_context, query_of, rest_context, run_context
from .replies import page_or_json, refuse, wants_page
from .runs import ComputationFormView, OfRunView

#: Worker seconds of a run from which on a browser is asked before it cancels it.
ASK_FROM_S = 60


class CancelView(ActionView):
    """Ends a run: what waits is withdrawn, what runs is stopped.

    Where that costs more than a minute's work, a browser gets a page that asks first; its
    answer has `confirm` 1.
    """

    done = "cancelled"

    def asked(self, run: Run) -> HttpResponse | None:
        confirmed = parameters(self.request).get("confirm") == "1"
        if confirmed or not wants_page(self.request) or run.state != Run.State.IN_PROGRESS:
            return None
        if run.spent <= ASK_FROM_S:
            return None
        return page_or_json(self.request, "compute/cancel.html", cancel_context(run), {})

    def act(self, run: Run) -> int:
        staff = self.request.user.is_staff
        by = self.request.user.get_username() if staff else "who started it"
        return cancel(Run.objects.filter(pk=run.pk), by)


class RetryView(ActionView):
    """Queues the failed chunks of a run again, if there may be one more unfinished run."""

    done = "retried"

    def act(self, run: Run) -> int:
        self.count(run, run.failures().count())
        return retries.retry(run)

    def count(self, run: Run, chunks: int) -> None:
        """Have so many chunks of it count for who asks; TooMuch if they are too many."""
        ended = bool(chunks) and run.state != Run.State.IN_PROGRESS
        expected = run.expected_seconds
        seconds = None if expected is None else expected * chunks / max(1, run.chunks)
        ensure_room(self.request, Cost(int(ended), chunks, seconds))
        count_for(self.request, run)


class GoOnView(RetryView):
    """Queues the cancelled chunks of a run again; what was done of it is kept."""

    done = "queued_again"

    def act(self, run: Run) -> int:
        if run.state == Run.State.CANCELLED and not retries.can_go_on(run):
            raise NotNow(
                "This run can't go on: it was cancelled by the version before, which kept nothing "
                "of what was left to do. Run it again instead."
            )
        self.count(run, run.cancelled().count())
        return retries.go_on(run)


class CombineView(ActionView):
    """Combines the chunks' results once more, after the code that failed was mended."""

    done = "combined"

    def act(self, run: Run) -> int:
        ensure_room(self.request, Cost())
        count_for(self.request, run)
        return int(retries.combine_again(run))


class ShareView(ActionView):
    """Lets everybody who has the run's address look at it, or stops that.

    `shared`, 1 or 0, says which; without it the run changes from one to the other.
    """

    done = "shared"

    def asked(self, run: Run) -> HttpResponse | None:
        self.wanted = parameters(self.request).get("shared")
        if self.wanted not in (None, "0", "1"):
            return refuse(self.request, 400, "Give shared as 1 or 0.")
        return None

    def act(self, run: Run) -> bool:
        shared = not run.shared if self.wanted is None else self.wanted == "1"
        Run.objects.filter(pk=run.pk).update(shared=shared)
        return shared


class AgainView(OfRunView):
    """Starts a run's computation once more, in chunks of the same or another size, and with the
    same seed unless another is given."""

    template = "compute/run.html"

    def given(self) -> QueryDict:
        """The texts of the other run's form; chunk size and seed may be others."""
        same = self.run.chunk_size or max(1, self.run.length() or 1)  # one task: all
        asked = parameters(self.request)
        own = {"chunk_size": asked.get("chunk_size", str(same))}
        if self.computation.seed and self.run.seed is not None:
            own["seed"] = asked.get("seed", str(self.run.seed))
        return as_data(self.run.filled_in(), **own)

    def form_valid(self, form: Form) -> HttpResponse:
        try:
            self.computation.check_fit(form, self.run.parameters)
        except DoesNotFitError as error:
            form.add_error(None, str(error))
            return self.refuse_form(form, 400)
        return super().form_valid(form)

    def context(self, form: Form) -> dict[str, Any]:
        return {
            **run_context(self.request, self.run, refresh(self.run)),
            **rest_context(self.request, self.run),
            "refused": self.refused(form),
        }

    def refused(self, form: Form) -> dict[str, Any]:
        """The chunk size and the seed that were given, what is wrong with each, and elsewhere."""
        with self.computation.running("form"):
            refusal = refusal_of(form)
            mistakes = [str(error) for error in form.non_field_errors()]
        fields = dict(refusal.fields) if refusal else {}
        own = {
            name: {"given": form.data.get(name, ""), "why": fields.pop(name, "")}
            for name in names_of_site(form)
        }
        return {
            **own,
            "mistakes": [*mistakes, *(f"{name}: {text}" for name, text in fields.items())],
        }


class ChunkSizesView(ComputationFormView):
    """Time against chunk size: shows it by GET, finds it out, with some runs, by POST."""

    template = "compute/chunk_sizes.html"
    chunked = False
    takes_files = staticmethod(takes_files)
    #: The run that has the parameters, if they are too long for an address.
    run: Run | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found = all_computations().get(kwargs["name"])
        if found and found.length is None:
            return refuse(request, 404, f"{found} runs in one piece, without chunks.")
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        if "task_id" in request.GET:
            run = find_run(request)
            if isinstance(run, HttpResponse):
                return run
            self.run = run
        form = filled_in(self.computation, chunked=False)
        asked = self.run or request.method == "POST" or of_form(form, request.GET)
        if form.fields and not asked:
            return page_or_json(request, self.template, self.context(form), {"runs": []})
        return super().get(request)

    post = get

    def given(self) -> QueryDict:
        return as_data(self.run.filled_in()) if self.run else super().given()

    def form_valid(self, form: Form) -> HttpResponse:
        if self.request.method == "POST":
            return self.start(form)
        context = self.context(form)
        data = {
            "sweeping": context["sweeping"],
            "runs": [
                {"chunk_size": size, "chunks": run.chunks, "seconds": seconds}
                for size, seconds, run in context["points"]
            ],
        }
        template = "compute/_chunk_sizes.html" if self.request.htmx else self.template
        return page_or_json(self.request, template, context, data)

    def start(self, form: Form) -> HttpResponse:
        if not may_start(self.request):
            return refuse_nameless(self.request)
        context = self.context(form)
        if not context["sizes"]:
            form.add_error(None, "There is nothing to cut.")
            return self.refuse_form(form, 400)
        if not context["sweeping"]:
            sizes = context["sizes"]
            plan = plans.plan(self.computation, parameters_of(form), sizes[0])
            first = cost_of(self.computation, parameters_of(form), sizes[0])
            cost = cost_of_sweep(self.computation, parameters_of(form), sizes)
            try:
                with within_limits(self.request, cost):
                    sweep = Sweep.objects.create(
                        computation=self.computation.name,
                        parameters=as_kept(parameters_of(form)),
                        given=given_in(form),
                        sizes=sizes,
                    )
                    own(self.request, sweep)
                    sweep.start(plan, first)
            except TooMuch as error:
                return self.refuse_too_much(form, error)
            context["query"] = query_of(given_in(form), sweep.run_set.first())
        address = reverse("chunk-sizes", args=[self.computation.name])
        return reply_with(self.request, f"{address}?{context['query']}", {}, name="chunk_sizes")

    def context(self, form: Form) -> dict[str, Any]:
        return {
            **form_context(self.computation, form),
            "computation": self.computation,
            **site_context(self.request),
            **sweep_context(self.request, self.computation, form),
        }
