"""What holds for every request."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseForbidden,
    HttpResponsePermanentRedirect,
)
from django.middleware import common
from django.middleware.csrf import CsrfViewMiddleware

from .queue import schema
from .replies import ask_to_sign_in, refuse

log = logging.getLogger(__name__)

#: What asks these has no time to wait, and may know the machine by no name of the site's.
PROBES = ("/healthz", "/readyz")


class CommonMiddleware(common.CommonMiddleware):
    """Django's, which refuses a name that the site does not answer to; but no probe.

    A platform, or a container, asks by the machine's own address.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path in PROBES else super().process_request(request)


class SchemaMiddleware:
    """Answers 503 with Retry-After until the database has the tables that this code needs.

    Once it has, this process looks no more.
    """

    current = waiting = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        cls = type(self)
        if not cls.current and request.path not in PROBES:
            try:
                names = schema.lacking()
            except DatabaseError:  # whoever needs it will say so
                return self.get_response(request)
            if names:
                if not cls.waiting:
                    log.warning("answering 503: the database lacks %s", ", ".join(names))
                cls.waiting = True
                return refuse(
                    request,
                    503,
                    "The site is being brought up to date; ask again in a few seconds.",
                    headers={"Retry-After": "5"},
                )
            if cls.waiting:
                log.info("the database has all migrations, serving")
            cls.current = True
        return self.get_response(request)


class HeadersMiddleware:
    """Puts SECURITY_HEADERS on every reply, whoever made it: a page, a file, an error."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        for name, value in settings.SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class DatabaseAwayMiddleware:
    """Answers 503 with Retry-After while the database does not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, OperationalError | InterfaceError):
            return None
        log.error("the database does not answer: %s", error)
        connection.close()  # the next request tries a fresh one
        return refuse(
            request,
            503,
            "The database does not answer at the moment; ask again in a few seconds.",
            headers={"Retry-After": "5"},
        )


class SessionCsrfMiddleware(CsrfViewMiddleware):
    """Asks a CSRF token of a POST that carries a session cookie, and of no other.

    A forged request does harm by what the victim's browser adds to it, and the session
    is all that is added here. So curl needs no token, and a signed-in person is safe.
    Other methods change nothing: no view takes them, which is what they are told.
    (The admin's login, which comes before a session, is protected by Django itself.)
    """

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseForbidden | None:
        if request.method != "POST" or settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        return super().process_view(request, view, args, kwargs)


class SignInMiddleware(LoginRequiredMiddleware):
    """With REQUIRE_LOGIN lets in only who has signed in, but for views that say otherwise."""

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., Any], view_args: Any, view_kwargs: Any
    ) -> HttpResponseBase | None:
        if not settings.REQUIRE_LOGIN:
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)

    def handle_no_permission(  # type: ignore[override]
        self, request: HttpRequest, view_func: Callable[..., Any]
    ) -> HttpResponseBase:
        return ask_to_sign_in(request)
