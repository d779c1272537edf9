"""Rules that hold for every request."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.core.exceptions import ValidationError
from django.db import (
    DatabaseError,
    DataError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponsePermanentRedirect,
)
from django.http.multipartparser import MultiPartParserError
from django.middleware import common
from django.middleware.csrf import CsrfViewMiddleware

from ..queue import schema
from ..queue.away import is_away
from .replies import ask_to_sign_in, bad_request, refuse

log = logging.getLogger(__name__)

#: A platform asks these; it has no time to wait, and may not know the site's name.
PROBES = ("/healthz", "/readyz")


class CommonMiddleware(common.CommonMiddleware):
    """Django's, which refuses a name that the site does not answer to, but lets probes pass.

    A platform, or a container, asks by the machine's own address.
    """

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        return None if request.path in PROBES else super().process_request(request)


class SchemaMiddleware:
    """Answers 503 with Retry-After until the database has the tables that this code needs.

    Once it has, this process looks no more, unless a request lacks a table or a column: a backup
    of an older version may have been restored meanwhile.
    """

    current = waiting = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not self.current and request.path not in PROBES:
            try:
                response = self.refuse_unless_current(request)
            except DatabaseError:  # code that needs it will say so
                response = None
            if response:
                return response
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Called before DatabaseAwayMiddleware's, which would say that the database is away."""
        if not is_of_a_statement(error):
            return None
        try:
            return self.refuse_unless_current(request)
        except DatabaseError:
            return None

    def refuse_unless_current(self, request: HttpRequest) -> HttpResponse | None:
        cls = type(self)
        names = schema.lacking()
        if not names:
            if cls.waiting:
                log.info("the database has all migrations, serving")
            cls.current, cls.waiting = True, False
            return None
        if not cls.waiting:
            log.warning("answering 503: the database lacks %s", ", ".join(names))
        cls.current, cls.waiting = False, True
        say = "The site is being brought up to date; ask again in a few seconds."
        if settings.DEBUG:
            say = schema.what_to_do(names)
        return refuse(request, 503, say, headers={"Retry-After": "5"})


def is_of_a_statement(error: Exception) -> bool:
    """Whether the database answered, and could not do what it was told: no such table."""
    if isinstance(error, OperationalError):
        return getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return isinstance(error, ProgrammingError)


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
        if not is_away(error) or is_of_a_statement(error):
            return None
        log.error("the database does not answer: %s", error)
        connection.close()  # the next request tries a fresh one
        return refuse(
            request,
            503,
            "The database does not answer at the moment; ask again in a few seconds.",
            headers={"Retry-After": "5"},
        )


class OddValuesMiddleware:
    """Answers 400 where Django's admin would fail on a value that no column can have.

    A NUL in a filter or a key (Postgres), a number of 30 digits (SQLite), a selected row whose
    key is no number. Its forms refuse such values; its lists compare them with the rows'.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        match = request.resolver_match
        if match is None or match.namespace != "admin":
            return None
        kinds: tuple[type[Exception], ...] = (DataError, OverflowError)
        if request.GET or ACTION_CHECKBOX_NAME in request.POST:
            kinds = (*kinds, ValueError, ValidationError)
        if not isinstance(error, kinds):
            return None
        log.warning("the admin can't look for this: %s", error, exc_info=error)
        return refuse(request, 400, "The address or the form has a value that no row can have.")


class SessionCsrfMiddleware(CsrfViewMiddleware):
    """Asks a CSRF token of a POST or PATCH that carries a session cookie, and of no other.

    A forged request does harm by what the victim's browser adds to it, and the session
    is all that is added here. So curl needs no token, and a signed-in person is safe.
    Other methods change nothing: no view takes them, and the reply says so.
    (The admin's login, which comes before a session, is protected by Django itself.)
    """

    def process_view(  # type: ignore[override]
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        changes = request.method in ("POST", "PATCH")
        if not changes or settings.SESSION_COOKIE_NAME not in request.COOKIES:
            return None
        try:
            return super().process_view(request, view, args, kwargs)
        except MultiPartParserError as error:  # the form that has the token is cut off
            return bad_request(request, error)


class SignInMiddleware(LoginRequiredMiddleware):
    """With REQUIRE_LOGIN lets in only people who signed in, but for views that say otherwise."""

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
