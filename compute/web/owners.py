"""Owners of runs: who may look at one, and who may cancel, retry, repeat and share it.

A run has one owner: the account that was signed in when it was started, on whatever device it
signs in later; without one the session that started it, whose runs an account takes over when
it signs in there; or nobody, if a program that has neither started it. Staff may do
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

from ..models import Run, RunQuerySet, Sweep, Upload, estimates
from ..models.estimates import Cost
from ..models.upload import use
from .clients import OWNER, client_of
from .replies import refuse, wants_page


class FileGone(Exception):
    """A file that a run was to be started with has been removed meanwhile."""

    def __str__(self) -> str:
        return "A file has been removed meanwhile, with the last run that had it; upload it again."


def own(request: HttpRequest, run: Run | Sweep, cost: Cost | None = None) -> None:
    """Note the run's owner; a browser without a session gets one. FileGone if a file is not there.

    Also the client that it counts for (see limits.py), and what it is expected to take.
    """
    run.account_id = request.user.pk  # first: a session whose password was changed ends here
    if wants_page(request) or has_session(request):
        owner = request.session.setdefault(OWNER, uuid4().hex)
        if run.account_id is None:
            run.owner = owner
            renew(request)
    run.save(update_fields=["owner", "account", "given"])
    if isinstance(run, Run) and not use(run):
        raise FileGone
    count_for(request, run)
    if cost and isinstance(run, Run):
        estimates.note(run, cost)


def count_for(request: HttpRequest, run: Run | Sweep) -> None:
    """Have the run count from now on for this client, which starts it or goes on with it.

    No address is noted for staff: others at it are not held to what staff has started.
    """
    client = client_of(request)
    run.client = client.noted
    run.address = "" if request.user.is_staff else client.address
    run.save(update_fields=["client", "address"])
    if isinstance(run, Run):
        run.share()


def renew(request: HttpRequest) -> None:
    """Let the session end two weeks after the last day on which it has started something.

    Written once a day: a write each time would collide with signing in or out meanwhile.
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
        Upload.objects.filter(client=owner, account=None).update(account=user)


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
    if sees_all(request):
        return Run.objects.all()
    # Found first, by whose they are: SQLite may think that a state tells more.
    return Run.objects.filter(pk__in=Run.objects.filter(mine(request)).order_by().values("pk"))


def reachable(request: HttpRequest) -> RunQuerySet:
    """The runs that somebody who has their address may look at.

    One statement decides, so that a run that is not there takes as long as somebody else's.
    """
    if sees_all(request):
        return Run.objects.all()
    return Run.objects.filter(mine(request) | Q(shared=True))


def may_start(request: HttpRequest) -> bool:
    """Whether a run that is started now would have an owner, if it needs one."""
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
