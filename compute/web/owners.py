"""Whose a run is, who may look at it, and who may cancel, retry, repeat and share it.

A run has one owner: the account that was signed in when it was started, on whatever device
that is signed in later; without one the session that started it, which an account takes over
when it signs in there; or nobody, if a program started it that has neither. Staff may do
everything. With RUNS_PRIVATE=1 nobody else learns that a run exists, unless its owner shares
its address. Every list, search and look-up goes through `listed` or `reachable`.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from ..models import Run, RunQuerySet, Sweep, estimates
from ..models.estimates import Cost
from .clients import OWNER, client_of
from .replies import refuse, wants_page


def own(request: HttpRequest, run: Run | Sweep, cost: Cost | None = None) -> None:
    """Note whose the run is; a browser without a session gets one.

    And for whom it counts (see limits.py), and what it is expected to take.
    """
    run.account_id = request.user.pk  # first: a session whose password was changed ends here
    if wants_page(request) or has_session(request):
        owner = request.session.setdefault(OWNER, uuid4().hex)
        if run.account_id is None:
            run.owner = owner
            renew(request)
    run.save(update_fields=["owner", "account", "given"])
    count_for(request, run)
    if cost and isinstance(run, Run):
        estimates.note(run, cost)


def count_for(request: HttpRequest, run: Run | Sweep) -> None:
    """Have the run count for this client from now on, who started it or goes on with it.

    Of staff no address is noted: nobody else there is held to what it has started.
    """
    client = client_of(request)
    run.client = client.noted
    run.address = "" if request.user.is_staff else client.address
    run.save(update_fields=["client", "address"])


def renew(request: HttpRequest) -> None:
    """Let the session end two weeks after the last day on which it has started something.

    Once a day, for to write it each time would meet with those who sign in or out meanwhile.
    """
    today = timezone.now().date().isoformat()
    if request.session.get("day") != today:
        request.session["day"] = today


def has_session(request: HttpRequest) -> bool:
    """Whether the request's cookie names a session that there is."""
    return OWNER in request.session or bool(request.session.session_key)


def claim(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """On `user_logged_in`: what the session has started is the account's from now on."""
    owner = request.session.get(OWNER)
    if owner:
        for kind in (Run, Sweep):
            kind.objects.filter(owner=owner, account=None).update(owner="", account=user)


def mine(request: HttpRequest) -> Q:
    """Runs, or sweeps, that belong to the account or session that asks."""
    theirs = Q(pk__in=[])
    if request.user.is_authenticated:
        theirs |= Q(account=request.user.pk)
    owner = request.session.get(OWNER)
    if owner:
        theirs |= Q(account=None, owner=owner)
    return theirs


def may_manage(request: HttpRequest, run: Run) -> bool:
    if request.user.is_staff:
        return True
    if run.account_id is not None:
        return run.account_id == request.user.pk
    return bool(run.owner and run.owner == request.session.get(OWNER))


# --- RUNS_PRIVATE --------------------------------------------------------------------


def sees_all(request: HttpRequest) -> bool:
    return not settings.RUNS_PRIVATE or request.user.is_staff


def listed(request: HttpRequest) -> RunQuerySet:
    """The runs that a list, a count or a search may tell of."""
    return Run.objects.all() if sees_all(request) else Run.objects.filter(mine(request))


def reachable(request: HttpRequest) -> RunQuerySet:
    """The runs that may be looked at by somebody who has their address.

    One statement decides, so that what is not there takes as long as what is somebody else's.
    """
    if sees_all(request):
        return Run.objects.all()
    return Run.objects.filter(mine(request) | Q(shared=True))


def may_start(request: HttpRequest) -> bool:
    """Whether a run that is started now has somebody to belong to, if it needs that."""
    if sees_all(request) or request.user.is_authenticated:
        return True
    return wants_page(request) or has_session(request)  # a browser is given one, see `own`


def refuse_nameless(request: HttpRequest) -> HttpResponse:
    where = request.build_absolute_uri(reverse("login"))
    return refuse(
        request,
        403,
        "Runs are private here, so each needs an owner: sign in at "
        f"{where}, and send the cookies of its reply.",
    )
