"""Refuses requests that another site causes, or a browser makes on its own.

A start by GET is made to be typed into an address bar, and a link to it may be followed. But a
page elsewhere could name it as a picture, and a browser could fetch it before anybody has
decided to go there. Browsers say which it is (Sec-Fetch-…, by https and to this machine);
programs say nothing, and are let through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from .replies import refuse

#: Where browsers say that they fetch ahead: the standard's, and older ones of each maker.
AHEAD = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
#: A document inside another.
FRAMES = {"iframe", "frame", "object", "embed", "fencedframe"}


class OriginMiddleware(CsrfViewMiddleware):
    """403 for views that `starts_work` by GET, and for every POST and PATCH; see this module."""

    def process_request(self, request: HttpRequest) -> None:
        """No token is looked for here; Django's class knows CSRF_TRUSTED_ORIGINS."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        return response

    def process_view(  # type: ignore[override]
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        starts = getattr(getattr(view, "view_class", None), "starts_work", False)
        if request.method in ("POST", "PATCH") or (request.method == "GET" and starts):
            if is_ahead(request):
                return refuse(request, 403, "Nothing is started ahead of time; open the address.")
            if is_foreign(request) and not self.is_trusted(request):
                return refuse(
                    request,
                    403,
                    "Another site asked for this in the background; open the address yourself.",
                )
        return None

    def is_trusted(self, request: HttpRequest) -> bool:
        return "Origin" in request.headers and self._origin_verified(request)  # type: ignore[attr-defined]


def is_ahead(request: HttpRequest) -> bool:
    said = " ".join(request.headers.get(name, "") for name in AHEAD).lower()
    return any(word in said for word in ("prefetch", "prerender", "preview"))


def is_foreign(request: HttpRequest) -> bool:
    """Whether another site or a frame caused it; following a link to it is one's own doing."""
    site, mode, into = (
        request.headers.get(f"Sec-Fetch-{name}", "").strip().lower()
        for name in ("Site", "Mode", "Dest")
    )
    if into in FRAMES:
        return True
    if site in ("", "none", "same-origin"):
        return False
    return not (request.method == "GET" and mode == "navigate" and into == "document")
