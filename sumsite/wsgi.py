"""What a web server runs."""

import os
import re
from io import BytesIO
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import connections

from sumsite import locks

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sumsite.settings")


class TextRequest(WSGIRequest):
    """Ignores a charset that is none of text, and a length that is no number, and reads a
    body that comes in chunks.

    "Content-Type: text/plain; charset=hex" names a codec that Python knows and text
    can't have: Django's request raises before any middleware could answer. A length it
    reads twice, and the second time it raises. Of a body in chunks, which has no length,
    it reads nothing; here as much is read as a body may have, and a byte more to see that
    there is more.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        chunks = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        if chunks and environ.get("wsgi.input_terminated"):
            try:
                body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
            except OSError:  # they are no chunks, or the client is gone
                body = b""
            environ.update({"CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body)})
        if not re.fullmatch("[0-9]+", environ.get("CONTENT_LENGTH") or "0"):
            environ["CONTENT_LENGTH"] = "0"
        super().__init__(environ)

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]
        except (LookupError, ValueError):  # ValueError: a name with a NUL in it
            self._encoding = None


class Application(WSGIHandler):
    request_class = TextRequest


django.setup(set_prefix=False)
locks.wait_briefly()
# A request asks the connection that it found open whether it still is, before its first
# statement: so the first one after a restart of the database is answered, not refused. Only
# here and not in the settings, for a queue server would ask before each of its statements.
connections.settings["default"]["CONN_HEALTH_CHECKS"] = True
application = Application()
