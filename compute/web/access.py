"""The web server's line for each request, with the address that the limits go by."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from gunicorn.glogging import Logger

#: Address, method, path without its query, status, bytes, seconds and agent.
FORMAT = '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(L)s "%(a)s"'


class AccessLogger(Logger):
    """gunicorn's logger, which by itself would name the proxy that stands before it."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: Any) -> Any:
        from compute.web.clients import address_of  # the site's settings are read by then

        found = super().atoms(resp, req, environ, request_time)
        request = HttpRequest()
        request.META = environ
        found["h"] = address_of(request) or "-"
        # As it was sent: with percent signs, and so with no character that a line can't have.
        found["U"] = environ.get("RAW_URI", "").partition("?")[0] or found["U"]
        return found
