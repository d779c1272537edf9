"""Files as a request brings them: whole in a form, in pieces, or by the id of what came before.

Whoever uploads a file is known as whoever starts a run: by account, session or address. An upload
is for who has made it, and for those who may run a run again that uses it; to others it is not
there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Greatest
from django.forms import Form
from django.http import HttpRequest, QueryDict
from django.utils import timezone

from .. import files
from ..computation import Computation, ComputationError
from ..computations import all_computations
from ..models import Upload, UploadQuerySet
from ..models.upload import keep
from ..queue.room import FullError
from .base import parameters
from .bodies import MIB, NO_FILES, too_large
from .clients import client_of
from .limits import RETRY_AT_MOST_S, TooMuch, check_kept
from .owners import listed
from .pacing import RESUMED
from .shares import shares_of

#: Bytes that are read of a body at a time: soon there, however slow the line is.
PIECE_BYTES = 16 * 1024
#: Bytes that each upload counts at least: its rows, and what it takes to look through many.
LEAST_BYTES = 64 * 1024
#: How long ago an upload was last touched that is touched again when a form names it.
LONG_AGO = timedelta(hours=1)
#: Stands for the id of a file that is for others, or not there.
NOBODYS = "unknown"


class NotTaken(Exception):
    """A file in a form is refused; the text says why, and what to do."""

    def __init__(self, field: str, detail: str, status: int, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.field, self.status, self.headers = field, status, headers
        #: All that was given but files.
        self.data: QueryDict = QueryDict(mutable=True)


def fields_of(computation: Computation) -> list[str]:
    """The names of its form's fields that take a file."""
    return files.names_in(computation.made(computation.form))


def takes_files(request: HttpRequest, name: str = "", **kwargs: Any) -> bool:
    """Whether the form of the computation that the address names takes files, and this has some."""
    computation = all_computations().get(name)
    if computation is None or request.content_type != "multipart/form-data":
        return False
    try:
        return bool(fields_of(computation))
    except ComputationError:  # the view says so
        return False


def taken_in(request: HttpRequest, computation: Computation) -> QueryDict:
    """What the request gives for a computation's form. Files in it become uploads; they, and those
    of before, stand in it as ids. NotTaken if one may not be kept."""
    data: QueryDict = parameters(request)
    names = fields_of(computation)
    try:
        for name in names:
            sent = [each for each in request.FILES.getlist(name) if isinstance(each, UploadedFile)]
            if sent:
                data.setlist(name, [kept(request, name, each).pk for each in sent])
            elif name in data:
                data.setlist(name, known(request, data.getlist(name)))
    except NotTaken as error:
        for name in names:
            data.pop(name, None)
        error.data = data
        raise
    return data


def known(request: HttpRequest, texts: list[str]) -> list[str]:
    """The same texts, but for ids of uploads that are not for who asks. The others stay for a day
    from now at least, so that none goes while a run is being started with it."""
    ids = {text for text in texts if files.ID.fullmatch(text)}
    found = dict(mine(request).filter(pk__among=ids).values_list("pk", "touched_at")) if ids else {}
    if old := [pk for pk, at in found.items() if timezone.now() - at > LONG_AGO]:
        Upload.objects.filter(pk__among=old).touch()
    return [text if text in found else NOBODYS for text in texts if text]


def kept(request: HttpRequest, field: str, file: UploadedFile[Any]) -> Upload:
    """An upload of a file that came whole, in a form."""
    size, name, media_type = file.size or 0, file.name or "", file.content_type or ""
    if not settings.MAX_UPLOAD_MB or size > settings.MAX_UPLOAD_MB * MIB:
        raise NotTaken(field, too_large(), 413, {})
    try:
        check(request, size)
        return keep(file.file, name, media_type, size, **whose(request))
    except (TooMuch, FullError) as error:
        seconds = getattr(error, "retry_after", RETRY_AT_MOST_S)
        raise NotTaken(field, str(error), 429, {"Retry-After": str(seconds)}) from error


def say_where_none_is_taken(form: Form) -> None:
    """Say so of each field that lacks its file, where nobody can give one."""
    for name in [] if settings.MAX_UPLOAD_MB else files.names_in(form):
        if form.has_error(name, "required"):
            form.errors[name] = form.error_class([NO_FILES])


# --- whose an upload is -------------------------------------------------------------------


def whose(request: HttpRequest) -> dict[str, Any]:
    """For whom an upload counts that is made now, as columns of its row."""
    client = client_of(request)
    address = "" if request.user.is_staff else client.address
    return {"client": client.noted, "address": address, "account_id": client.account}


def mine(request: HttpRequest) -> UploadQuerySet:
    """The uploads that whoever asks may go on with, and start runs with."""
    client = client_of(request)
    names = [name for name in (client.session, client.address) if name]
    theirs = Q(account=None, client__in=names)
    if client.account:
        theirs |= Q(account=client.account)
    return Upload.objects.filter(theirs | Exists(listed(request).filter(uploads=OuterRef("pk"))))


def check(request: HttpRequest, more: int = 0) -> None:
    """TooMuch if so many bytes more are over what the client's uploads may have together, or if the
    database is full."""
    check_kept()
    for share in shares_of(request):
        most = share.of(settings.MAX_CLIENT_UPLOAD_MB * MIB)
        counted = models.Sum(Greatest("size", LEAST_BYTES), default=0)
        there = Upload.objects.filter(share.runs).aggregate(counted=counted)["counted"]
        if most and there + more > most:
            raise TooMuch(
                f"{share.whose} may keep {round(most / MIB, 2):,g} MB of uploads, and this would "
                f"make it {(there + more) / MIB:,.1f}; come back when some are removed: each "
                "goes with the last run that uses it, and after a day without one.",
                RETRY_AT_MOST_S,
            )


# --- in pieces ----------------------------------------------------------------------------


def body(request: HttpRequest) -> Iterator[bytes]:
    """The request's body as it comes. It ends where the line is cut, and after a share of
    WEB_TIMEOUT, at whose end a web process would be killed over it."""
    until = time.monotonic() + RESUMED * settings.WEB_TIMEOUT
    client = request.META.get("gunicorn.socket")
    try:
        while (left := until - time.monotonic()) > 0 or not settings.WEB_TIMEOUT:
            if client and settings.WEB_TIMEOUT:
                client.settimeout(left)
            try:
                data = request.read(PIECE_BYTES)
            except OSError:
                return
            if not data:
                return
            yield data
    finally:
        if client:
            client.settimeout(None)
