"""What else one can do with a run: cancel it, retry what failed, run it again, in chunks of
other sizes, or in several sizes to compare them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse

from ..computation import DoesNotFitError
from ..computations import all_computations
from ..forms import ChunkSizeForm, filled_in, shown
from ..given import as_data, of_form
from ..models import Run, Sweep, as_kept, plans, retries
from ..models.estimates import Cost, cost_of, cost_of_sweep
from ..models.notes import refresh
from ..refusals import refusal_of
from .base import ReplyView, find_run, parameters, reply_with
from .limits import TooMuch, ensure_room, within_limits
from .owners import count_for, may_manage, may_start, own, refuse_nameless, sees_all
from .pages.base import site_context
from .pages.chunk_sizes import sweep_context
from .pages.run import failures_context, query_of, run_context, timeline_context
from .replies import page_or_json, refuse
from .runs import ComputationFormView, StartView


class CancelView(ReplyView):
    """Ends a run: what waits is withdrawn, what runs is stopped."""

    http_method_names = ["post"]
    done = "cancelled"

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        if not may_manage(request, run):
            return refuse_stranger(request)
        try:
            done = self.act(run)
        except TooMuch as error:
            return refuse(request, 429, str(error), headers={"Retry-After": str(error.retry_after)})
        return reply_with(request, run.get_absolute_url(), {self.done: done})

    def act(self, run: Run) -> int:
        staff = self.request.user.is_staff
        return run.cancel(self.request.user.get_username() if staff else "who started it")


class RetryView(CancelView):
    """Queues the failed chunks of a run again, if there may be one more unfinished run."""

    done = "retried"

    def act(self, run: Run) -> int:
        failed = run.failures().count()
        ended = bool(failed) and run.state != Run.State.IN_PROGRESS
        expected = run.expected_seconds
        seconds = None if expected is None else expected * failed / max(1, run.chunks)
        ensure_room(self.request, Cost(int(ended), failed, seconds))
        count_for(self.request, run)
        return retries.retry(run)


class CombineView(CancelView):
    """Makes one result of the chunks' once more, after the code that could not was mended."""

    done = "combined"

    def act(self, run: Run) -> int:
        ensure_room(self.request, Cost())
        count_for(self.request, run)
        return int(retries.combine_again(run))


class ShareView(CancelView):
    """Lets everybody who has the run's address look at it, or nobody else any more.

    `shared`, 1 or 0, says which; without it, the other of what is now.
    """

    done = "shared"

    def act(self, run: Run) -> bool:
        wanted = parameters(self.request).get("shared", "")
        shared = wanted == "1" if wanted in ("0", "1") else not run.shared
        Run.objects.filter(pk=run.pk).update(shared=shared)
        return shared


class AgainView(StartView):
    """Starts what another run computed once more, in chunks of the same or another size."""

    http_method_names = ["post"]
    template = "compute/run.html"
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

    def given(self) -> QueryDict:
        """What was typed for the other run; the chunk size may be another."""
        same = self.run.chunk_size or max(1, self.run.length() or 1)  # one task: all
        chunk_size = parameters(self.request).get("chunk_size", str(same))
        return as_data(self.run.filled_in(), chunk_size=chunk_size)

    def form_valid(self, form: ChunkSizeForm) -> HttpResponse:
        try:
            self.computation.check_fit(form, self.run.parameters)
        except DoesNotFitError as error:
            form.add_error(None, str(error))
            return self.refuse_form(form, 400)
        return super().form_valid(form)

    def context(self, form: ChunkSizeForm) -> dict[str, Any]:
        return {
            **run_context(self.request, self.run, refresh(self.run)),
            **failures_context(self.request, self.run),
            **timeline_context(self.request, self.run),
            "form": form,
            "refusals": self.refusals(form),
        }

    def refusals(self, form: ChunkSizeForm) -> list[str]:
        """What is wrong with fields that the page of a run does not have."""
        with self.computation.blaming("form"):
            refusal = refusal_of(form)
        fields = refusal.fields if refusal else {}
        return [f"{name}: {text}" for name, text in fields.items() if name != "chunk_size"]


class ChunkSizesView(ComputationFormView):
    """Time against chunk size: shows it by GET, finds it out, with some runs, by POST."""

    template = "compute/chunk_sizes.html"
    chunked = False
    #: Whose parameters these are, if they are too long for an address.
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
        return as_data(self.run.filled_in()) if self.run else parameters(self.request)

    def form_valid(self, form: ChunkSizeForm) -> HttpResponse:
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

    def start(self, form: ChunkSizeForm) -> HttpResponse:
        if not may_start(self.request):
            return refuse_nameless(self.request)
        context = self.context(form)
        if not context["sizes"]:
            form.add_error(None, "There is nothing to cut.")
            return self.refuse_form(form, 400)
        if not context["sweeping"]:
            sizes = context["sizes"]
            plan = plans.plan(self.computation, form.parameters, sizes[0])
            first = cost_of(self.computation, form.parameters, sizes[0])
            cost = cost_of_sweep(self.computation, form.parameters, sizes)
            try:
                with within_limits(self.request, cost):
                    sweep = Sweep.objects.create(
                        computation=self.computation.name,
                        parameters=as_kept(form.parameters),
                        given=form.given,
                        sizes=sizes,
                    )
                    own(self.request, sweep)
                    sweep.start(plan, first)
            except TooMuch as error:
                return self.refuse_too_much(form, error)
            context["query"] = query_of(form.given, sweep.run_set.first())
        address = reverse("chunk-sizes", args=[self.computation.name])
        return reply_with(self.request, f"{address}?{context['query']}", {}, name="chunk_sizes")

    def context(self, form: ChunkSizeForm) -> dict[str, Any]:
        return {
            "form": form,
            "fields": shown(form),
            "computation": self.computation,
            **site_context(self.request),
            **sweep_context(self.request, self.computation, form),
        }


def refuse_stranger(request: HttpRequest) -> HttpResponse:
    return refuse(request, 403, "Only whoever started this run may do that, and staff.")
