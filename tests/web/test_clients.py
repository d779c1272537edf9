"""By what a request is counted."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from compute.models import Run
from compute.web.clients import OWNER, address_of, client_of, is_this_machine, network_of


def asking(forwarded: str | None = None, remote: str = "10.0.0.9") -> HttpRequest:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)
    request.session = SessionBase()
    request.user = AnonymousUser()
    return request


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),  # the first is what the client said
        ("1.1.1.1,2.2.2.2,203.0.113.7 ", "203.0.113.7"),
        ("7.7.7.1:1111", "7.7.7.1"),
        ("1.1.1.1, 7.7.7.1:65535", "7.7.7.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]:443"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("", "10.0.0.9"),
        (None, "10.0.0.9"),
        ("nonsense", "10.0.0.9"),
        ("203.0.113.7:port", "10.0.0.9"),
        ("[203.0.113.7", "10.0.0.9"),
        ("[]:1", "10.0.0.9"),
        (":1", "10.0.0.9"),
        ("203.0.113.7, ", "10.0.0.9"),
    ],
)
def test_the_address_is_the_one_that_the_router_saw(forwarded: str | None, address: str) -> None:
    assert address_of(asking(forwarded)) == address


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, "203.0.113.7", "10.0.0.9"),
        (0, None, "10.0.0.9"),
        (1, "1.1.1.1, 203.0.113.7, 10.0.0.1", "10.0.0.1"),
        (2, "1.1.1.1, 203.0.113.7, 10.0.0.1", "203.0.113.7"),
        (3, "1.1.1.1, 203.0.113.7, 10.0.0.1", "1.1.1.1"),
        (2, "203.0.113.7", "203.0.113.7"),  # it was asked past the outermost
        (2, None, "10.0.0.9"),
        (2, "unknown, 10.0.0.1", "10.0.0.1"),  # told by a proxy that would not say
        (2, "1.1.1.1, unknown, unknown", "10.0.0.9"),
    ],
)
def test_as_many_proxies_are_believed_as_there_are(
    settings: Any, proxies: int, forwarded: str | None, address: str
) -> None:
    settings.PROXIES = proxies
    assert address_of(asking(forwarded)) == address


def test_a_unix_socket_has_no_address() -> None:
    assert address_of(asking(remote="")) is network_of(asking(remote="")) is None
    assert len(client_of(asking(remote="")).address) == 32
    assert not is_this_machine(asking(remote=""))


@given(forwarded=st.text())
def test_whatever_the_header_says_there_is_a_client(forwarded: str) -> None:
    assert len(client_of(asking(forwarded)).noted) == 32


def test_of_an_address_only_a_hash_is_kept(settings: Any) -> None:
    client = client_of(asking("203.0.113.7"))
    assert client == client_of(asking("1.1.1.1, 203.0.113.7:80"))
    assert client != client_of(asking("203.0.113.8"))
    settings.SECRET_KEY = "another"
    assert client != client_of(asking("203.0.113.7"))


def test_a_customers_part_of_ipv6_is_one_client() -> None:
    assert client_of(asking("2001:db8::1")) == client_of(asking("[2001:db8::ffff:1]:2"))
    assert client_of(asking("2001:db8::1")) != client_of(asking("2001:db8:0:1::1"))
    assert network_of(asking("2001:db8:1:2:3:4:5:6")) == "2001:db8:1:2::"


def test_a_session_that_has_started_something_is_known_beside_its_address() -> None:
    one, same, other = asking("203.0.113.7"), asking("203.0.113.8"), asking("203.0.113.7")
    one.session[OWNER] = same.session[OWNER] = "a"
    other.session[OWNER] = "b"
    assert client_of(one).noted == client_of(same).noted == "a"
    assert client_of(one).address == client_of(other).address != client_of(same).address
    assert client_of(other).session == "b"


def test_an_account_is_known_by_its_key(db: None) -> None:
    request = asking()
    assert client_of(request).account is None
    request.user = User.objects.create_user("ann")
    assert client_of(request).account == request.user.pk


@pytest.mark.parametrize(
    ("remote", "here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False)],
)
def test_this_machine_is_known_by_its_addresses(remote: str, here: bool) -> None:
    assert is_this_machine(asking(remote=remote)) == here


@pytest.mark.thorough
def test_twelve_wrong_passwords_from_one_ipv6_64_are_held_up_as_one(db: None) -> None:
    """The pause, of a right password too, is the /64's, and nobody else's."""
    User.objects.create_user("ann", password="right-password")

    def sign_in(address: str, password: str) -> int:
        client = Client(headers={"x-forwarded-for": address})
        given = {"username": "ann", "password": password}
        return client.post("/login/", given).status_code

    replies = [sign_in(f"[2001:db8:1:2:{number:x}::1]:{number}", "wrong") for number in range(12)]
    assert replies == [400] * 5 + [429] * 7
    assert sign_in("2001:db8:1:2::99", "right-password") == 429
    assert sign_in("2001:db8:1:3::1", "right-password") == 200


def test_wrong_passwords_through_a_port_of_ones_own_are_held_up(db: None) -> None:
    User.objects.create_user("ann", password="right-password")
    for number in range(6):
        client = Client(headers={"x-forwarded-for": f"7.7.7.1:{1111 + number}"})
        client.post("/login/", {"username": "ann", "password": "wrong"})
    right = {"username": "ann", "password": "right-password"}
    blocked = Client(headers={"x-forwarded-for": "7.7.7.1:9"}).post("/login/", right)
    other = Client(headers={"x-forwarded-for": "7.7.7.2:1111"}).post("/login/", right)
    assert (blocked.status_code, other.status_code) == (429, 200)


@pytest.mark.parametrize("account", [False, True])
def test_who_will_share_the_workers_is_who_does(db: None, account: bool) -> None:
    """A request is told beforehand what its run will get."""
    client, request = Client(headers={"accept": "text/html"}), asking(remote="127.0.0.1")
    if account:
        request.user = User.objects.create_user("ann")
        client.force_login(request.user)
    client.post("/sum-start/", {"n": 5})
    run = Run.objects.get()
    if not account:
        request.session[OWNER] = run.owner
    assert client_of(request).sharer == run.sharer
