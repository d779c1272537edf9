"""How an output is sent: streamed, whole or a range of it, and not again if nothing has changed.

Whatever is sent can be resumed, since it is the same whenever it is made. So a download over a
slow line, which is broken off before gunicorn would kill its process, goes on with the rest.
"""

from __future__ import annotations

import logging
import re
import time
from typing import NamedTuple, Protocol

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import content_disposition_header

from ..models import Output
from ..models.keeping import safe_filename
from ..models.output import Kind
from .formats import FORMATS
from .made import Body
from .pacing import RESUMED, in_time

log = logging.getLogger(__name__)

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
#: For what an author has made: nothing in it runs or loads anything, wherever it is opened.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


class NotThere(Exception):
    """There is nothing to send; the text says why, and what to do."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.headers = status, headers


class Sendable(Protocol):
    """What is sent, and under what name."""

    @property
    def etag(self) -> str: ...
    @property
    def media_type(self) -> str: ...
    @property
    def filename(self) -> str: ...
    @property
    def attached(self) -> bool:
        """Whether a browser is to keep it rather than show it."""

    @property
    def sandboxed(self) -> bool:
        """Whether it is a file of an author's, in which nothing may run."""

    def body(self) -> Body:
        """NotThere for what can't be made."""


class Reply(NamedTuple):
    """What is sent of an output."""

    output: Output
    #: One of FORMATS; "file" is its own bytes.
    format: str
    media_type: str
    filename: str
    attached: bool

    @property
    def sandboxed(self) -> bool:
        return self.output.kind in (Kind.PICTURE, Kind.FILE)

    @property
    def etag(self) -> str:
        """Of a format that is made it has the name and a version: another may make it otherwise."""
        made = "" if self.format == "file" else f"-{self.format}{FORMATS[self.format].version()}"
        return f'"{self.output.digest[:40]}{made}"'

    def body(self) -> Body:
        """NotThere for what can't be made in time, or without room on the disk."""
        if self.format == "file":
            return self.output
        try:
            return FORMATS[self.format].make(self.output)
        except OSError as error:  # LateError, or no room on the disk
            log.warning("%s of %s can't be made: %s", self.format, self.output, error)
            detail = f"There is no time or room to make {self.format} of this; take jsonl or file."
            raise NotThere(503, detail, {"Retry-After": "3600"}) from None
        except LookupError as error:
            raise NotThere(404, f"It is not there: {error}.") from error


def sent(request: HttpRequest, reply: Sendable) -> HttpResponseBase:
    """The whole, a range of it, or that nothing has changed; NotThere for a range outside of it."""
    began, etag = time.monotonic(), reply.etag
    response: HttpResponseBase | None = get_conditional_response(request, etag=etag)
    if response is None:
        response = in_part(request, reply.body(), etag, began)
        response["Content-Type"] = reply.media_type
        response["Content-Disposition"] = disposition(reply.filename, reply.attached)
        if reply.sandboxed:
            response["Content-Security-Policy"] = SANDBOX
    response["ETag"] = etag
    response["Cache-Control"] = "private, no-cache, no-transform"
    patch_vary_headers(response, ["Cookie"])
    return response


def in_part(request: HttpRequest, body: Body, etag: str, began: float) -> HttpResponseBase:
    """All of it, or the range that is asked for; within the time of a request that began then."""
    size = body.size
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(size)}
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    found = range_of(request.headers.get("Range", ""), size)
    if found is None or request.headers.get("If-Range", etag) != etag:
        return StreamingHttpResponse(in_time(body.read(0, size), RESUMED, began), headers=headers)
    start, stop = found
    if start >= stop:
        detail = f"This has {size:,} bytes; ask for some of these."
        raise NotThere(416, detail, {"Content-Range": f"bytes */{size}"})
    headers["Content-Length"] = str(stop - start)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    pieces = in_time(body.read(start, stop), RESUMED, began)
    return StreamingHttpResponse(pieces, status=206, headers=headers)


def range_of(text: str, size: int) -> tuple[int, int] | None:
    """From where to where a client wants it, which may be nothing of it; None for all, and for
    several ranges or what is none, as the standard has it."""
    asked = RANGE.fullmatch(text.replace(" ", ""))
    if asked is None or not (asked[1] or asked[2]):
        return None
    if not asked[1]:  # so many of the last
        return max(0, size - int(asked[2])), size
    start, stop = int(asked[1]), int(asked[2]) + 1 if asked[2] else size
    return (start, min(size, stop)) if not asked[2] or start < stop else None


def disposition(filename: str, attached: bool) -> str:
    """A file's name for a browser; with umlauts as RFC 5987 writes them."""
    return content_disposition_header(attached, safe_filename(filename)) or ""
