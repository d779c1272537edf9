"""Which of the workers a run gets while it is unfinished: none, more than others, or fewer."""

from __future__ import annotations

from django.http import HttpResponse

from ..models import Run
from ..queue.sharing import Priority
from .acting import ActionView, NotNow
from .base import parameters
from .replies import refuse

#: A run that code of the version before has started waits in no flow of its own.
OLD = "This run was started by the version before, which could not do that; cancel it instead."


class PauseView(ActionView):
    """What waits of a run, waits; what is at work ends. Tells whether it is paused now."""

    done = "paused"

    def act(self, run: Run) -> bool:
        if run.state != Run.State.IN_PROGRESS:
            return False
        if not run.flow.pause():
            raise NotNow(OLD)
        return True


class ResumeView(ActionView):
    """Has a paused run's tasks claimed again, unless all of its computation are paused."""

    done = "paused"

    def act(self, run: Run) -> bool:
        run.flow.resume()
        return run.flow.filter(kind_paused=True).exists()


class PriorityView(ActionView):
    """How much of the workers a run gets beside others; for staff alone, as others get less."""

    done = "priority"

    def asked(self, run: Run) -> HttpResponse | None:
        if not self.request.user.is_staff:
            return refuse(self.request, 403, "Only staff may say which run gets more than others.")
        if self.wanted not in Priority.values:
            names = ", ".join(Priority.values)
            return refuse(self.request, 400, f"Give a priority, one of: {names}.")
        return None

    @property
    def wanted(self) -> str:
        return parameters(self.request).get("priority", "")

    def act(self, run: Run) -> str:
        if not run.flow.prioritize(self.wanted):
            raise NotNow(OLD)
        return self.wanted
