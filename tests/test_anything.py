"""Anything at all that may be sent: the site does not fail, and starts nothing that it refuses."""

from __future__ import annotations

import hypothesis
import pytest
from django.db import transaction
from django.test import Client, override_settings
from hypothesis import given
from hypothesis import strategies as st

from compute.queue.models import Node
from tests.addresses import (
    ADDRESSES,
    CHECK_ADDRESSES,
    HEALTH_ADDRESSES,
    START_ADDRESSES,
    SUM_ADDRESSES,
    nothing_started,
    rows,
)

ANYTHING = st.text(max_size=50)
NUMBERISH = st.one_of(
    st.integers(-5, 2000).map(str),
    st.integers(0, 10**13).map(str),
    st.from_regex(r"[0-9]{1,40}", fullmatch=True),
    ANYTHING,
)
METHODS = st.one_of(
    st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"]),
    st.from_regex(r"[A-Za-z!#$%&'*+.^_`|~-]{1,12}", fullmatch=True),
)
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)
ACCEPTS = st.one_of(
    st.sampled_from(["*/*", "text/html", "application/json"]),
    LATIN,
    st.lists(
        st.tuples(
            st.sampled_from(["text/html", "application/json", "*/*", "text/*", "a", "/", ""]),
            st.sampled_from(["", ";q=0", ";q=0.5", ";q=2", ";q=nan", ";q=x", ";q=", ";=;"]),
        ).map("".join)
    ).map(",".join),
)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "n": NUMBERISH,
        "chunk_size": NUMBERISH,
        "task_id": st.one_of(ANYTHING, st.from_regex(r"[0-9a-f]{32}", fullmatch=True)),
        "page": NUMBERISH,
    },
)


@pytest.mark.thorough
@given(
    address=st.sampled_from([*ADDRESSES, *HEALTH_ADDRESSES, "/admin/", "/admin/login/"]),
    method=METHODS,
    accept=ACCEPTS,
    query=PARAMETERS,
    body=PARAMETERS,
    htmx=st.booleans(),
)
@hypothesis.settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_nothing_that_is_sent_makes_the_site_fail_or_start_what_it_refuses(
    queue_server: Node,
    address: str,
    method: str,
    accept: str,
    query: dict[str, str],
    body: dict[str, str],
    htmx: bool,
) -> None:
    headers = {"accept": accept, **({"hx-request": "true"} if htmx else {})}
    before = rows()
    with transaction.atomic(), override_settings(SUM_SYNC_MAX_N=2000):
        response = Client(headers=headers, query_params=query).generic(
            method,
            address,
            "&".join(f"{name}={value}" for name, value in body.items()),
            content_type="application/x-www-form-urlencoded",
        )
        assert response.status_code < 500
        if response.status_code >= 400 or address not in START_ADDRESSES:
            assert rows() == before
        else:
            assert rows()[0] == before[0] + 1
        if response["Content-Type"] == "application/json" and method.upper() != "HEAD":
            assert isinstance(response.json(), dict)
        transaction.set_rollback(True)


@pytest.mark.thorough
@given(query=st.binary(max_size=60), body=st.binary(max_size=60))
@hypothesis.settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"],
)
@pytest.mark.parametrize("address", [*SUM_ADDRESSES, *CHECK_ADDRESSES])
def test_bytes_that_are_no_form_are_refused_like_anything_else(
    db: None, address: str, content_type: str, query: bytes, body: bytes
) -> None:
    with nothing_started(), transaction.atomic(), override_settings(SUM_SYNC_MAX_N=2000):
        response = Client().generic(
            "POST", address, body, content_type=content_type, QUERY_STRING=query.decode("latin-1")
        )
        assert response.status_code < 500
        transaction.set_rollback(True)
