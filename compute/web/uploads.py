"""Files uploaded in parts, each a request of a few seconds, and taken from a run's page.

`POST compute/<name>/upload/` with `name` and `size` begins one, `PATCH` of the address that this
gives appends a part, `HEAD` and `GET` tell how much there is. A part that is cut off is kept as far
as it has come, so whoever goes on asks first from where. The header names are those of the draft
"Resumable Uploads for HTTP".
"""

from __future__ import annotations

import re
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.middleware.csrf import get_token
from django.urls import reverse

from ..computations import all_computations
from ..files import ID
from ..models import Output, Upload
from ..models.output import Kind
from ..models.upload import begin
from ..queue import appending
from ..queue.contents import Content
from ..queue.text import number_of
from .arriving import body, check, fields_of, mine, whose
from .base import ReplyView, find_run, parameters
from .bodies import MIB, NO_FILES, too_large
from .clients import OWNER
from .limits import TooMuch, check_kept
from .owners import renew
from .replies import of_two_shapes, refuse
from .sending import NotThere, Reply, sent

#: A number of bytes.
BYTES = re.compile("[0-9]{1,15}", re.ASCII)
#: One that is longer than any file may be.
TOO_MANY = re.compile("0*[1-9][0-9]{15,}", re.ASCII)


class UploadsView(ReplyView):
    """Begins an upload of so many bytes for a computation that takes files."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        computation = all_computations().get(name)
        if computation is None or not fields_of(computation):
            return refuse(request, 404, "No computation of this name takes a file.")
        if not settings.MAX_UPLOAD_MB:
            return refuse(request, 404, NO_FILES)
        asked = parameters(request)
        size = asked.get("size", "")
        if TOO_MANY.fullmatch(size):
            return refuse(request, 413, too_large())
        if not BYTES.fullmatch(size):
            return refuse(request, 400, "Give the size of the file in bytes as `size`.")
        if int(size) > settings.MAX_UPLOAD_MB * MIB:
            return refuse(request, 413, too_large())
        headers = remembered(request) if request.headers.get("HX-Request") else {}
        try:
            with transaction.atomic():
                upload = begin(
                    asked.get("name", ""), int(size), asked.get("type", ""), **whose(request)
                )
                check(request)
        except TooMuch as error:
            return refuse_too_much(request, error)
        return told(request, name, upload, upload.content, status=201, headers=headers)


class UploadView(ReplyView):
    """Tells how much there is of an upload, and appends to it."""

    http_method_names = ["get", "head", "patch"]

    @staticmethod
    def takes_files(request: HttpRequest, **kwargs: str) -> bool:
        return True

    def get(self, request: HttpRequest, name: str, upload: str) -> HttpResponse:
        found = find(request, upload)
        return told(request, name, *found) if found else refuse_unknown(request)

    def patch(self, request: HttpRequest, name: str, upload: str) -> HttpResponse:
        found = find(request, upload)
        if found is None:
            return refuse_unknown(request)
        _, content = found
        said = request.headers.get("Upload-Offset", "")
        if not BYTES.fullmatch(said):
            say = "Say in the header Upload-Offset at which byte this part begins."
            return refuse(request, 400, say)
        if int(said) != content.size:
            return refuse_offset(request, content.size)
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        try:
            return self.append(request, name, *found, length)
        except TooMuch as error:
            return refuse_too_much(request, error)
        except (LookupError, Content.DoesNotExist):
            return refuse_unknown(request)

    def append(
        self, request: HttpRequest, name: str, upload: Upload, content: Content, length: int
    ) -> HttpResponse:
        """Take in a part of so many bytes that begins where the content ends."""
        began = content.size
        if length > upload.size - began:
            lacks = number_of(upload.size - began, "byte")
            say = f"This upload lacks {lacks}, and the part has {length:,}."
            if upload.size == began:
                say = "This upload is complete, and takes no more bytes."
            return refuse(request, 413, say)
        check_kept()
        Upload.objects.filter(pk=upload.pk).touch()
        try:
            appending.append(content, body(request))
        except appending.ConflictError:
            return refuse_offset(request, Content.objects.get(pk=content.pk).size)
        complete_if_whole(upload, content)
        if content.size - began < length:
            say = (
                f"Of this part {content.size - began:,} bytes came in time, and are kept; go on at "
                f"byte {content.size}, in smaller parts."
            )
            return refuse(request, 408, say, headers=offset(content.size))
        return told(request, name, upload, content)


class FileView(ReplyView):
    """A file that a run was given, for those who may look at the run."""

    def get(self, request: HttpRequest, name: str) -> HttpResponseBase:
        run = find_run(request)
        if isinstance(run, HttpResponse):
            return run
        asked = parameters(request).get("file", "")
        upload = run.uploads.filter(pk=asked).first() if ID.fullmatch(asked) else None
        content = Content.objects.filter(holder=upload.pk).first() if upload else None
        if upload is None or content is None:
            return refuse(request, 404, "This run was given no such file, or it is removed.")
        output = Output(kind=Kind.FILE, content_id=content.pk, size=upload.size)
        try:
            return sent(request, Reply(output, "file", upload.media_type, upload.name, True))
        except NotThere as no:
            return refuse(request, no.status, str(no), headers=no.headers)
        except Content.DoesNotExist:
            return refuse(request, 404, "This file has just been removed, with its run.")


def find(request: HttpRequest, pk: str) -> tuple[Upload, Content] | None:
    """An upload that is for who asks, and what there is of it."""
    upload = mine(request).filter(pk=pk).first()
    content = Content.objects.filter(holder=pk).first() if upload else None
    if upload is None or content is None:
        return None
    complete_if_whole(upload, content)
    return upload, content


def remembered(request: HttpRequest) -> dict[str, str]:
    """Give a page that has no session one, so that a phone goes on from another network, too; the
    token that its requests need from then on, as a header."""
    if not request.user.is_authenticated:
        request.session.setdefault(OWNER, uuid4().hex)
        renew(request)
    return {"X-CSRFToken": get_token(request)}


def complete_if_whole(upload: Upload, content: Content) -> None:
    """Complete a content that has all its bytes, also where who wrote the last died over that."""
    if content.size == upload.size and not content.digest:
        appending.complete(content)


def told(
    request: HttpRequest,
    name: str,
    upload: Upload,
    content: Content,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """How much there is of it, as JSON and in headers."""
    at = request.build_absolute_uri(reverse("upload", args=[name, upload.pk]))
    data = {
        "upload": upload.pk,
        "name": upload.name,
        "size": upload.size,
        "offset": content.size,
        "complete": bool(content.digest),
        "at": at,
    }
    headers = {**(headers or {}), **offset(content.size), "Upload-Length": str(upload.size)}
    if status == 201:
        headers["Location"] = at
    return of_two_shapes(JsonResponse(data, status=status, headers=headers))


def offset(size: int) -> dict[str, str]:
    return {"Upload-Offset": str(size)}


def refuse_offset(request: HttpRequest, size: int) -> HttpResponse:
    say = f"This upload has {size:,} bytes; go on at byte {size}."
    return refuse(request, 409, say, headers=offset(size))


def refuse_too_much(request: HttpRequest, error: TooMuch) -> HttpResponse:
    return refuse(request, 429, str(error), headers={"Retry-After": str(error.retry_after)})


def refuse_unknown(request: HttpRequest) -> HttpResponse:
    return refuse(request, 404, "No upload of yours has this id, or it is removed; begin another.")
