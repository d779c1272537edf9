"""What else one can do with a run: cancel it, retry what failed, run it again, in chunks of
other sizes, or in several sizes to compare them."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from .clients import client_of
from .computations import all_computations
from .forms import ChunkSizeForm, form_for
from .generic import FormView, ReplyView, StartView, find_run, parameters, reply_with
from .limits import RETRY_AFTER, TooMuch, ensure_room, within_limits
from .models import Run, Sweep
from .owners import may_manage, may_start, own, refuse_nameless, sees_all
from .pages import failures_context, run_context, site_context, sweep_context, timeline_context
from .replies import page_or_json, refuse


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
            return refuse(request, 429, str(error), headers={"Retry-After": str(RETRY_AFTER)})
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
        ensure_room(self.request, runs=int(ended), pieces=failed)
        # From now on it counts for whoever wants it.
        Run.objects.filter(pk=run.pk).update(client=client_of(self.request))
        return run.retry()


class CombineView(CancelView):
    """Makes one result of the chunks' once more, after the code that could not was mended."""

    done = "combined"

    def act(self, run: Run) -> int:
        ensure_room(self.request, runs=1, pieces=1)
        Run.objects.filter(pk=run.pk).update(client=client_of(self.request))
        return int(run.combine_again())


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

    def given(self) -> dict[str, Any]:
        """What was typed for the other run; the chunk size may be another."""
        given = {name: retyped(value) for name, value in self.run.parameters.items()}
        length = self.run.length()
        if length is not None:
            same = self.run.chunk_size or max(1, length)  # one task: all
            given["chunk_size"] = parameters(self.request).get("chunk_size", str(same))
        return given

    def context(self, form: ChunkSizeForm) -> dict[str, Any]:
        return {
            **run_context(self.request, self.run, self.run.refresh()),
            **failures_context(self.request, self.run),
            **timeline_context(self.request, self.run),
            "form": form,
        }


class ChunkSizesView(FormView):
    """Time against chunk size: shows it by GET, finds it out, with some runs, by POST."""

    template = "compute/chunk_sizes.html"
    chunked = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found = all_computations().get(kwargs["name"])
        if found and found.length is None:
            return refuse(request, 404, f"{found} runs in one piece, without chunks.")
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        names = self.computation.form.base_fields
        if request.method == "GET" and not any(name in request.GET for name in names):
            form = form_for(self.computation, chunked=False)()
            return page_or_json(request, self.template, self.context(form), {"runs": []})
        return super().get(request)

    post = get

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
            most = -(-context["length"] // min(context["sizes"]))  # chunks, of the last run
            try:
                with within_limits(self.request, pieces=most):
                    sweep = Sweep.objects.create(
                        computation=self.computation.name,
                        parameters=form.parameters,
                        sizes=context["sizes"],
                    )
                    own(self.request, sweep)
                    sweep.advance()
            except TooMuch as error:
                return self.refuse_too_much(form, error)
        address = reverse("chunk-sizes", args=[self.computation.name])
        return reply_with(self.request, f"{address}?{context['query']}", {}, name="chunk_sizes")

    def context(self, form: ChunkSizeForm) -> dict[str, Any]:
        valid = form.is_bound and form.is_valid()
        return {
            "form": form,
            "computation": self.computation,
            **site_context(self.request),
            **sweep_context(self.request, self.computation, form.parameters if valid else None),
        }


def refuse_stranger(request: HttpRequest) -> HttpResponse:
    return refuse(request, 403, "Only whoever started this run may do that, and staff.")


def retyped(value: Any) -> Any:
    """A parameter of a run, as a form takes it."""
    return [str(each) for each in value] if isinstance(value, list) else str(value)
