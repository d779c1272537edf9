"""Signing in and out, for people who need not be staff; how wrong passwords are held up."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.forms import Form
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.utils.decorators import method_decorator
from django.views.generic.edit import FormMixin, ProcessFormView

from .base import ReplyView
from .replies import of_two_shapes, page_or_json, refuse, wants_page


class AccountFormView(ReplyView, FormMixin, ProcessFormView):  # type: ignore[type-arg]
    """One of Django's forms about an account: a page for people, and JSON for programs."""

    http_method_names = ["get", "head", "post"]
    #: The parameters that a program has to post.
    fields: str

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if wants_page(request):
            return of_two_shapes(super().get(request, *args, **kwargs))
        get_token(request)  # sets its cookie
        detail = f"POST {self.fields}, and the CSRF cookie as X-CSRFToken."
        return of_two_shapes(JsonResponse({"detail": detail}))

    def form_valid(self, form: Form) -> HttpResponse:
        response = super().form_valid(form)
        if wants_page(self.request):
            return of_two_shapes(response)
        return of_two_shapes(JsonResponse(self.done(form)))

    def done(self, form: Any) -> dict[str, str]:
        """The answer to a program whose form was valid."""
        raise NotImplementedError

    def form_invalid(self, form: Form) -> HttpResponse:
        if wants_page(self.request):
            return of_two_shapes(super().form_invalid(form))
        errors = {name: str(messages[0]) for name, messages in form.errors.items()}
        of_all = errors.pop("__all__", None)
        detail = of_all or ": ".join(next(iter(errors.items())))
        data = {"detail": detail, **({"fields": errors} if errors else {})}
        return page_or_json(self.request, "", {}, data, status=400)


@method_decorator(login_not_required, name="dispatch")
class SignInView(AccountFormView, LoginView):
    """A form for people; a program gets in with the same POST and is told in JSON."""

    redirect_authenticated_user = True
    fields = "username and password"

    def done(self, form: AuthenticationForm) -> dict[str, str]:
        return {"signed_in": form.get_user().get_username()}


def locked_out(
    request: HttpRequest, response: HttpResponse, credentials: dict[str, Any] | None
) -> HttpResponse:
    """django-axes' answer to one wrong password too many, and to any during the pause."""
    seconds = int(settings.AXES_COOLOFF_TIME.total_seconds())
    return refuse(
        request,
        429,
        f"That was one wrong password too many; try again in {seconds // 60} minutes.",
        headers={"Retry-After": str(seconds)},
    )
