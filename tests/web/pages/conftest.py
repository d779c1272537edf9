"""What tests of contexts need."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.test import RequestFactory


@pytest.fixture
def asked(rf: RequestFactory) -> HttpRequest:
    """A visitor's request for a page, as middleware leaves it."""
    request = rf.get("/")
    request.user = AnonymousUser()
    request.session = {}  # type: ignore[assignment]
    return request
