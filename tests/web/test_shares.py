"""The shares of the limits that a request is held to."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.test import RequestFactory

from compute.models import Run
from compute.web.clients import OWNER, client_of
from compute.web.shares import Share, shares_of


def asking(user: User | None = None, owner: str = "", address: str = "10.0.0.1") -> HttpRequest:
    request = RequestFactory().get("/", REMOTE_ADDR=address)
    request.session, request.user = SessionBase(), user or AnonymousUser()
    if owner:
        request.session[OWNER] = owner
    return request


def test_who_has_no_session_is_held_to_the_address_alone() -> None:
    request = asking()
    assert shares_of(request) == [Share("Your address", "address", client_of(request).address)]


def test_a_session_is_held_to_its_address_and_to_half_of_that() -> None:
    address, session = shares_of(asking(owner="a" * 32))
    assert (address.whose, address.part) == ("Your address", 1)
    assert session == Share("Your session", "client", "a" * 32, 0.5)


def test_an_account_is_held_to_its_own_wherever_it_signs_in() -> None:
    shares = [
        shares_of(asking(User(pk=7), owner, address))
        for owner, address in (("", "10.0.0.1"), ("a" * 32, "10.0.0.2"))
    ]
    assert shares == [[Share("Your account", "account", 7)]] * 2


def test_staff_is_held_to_none() -> None:
    assert shares_of(asking(User(pk=7, is_staff=True))) == []


@pytest.mark.parametrize(
    ("debug", "address", "held"),
    [(True, "127.0.0.1", 0), (True, "10.0.0.1", 1), (False, "127.0.0.1", 1)],
)
def test_a_developers_own_machine_is_held_to_none(
    settings: Any, debug: bool, address: str, held: int
) -> None:
    settings.DEBUG = debug
    assert len(shares_of(asking(address=address))) == held


@pytest.mark.parametrize(("most", "half"), [(25, 13), (8, 4), (1, 1), (0, 0), (0.5, 1)])
def test_half_of_a_limit_is_rounded_up(most: float, half: int) -> None:
    assert Share("Your session", "client", "a", 0.5).of(most) == half


def test_the_runs_of_an_account_count_for_it_and_not_for_its_address(db: None) -> None:
    ann = User.objects.create_user("ann")
    for number, (client, account) in enumerate([("", None), ("s", None), ("s", ann)]):
        Run.objects.create(
            task_id=str(number), parameters={}, address="here", client=client, account=account
        )
    shares = [
        Share("Your address", "address", "here"),
        Share("Your session", "client", "s"),
        Share("Your account", "account", ann.pk),
    ]
    counted = [
        sorted(Run.objects.filter(share.runs).values_list("task_id", flat=True)) for share in shares
    ]
    assert counted == [["0", "1"], ["1", "2"], ["2"]]


def test_a_share_says_the_same_of_a_run_as_it_asks_the_database() -> None:
    alone = {"address": "here", "client": "s", "account": None}
    signed_in = {**alone, "account": 7}
    address, account = Share("", "address", "here"), Share("", "account", 7)
    assert [address.has(run) for run in (alone, signed_in)] == [True, False]
    assert [account.has(run) for run in (alone, signed_in)] == [False, True]
    assert not Share("", "address", "elsewhere").has(alone)
