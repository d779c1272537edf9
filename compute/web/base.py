"""The views' base: how they say no, and what they read of a request."""

from __future__ import annotations

import logging
import re
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.views import View
from django_htmx.middleware import HtmxDetails

from ..computation import ComputationError
from ..models import Run
from .owners import reachable, sees_all
from .replies import of_two_shapes, refuse, wants_page

log = logging.getLogger(__name__)


class HtmxHttpRequest(HttpRequest):
    """A request as django-htmx's middleware leaves it."""

    htmx: HtmxDetails


class ReplyView(View):
    """A view that says no in the client's own shape."""

    http_method_names = ["get", "head"]
    reads_form = True  # where it takes a POST, see bodies.py

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


def parameters(request: HttpRequest) -> QueryDict:
    """The request's parameters, from its address and its body; the body wins."""
    given = request.GET.copy()
    for name, values in request.POST.lists():
        given.setlist(name, values)
    return given


def find_run(request: HttpRequest, name: str = "task_id") -> Run | HttpResponse:
    """The run that the request means, by a parameter of this name, or a refusal if there is none
    for this client. Where the address names a computation, it is one of that name's, which need
    not be declared any more."""
    task_id = parameters(request).get(name, "")
    if not task_id:
        return refuse(request, 400, "Give the task_id that starting the run returned.")
    known = re.fullmatch(r"[0-9a-f]{32}", task_id)
    match = request.resolver_match
    named = {"computation": match.kwargs["name"]} if match and "name" in match.kwargs else {}
    run = reachable(request).filter(task_id=task_id, **named).first() if known else None
    return run or refuse_unknown(request)


def refuse_mistake(request: HttpRequest, error: ComputationError) -> HttpResponse:
    """A computation's own code is wrong: its author is told how, others that it is."""
    log.error("%s", error, exc_info=error)
    told = settings.DEBUG or request.user.is_staff
    detail = "This computation has a mistake in its code, which is logged; nothing was started."
    return refuse(request, 422, str(error) if told else detail)


def refuse_unknown(request: HttpRequest) -> HttpResponse:
    """The same words whether there is no such run or it is not for this client."""
    detail = "No run has this task_id; use the one that starting it returned."
    if not sees_all(request):
        detail = (
            "No run of yours has this task_id; sign in as its owner, or ask for it to be shared."
        )
    # An open page that asks for a part of itself is loaded again, and so says this: its run may
    # have been removed, its session have ended, or the address no longer be shared.
    headers = {"HX-Refresh": "true"} if request.headers.get("HX-Request") else None
    return refuse(request, 404, detail, headers=headers)


def reply_with(
    request: HttpRequest, address: str, done: dict[str, Any], name: str = "task_progress"
) -> HttpResponse:
    """Send a browser on to an address; tell a program what was done, and the address."""
    if wants_page(request):
        return of_two_shapes(HttpResponse(status=303, headers={"Location": address}))
    return of_two_shapes(JsonResponse({**done, name: request.build_absolute_uri(address)}))
