"""The end of all that is kept of a run, when its owner wants none of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.urls import reverse

from ..computations import all_computations
from ..models import Run
from ..models.notes import refresh
from ..removal import NotYetError, remove_run
from .acting import ActionView, NotNow
from .base import parameters, reply_with
from .replies import page_or_json, refuse, wants_page


class DeleteView(ActionView):
    """Removes a run that has ended, with its chunks, results and outputs.

    A browser gets a page that asks first; its answer has `confirm` 1.
    """

    done = "deleted"

    def asked(self, run: Run) -> HttpResponse | None:
        if run.state == Run.State.IN_PROGRESS:
            refresh(run)
        if run.state == Run.State.IN_PROGRESS:
            return refuse(self.request, 409, "This run is unfinished; cancel it first.")
        if parameters(self.request).get("confirm") == "1" or not wants_page(self.request):
            return None
        outputs = list(run.outputs.all())
        context = {"action": "delete", "run": run, "outputs": outputs}
        return page_or_json(self.request, "compute/delete.html", context, {})

    def act(self, run: Run) -> bool:
        try:
            remove_run(run, self.request.user.get_username() or "who started it")
        except NotYetError as error:
            raise NotNow(str(error)) from error
        return True

    def reply(self, run: Run, done: Any) -> HttpResponse:
        known = run.computation in all_computations()
        address = reverse("computation", args=[run.computation]) if known else "/"
        return reply_with(self.request, address, {self.done: done}, name="runs")
