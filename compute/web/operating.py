"""What staff asks of the queue: to drain a node, to pause everything or a computation."""

from __future__ import annotations

import logging

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from ..computations import all_computations
from ..queue import pauses
from ..queue.models import Node
from ..queue.text import shorten
from .base import ReplyView, parameters, reply_with
from .replies import refuse

log = logging.getLogger(__name__)


class OperatingView(ReplyView):
    """For staff, by POST; with a parameter of its name, 1 or 0, that says which way."""

    http_method_names = ["post"]
    done: str

    def post(self, request: HttpRequest) -> HttpResponse:
        if not request.user.is_staff:
            return refuse(request, 403, "Only staff may do that; sign in as somebody who is.")
        wanted = parameters(request).get(self.done, "1")
        if wanted not in ("0", "1"):
            return refuse(request, 400, f"Give {self.done} as 1 or 0.")
        refusal = self.act(request, wanted == "1")
        if refusal:
            return refuse(request, 404, refusal)
        return reply_with(request, reverse("nodes"), {self.done: wanted == "1"}, name="nodes")

    def act(self, request: HttpRequest, wanted: bool) -> str | None:
        """Do it; or why that can't be done."""
        raise NotImplementedError


class DrainView(OperatingView):
    """A `node`, by its name or id: it ends what it has and claims no more, or works again."""

    done = "draining"

    def act(self, request: HttpRequest, wanted: bool) -> str | None:
        name = parameters(request).get("node", "").replace("\0", "")
        nodes = Node.objects.alive().named([name])
        if not (nodes.drain() if wanted else nodes.work_again()):
            return "No queue server of this name or id is alive; /nodes/ shows those that are."
        verb = "is drained" if wanted else "works again"
        log.info("queue server %s %s, by %s", shorten(name, 100), verb, request.user.get_username())
        return None


class PauseQueueView(OperatingView):
    """A `computation`, or without one the queue: nothing of it is begun, or it goes on."""

    done = "paused"

    def act(self, request: HttpRequest, wanted: bool) -> str | None:
        kind, by = parameters(request).get("computation", ""), request.user.get_username()
        if kind and kind not in all_computations() and wanted:
            return "There is no computation of this name; leave it out to pause the whole queue."
        if pauses.pause(kind, by) if wanted else pauses.resume(kind.replace("\0", "")):
            verb = "paused" if wanted else "resumed"
            log.info("%s is %s, by %s", shorten(kind, 100) or "the queue", verb, by)
        return None
