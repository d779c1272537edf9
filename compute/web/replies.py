"""Replies in the shape that the client asked for: a page, or JSON."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRefresh

#: The heading of a refusal's page.
HEADINGS = {
    403: "This is not for you",
    404: "There is nothing here",
    413: "This is too long",
    429: "Too many at a time",
    500: "A mistake of ours",
    503: "One moment, please",
}


def wants_page(request: HttpRequest) -> bool:
    """True for a browser. curl's */*, no Accept at all or an odd one get JSON."""
    return request.get_preferred_type(["application/json", "text/html"]) == "text/html"


def page_or_json(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    data: dict[str, Any],
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    response: HttpResponse
    if wants_page(request):
        # JSON's "\ud800" is a lone surrogate only when its field has read it.
        page = render_to_string(template, context, request).encode("utf-8", "replace")
        response = HttpResponse(page, status=status)
    else:
        response = JsonResponse(data, status=status)
    for name, value in (headers or {}).items():
        response[name] = value
    return of_two_shapes(response)


def of_two_shapes(response: HttpResponse) -> HttpResponse:
    """Keep caches from giving one client's reply, or an old one, to another."""
    patch_vary_headers(response, ["Accept", "HX-Request"])
    response["Cache-Control"] = "no-store"
    return response


def refuse(
    request: HttpRequest,
    status: int,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    template: str = "refusal.html",
    context: dict[str, Any] | None = None,
    fields: dict[str, str] | None = None,
) -> HttpResponse:
    """Say no, in one sentence that says what to do, and for a form in one for each field."""
    return page_or_json(
        request,
        template,
        {
            "detail": detail,
            "status": status,
            "heading": HEADINGS.get(status, "That did not work"),
            **(context or {}),
        },
        {"detail": detail, **({"fields": fields} if fields else {})},
        status=status,
        headers=headers,
    )


def ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    """Send a browser to sign in first; tell a program where to."""
    login = resolve_url(settings.LOGIN_URL)
    if not wants_page(request):
        where = request.build_absolute_uri(login)
        return refuse(request, 403, f"Sign in at {where}, and send the cookies of its reply.")
    if request.headers.get("HX-Request"):  # a part of a page that has been open for long
        return HttpResponseClientRefresh()
    # A POST can't be repeated from there.
    again = request.method in ("GET", "HEAD")
    return redirect_to_login(request.get_full_path() if again else "/", login)


# --- Django's own refusals ---------------------------------------------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, MultiPartParserError):  # sumsite.wsgi raises it of any form
        say = "This request can't be read, or only a part has come; send it again, whole."
        return refuse(request, 400, say)
    return refuse(request, 400, "This request can't be read; check its address and body.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, 403, "This is not for you; sign in as somebody who may see it.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return refuse(
        request,
        403,
        "A POST with a session cookie needs a CSRF token; load the page again and repeat it.",
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refuse(request, 404, "There is nothing at this address; the site begins at /.")


def server_error(request: HttpRequest) -> HttpResponse:
    return refuse(request, 500, "The site made a mistake, which is logged; please try again.")
