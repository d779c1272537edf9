"""Who counts as one client."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from compute.clients import OWNER, address_of, client_of


def asking(forwarded: str | None = None, remote: str = "10.0.0.9") -> HttpRequest:
    headers = {} if forwarded is None else {"x-forwarded-for": forwarded}
    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=remote)
    request.session = {}
    return request


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7", "203.0.113.7"),  # the first is what the client said
        ("1.1.1.1,2.2.2.2,203.0.113.7 ", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", "10.0.0.9"),
        (None, "10.0.0.9"),
        ("nonsense", "10.0.0.9"),
        ("203.0.113.7, ", "10.0.0.9"),
    ],
)
def test_the_address_is_the_one_that_the_router_saw(forwarded: str | None, address: str) -> None:
    assert address_of(asking(forwarded)) == address


def test_in_development_no_router_is_believed(settings: Any) -> None:
    settings.DEBUG = True
    assert address_of(asking("203.0.113.7")) == "10.0.0.9"


def test_a_unix_socket_has_no_address() -> None:
    assert address_of(asking(remote="")) is None
    assert client_of(asking(remote=""))


@given(forwarded=st.text())
def test_whatever_the_header_says_there_is_a_client(forwarded: str) -> None:
    assert len(client_of(asking(forwarded))) == 32


def test_of_an_address_only_a_hash_is_kept(settings: Any) -> None:
    client = client_of(asking("203.0.113.7"))
    assert client == client_of(asking("1.1.1.1, 203.0.113.7"))
    assert client != client_of(asking("203.0.113.8"))
    settings.SECRET_KEY = "another"
    assert client != client_of(asking("203.0.113.7"))


def test_a_customers_part_of_ipv6_is_one_client() -> None:
    assert client_of(asking("2001:db8::1")) == client_of(asking("2001:db8::ffff:1"))
    assert client_of(asking("2001:db8::1")) != client_of(asking("2001:db8:0:1::1"))


def test_a_session_that_has_started_something_is_a_client() -> None:
    one, same, other = asking("203.0.113.7"), asking("203.0.113.8"), asking("203.0.113.7")
    one.session, same.session, other.session = {OWNER: "a"}, {OWNER: "a"}, {OWNER: "b"}
    assert client_of(one) == client_of(same) != client_of(other)
