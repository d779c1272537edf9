"""Signing in and out, for people who need not be staff; how wrong passwords are held up."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token

from .replies import of_two_shapes, refuse, wants_page


class SignInView(LoginView):
    """A form for people; a program gets in with the same POST and is told in JSON."""

    redirect_authenticated_user = True
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if wants_page(request):
            return of_two_shapes(super().get(request, *args, **kwargs))
        get_token(request)  # sets its cookie
        return of_two_shapes(
            JsonResponse(
                {"detail": "POST username and password, and the CSRF cookie as X-CSRFToken."}
            )
        )

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        if wants_page(self.request):
            return response
        return of_two_shapes(JsonResponse({"signed_in": form.get_user().get_username()}))

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        if wants_page(self.request):
            return super().form_invalid(form)
        return refuse(self.request, 400, str(next(iter(form.errors.values()))[0]))


def locked_out(
    request: HttpRequest, response: HttpResponse, credentials: dict[str, Any] | None
) -> HttpResponse:
    """What django-axes answers to one wrong password too many, and to any while it waits."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    return refuse(
        request,
        429,
        f"That was one wrong password too many; try again in {seconds // 60} minutes.",
        headers={"Retry-After": str(seconds)},
    )
