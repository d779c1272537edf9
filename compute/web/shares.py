"""The shares of the limits that a request is held to.

A visitor is held to his address's share, and with a session to half of that besides; an account
to its own, wherever it signs in.
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models
from django.http import HttpRequest

from .clients import client_of, is_this_machine


class Share(NamedTuple):
    """The share of one address, session or account, and the runs that count for it."""

    whose: str
    field: str
    value: Any
    #: The part that it may have of MAX_CLIENT_….
    part: float = 1

    def of(self, most: float) -> int:
        return ceil(most * self.part)

    @property
    def runs(self) -> models.Q:
        # An account's runs count for it alone, not for others at its address.
        alone = {"account": None} if self.field == "address" else {}
        return models.Q(**{self.field: self.value}, **alone)

    def has(self, run: dict[str, Any]) -> bool:
        alone = self.field != "address" or run["account"] is None
        return bool(alone and run[self.field] == self.value)


def shares_of(request: HttpRequest) -> list[Share]:
    """The shares that the request is held to; none for staff and for a developer's own machine."""
    if request.user.is_staff or (settings.DEBUG and is_this_machine(request)):
        return []
    client = client_of(request)
    if client.account:
        return [Share("Your account", "account", client.account)]
    shares = [Share("Your address", "address", client.address)]
    if client.session:
        shares.append(Share("Your session", "client", client.session, 0.5))
    return shares
