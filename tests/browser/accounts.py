"""Somebody who signs in by a page, as people do."""

from __future__ import annotations

from typing import Any

from django.conf import global_settings
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

PASSWORD = "boss-password"


def make_boss(settings: Any) -> User:
    """With a password that the site's own hashers check: its processes have no others."""
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS
    return User.objects.create_superuser("boss", password=PASSWORD)


def sign_in(page: Page, button: str, password: str = PASSWORD) -> None:
    name = page.get_by_label("Username")
    expect(name).to_be_focused()  # not before: the browser complains of who is quicker than it
    name.fill("boss")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name=button).click()
