"""Changing one's password, and getting a new one by mail when it is forgotten.

The old password is asked for as at the sign-in: wrong ones count there, and the pause holds
here, so that a session somebody left open is no place to guess. A forgotten one is replaced by
a link in a mail, which a task sends: the reply is the same, and as quick, whether the address
is an account's or not. A mail's link lets its reader choose a password and no more: it signs
nobody in, and ends no pause.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import PasswordChangeForm, PasswordResetForm, SetPasswordForm
from django.contrib.auth.models import AbstractUser
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import (
    PasswordChangeView,
    PasswordResetConfirmView,
)
from django.forms import Form, ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.decorators import method_decorator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.generic import FormView
from django_q.tasks import async_task

from ..models import MailAsked
from .accounts import AccountFormView
from .base import ReplyView
from .clients import network_of
from .replies import ask_to_sign_in, page_or_json, refuse

#: How many mails an hour somebody at one address may ask for, and one mailbox gets.
ASKED_AN_HOUR, SENT_AN_HOUR = 5, 3
HOUR = timedelta(hours=1)
ON_ITS_WAY = "If an account has this address, a mail with a link is on its way to it."


# --- change ----------------------------------------------------------------------------


class OldPasswordForm(PasswordChangeForm):
    """Django's, but a wrong old password counts as one at the sign-in does."""

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        self.request = request
        super().__init__(*args, **kwargs)

    @sensitive_variables("given")
    def clean_old_password(self) -> str:
        given = str(self.cleaned_data["old_password"])
        if not authenticate(self.request, username=self.user.get_username(), password=given):
            raise ValidationError(self.error_messages["password_incorrect"])
        return given


class PasswordView(AccountFormView, PasswordChangeView):
    """Gives the account that is signed in a new password, which ends its other sessions."""

    form_class = OldPasswordForm
    template_name = "registration/password.html"
    success_url = reverse_lazy("password-changed")
    fields = "old_password, new_password1 and new_password2 (the same)"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return ask_to_sign_in(request)
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "request": self.request}

    def done(self, form: OldPasswordForm) -> dict[str, str]:
        return {"password_changed": form.user.get_username()}


# --- reset -----------------------------------------------------------------------------


@method_decorator(login_not_required, name="dispatch")
class ForgottenView(AccountFormView, FormView):  # type: ignore[type-arg]
    """Asks for the mail address, to which a task sends a link."""

    form_class = PasswordResetForm
    template_name = "registration/forgotten.html"
    success_url = reverse_lazy("password-mail-sent")
    fields = "email"

    @method_decorator(csrf_protect)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.SENDS_MAIL:
            detail = "This site sends no mail; ask its staff, who can give you a new password."
            heading = {"heading": "Ask for a new password"}
            return refuse(request, 404, detail, context=heading)
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Form) -> HttpResponse:
        client = hashed(network_of(self.request) or "")
        if asked_lately(client) >= ASKED_AN_HOUR:
            detail = f"That makes over {ASKED_AN_HOUR} mails in an hour; ask again later."
            headers = {"Retry-After": str(int(HOUR.total_seconds()))}
            return refuse(self.request, 429, detail, headers=headers)
        mailbox = hashed(form.cleaned_data["email"].lower())
        MailAsked.objects.create(key=client)
        if asked_lately(mailbox) < SENT_AN_HOUR:
            MailAsked.objects.create(key=mailbox)
            site = self.request.build_absolute_uri("/").rstrip("/")
            async_task(send_links, form.cleaned_data["email"], site, task_name="password mail")
        return super().form_valid(form)

    def done(self, form: PasswordResetForm) -> dict[str, str]:
        return {"detail": ON_ITS_WAY}


def asked_lately(key: str) -> int:
    return MailAsked.objects.filter(key=key, asked_at__gt=timezone.now() - HOUR).count()


def hashed(text: str) -> str:
    """A hash for rows, which keep no address, neither of a machine nor of a mailbox."""
    return salted_hmac("compute.passwords", text, algorithm="sha256").hexdigest()[:32]


def send_links(email: str, site: str) -> int:
    """The task: a mail to each account that has the address, at `site` (https://…); how many.

    The link is made here, so that none stands in the queue, where staff could read it.
    """
    users = list(PasswordResetForm().get_users(email))
    for user in users:
        uid = urlsafe_base64_encode(force_bytes(user.pk))
        link = reverse("password-choose", args=[uid, default_token_generator.make_token(user)])
        minutes = settings.PASSWORD_RESET_TIMEOUT // 60
        context = {"user": user, "site": site, "link": link, "minutes": minutes}
        text = render_to_string("registration/forgotten_mail.txt", context)
        user.email_user("A new password", text)
    return len(users)


send_links.__module__ = "compute.passwords"  # its name in the queue, see there


@method_decorator(login_not_required, name="dispatch")
class ChooseView(AccountFormView, PasswordResetConfirmView):
    """Takes a new password without the old one, where the mail's link leads."""

    template_name = "registration/choose.html"
    success_url = reverse_lazy("password-chosen")
    fields = "new_password1 and new_password2 (the same)"

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        if self.validlink:
            return super().render_to_response(context, **kwargs)
        detail = "This link has been used, or is too old, or not whole; ask for another one."
        return refuse(self.request, 404, detail)

    def done(self, form: SetPasswordForm[AbstractUser]) -> dict[str, str]:
        return {"password_changed": form.user.get_username()}


class ToldView(ReplyView):
    """Says what became of a form, at an address of its own: loading it again posts nothing."""

    heading = detail = ""
    #: Where to go from there: a text and an address's name.
    onward = ("Back to the start", "home")

    def get(self, request: HttpRequest) -> HttpResponse:
        text, name = self.onward
        context = {"heading": self.heading, "detail": self.detail, "text": text}
        data = {"detail": self.detail}
        return page_or_json(
            request, "registration/told.html", {**context, "there": reverse(name)}, data
        )
