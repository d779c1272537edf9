"""Bounds the memory that a request can take by its body: what is longer gets 413, unread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from django.conf import settings
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest, HttpResponseBase

from .replies import refuse


class BodyMiddleware:
    """Answers 413 where the body is said to be over MAX_BODY_KB.

    Django reads no more of a body than was said. (Of one without a length, which comes in
    chunks, sumsite.wsgi has read as much as may be, and a byte more if there was one.)
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        length = str(request.META.get("CONTENT_LENGTH") or "0").lstrip("0") or "0"
        # Python refuses to make a number of thousands of digits.
        if len(length) > 15 or int(length) > settings.MAX_BODY_KB * 1024:
            return refuse(
                request,
                413,
                f"This is too long: a request's body may have {settings.MAX_BODY_KB:,} KB.",
            )
        return self.get_response(request)


class NoFiles(FileUploadHandler):
    """Leaves out every file of a form, for no form of the site's takes one.

    Without any handler Django's parser would read 2 GB at a time.
    """

    chunk_size = 2**16

    def new_file(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        """Never asked: each file is skipped."""

    def file_complete(self, file_size: int) -> None:
        """Nor this."""
