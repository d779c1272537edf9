"""Bounds the memory that a request can take by its body: a longer one gets 413, unread.

Files have no part in that: what takes one reads it in pieces, or has it put aside on the disk.
A form in another charset than UTF-8 gets 415 before anything reads it.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from tempfile import SpooledTemporaryFile
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.multipartparser import MultiPartParserError
from django.urls import Resolver404, resolve

from .replies import bad_request, refuse

MIB = 1024 * 1024
#: The types of body that Django reads a form of.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
NO_FILES = "This site takes no files (MAX_UPLOAD_MB is 0)."
NO_UTF_8 = "A form is read in UTF-8 here; send it so, without another charset in Content-Type."
#: Charsets whose bytes mean the same in UTF-8, by their names in Python.
LIKE_UTF_8 = ("utf-8", "ascii")
NO_FORM = "This body is no form; send it as one: curl -d name=value, or -F name=value."


class BodyMiddleware:
    """Answers 413 where the body is said to be over MAX_BODY_KB, or, where a file is taken, over
    MAX_UPLOAD_MB with it.

    Django reads no more of a body than was said. A body in chunks says no length: sumsite.wsgi
    has read as much of it as MAX_BODY_KB allows, and a byte more if there was one. The rest is
    unread, so it gets 413 where a file is taken, too.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        said = str(request.META.get("CONTENT_LENGTH") or "0").lstrip("0") or "0"
        # Python refuses to make a number of thousands of digits.
        length = int(said) if len(said) <= 15 else 10**15
        if request.encoding is not None:  # the body's own: Django would read the address in it
            request.encoding = "utf-8"
        if length and is_form_in_another_charset(request):
            return refuse(request, 415, NO_UTF_8)
        if length > settings.MAX_BODY_KB * 1024:
            if not asks_for_files(request):
                say = f"This is too long: a request's body may have {settings.MAX_BODY_KB:,} KB."
                return refuse(request, 413, say)
            if not settings.MAX_UPLOAD_MB:
                return refuse(request, 413, NO_FILES)
            if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
                return refuse(request, 413, too_long_in_chunks())
            if length > settings.MAX_UPLOAD_MB * MIB + settings.MAX_BODY_KB * 1024:
                return refuse(request, 413, too_large())
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answers 400 where a view finds that the form is cut off. Django would log a traceback."""
        return bad_request(request, error) if isinstance(error, MultiPartParserError) else None

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Answers 415 to a body that is no form where a form is read: it would count as one with
        everything left out."""
        kind = getattr(view, "view_class", None)
        if request.method != "POST" or "post" not in getattr(kind, "http_method_names", ()):
            return None
        said = str(request.META.get("CONTENT_LENGTH") or "").lstrip("0")
        unread = not said or not getattr(kind, "reads_form", False)
        return None if unread or request.content_type in FORMS else refuse(request, 415, NO_FORM)


def is_form_in_another_charset(request: HttpRequest) -> bool:
    """Whether Django would raise whenever somebody reads the form, or make other texts of it."""
    charset = (request.content_params or {}).get("charset", "")
    if not charset or request.method != "POST" or request.content_type not in FORMS:
        return False
    try:
        return codecs.lookup(charset).name not in LIKE_UTF_8
    except (LookupError, ValueError):  # ValueError: a NUL
        return True


def too_large() -> str:
    if not settings.MAX_UPLOAD_MB:
        return NO_FILES
    return (
        f"This is too long: a file may have {settings.MAX_UPLOAD_MB:g} MB here (MAX_UPLOAD_MB); "
        "give a smaller one."
    )


def too_long_in_chunks() -> str:
    return (
        f"This is too long: a body in chunks may have {settings.MAX_BODY_KB:,} KB, and nothing of "
        "this one is kept; send its length with it (Content-Length)."
    )


def asks_for_files(request: HttpRequest) -> bool:
    """Whether its view says that there may be some, by a function `takes_files` of the request and
    what its address has. A site without uploads asks, too, to refuse them in words."""
    try:
        match = request.resolver_match or resolve(request.path_info)
    except Resolver404:
        return False
    ask = getattr(getattr(match.func, "view_class", None), "takes_files", None)
    return bool(ask and ask(request, **match.kwargs))


class PutAside(FileUploadHandler):
    """Puts the files of a form aside, small ones in memory and large ones on the disk, in a file
    without a name that goes with the request, or with a process that is killed.

    Where nothing takes a file it leaves each out. Without any handler Django's parser would read
    2 GB at a time.
    """

    chunk_size = 2**16

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.request is None or not asks_for_files(self.request):
            raise SkipFile
        self.file = SpooledTemporaryFile(max_size=MIB)  # noqa: SIM115 - the request closes it

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.file.write(raw_data)

    def upload_interrupted(self) -> None:
        if hasattr(self, "file"):
            self.file.close()

    def file_complete(self, file_size: int) -> UploadedFile[Any]:
        self.file.seek(0)
        return UploadedFile(self.file, self.file_name, self.content_type, file_size)
