"""The application that a web server runs."""

import os
import re
from io import BytesIO
from typing import Any

import django
from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import connections
from django.http.multipartparser import MultiPartParserError

from sumsite import locks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sumsite.settings")

#: Bytes that are read at a time of a body in chunks.
PIECE_BYTES = 2**16


class CutOffError(MultiPartParserError):
    """A form has not come whole. Django answers such errors with 400, and finds no field in the
    form if it is asked once more."""


def joined(chunks: Any, most: int) -> tuple[bytes, bool]:
    """So many bytes of a body in chunks at most, and whether its chunks came to their end, or to
    so many bytes."""
    body = bytearray()
    try:
        while len(body) < most:
            if not (piece := chunks.read(min(PIECE_BYTES, most - len(body)))):
                break
            body += piece
    except OSError:  # they are no chunks, or the client is gone
        return bytes(body), False
    return bytes(body), True


class Ending:
    """A multipart body as it is read: CutOffError at its end if the last boundary has not come."""

    def __init__(self, body: Any, boundary: str) -> None:
        self.body = body
        self.last = f"--{boundary}--".encode(errors="replace")
        self.seen = b""

    def read(self, size: int, /) -> bytes:
        data: bytes = self.body.read(size)
        if self.last not in self.seen:
            # A piece that could be the beginning of it stays.
            self.seen = self.seen[-len(self.last) :] + data
            if not data and self.last not in self.seen:
                raise CutOffError
        return data


class TextRequest(WSGIRequest):
    """Ignores a type of a body that can't be read, a charset that is none of text, and a length
    that is no number; reads a body that comes in chunks, and takes no form that is not whole.

    "Content-Type: text/plain; charset=hex" names a codec that Python knows and text
    can't have: Django's request raises before any middleware could answer. It reads a
    length twice, and raises the second time. It reads nothing of a body in chunks, which has
    no length; here as much is read as a body may have, and a byte more to see that there is
    more. It takes a form that is cut off for a shorter one.
    """

    came = 0

    def __init__(self, environ: dict[str, Any]) -> None:
        chunks = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        if chunks and environ.get("wsgi.input_terminated"):
            body, whole = joined(environ["wsgi.input"], settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            # One that is cut off gets a length that it does not come to, as others have.
            length = len(body) if whole else len(body) + 1
            environ.update({"CONTENT_LENGTH": str(length), "wsgi.input": BytesIO(body)})
        if not re.fullmatch("[0-9]+", environ.get("CONTENT_LENGTH") or "0"):
            environ["CONTENT_LENGTH"] = "0"
        super().__init__(environ)

    def read(self, size: int = -1, /) -> bytes:  # type: ignore[override]
        """Of a POST all that its length says: CutOffError where the connection ends before that.

        (A PATCH appends to a file what has come, and says itself how far that is.)
        """
        if self.method != "POST":
            return super().read(size)
        try:
            data = super().read(size)
        except OSError as error:  # the client is gone
            raise CutOffError from error
        self.came += len(data)
        if self.came < int(self.META.get("CONTENT_LENGTH") or 0) and (size < 0 or len(data) < size):
            raise CutOffError
        return data

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:
        """The form in a multipart body: CutOffError if that does not come to its last boundary."""
        ending: Any = Ending(post_data, (self.content_params or {}).get("boundary", ""))
        try:
            return super().parse_file_upload(META, ending)
        except CutOffError:
            for handler in self.upload_handlers:  # Django leaves the file open that is not whole
                handler.upload_interrupted()
            raise

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        self.content_type, self.content_params = "", {}
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]
        except (BadRequest, LookupError, ValueError):
            # Of a charset that is none, the type is read by then. Of another parameter in an
            # unknown charset, or of a very long one, nothing is (BadRequest in Django 6.1).
            self._encoding = None


class Application(WSGIHandler):
    request_class = TextRequest


django.setup(set_prefix=False)
locks.wait_briefly()
# Before its first statement a request checks that a connection which was open still is: so the
# first request after a restart of the database is answered, not refused. Only here and not in
# the settings, for a queue server would check before each of its statements.
connections.settings["default"]["CONN_HEALTH_CHECKS"] = True
application = Application()
