"""The parts of large contents, on whichever database the tests have."""

from __future__ import annotations

from contextlib import suppress

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from compute.queue.contents import Part
from compute.queue.engines import engine

pytestmark = pytest.mark.django_db

ALL = bytes(range(256))


@pytest.mark.parametrize("data", [b"x", ALL, ALL * 4096, b"\\x00", b"'%s\""], ids=len)
def test_any_bytes_come_back_as_they_were(data: bytes) -> None:
    engine().write_part("content", 0, data)
    found = engine().read_part("content", 0)
    assert type(found) is bytes
    assert found == data
    assert bytes(Part.objects.get().data) == data


def test_each_has_its_place() -> None:
    for content in ("a", "b"):
        for number in range(3):
            engine().write_part(content, number, f"{content}{number}".encode())
    assert engine().read_part("b", 1) == b"b1"
    assert engine().read_part("b", 3) is None
    assert engine().read_part("c", 0) is None


def test_what_is_written_again_takes_its_place() -> None:
    engine().write_part("content", 0, b"first")
    engine().write_part("content", 0, b"second")
    assert engine().read_part("content", 0) == b"second"
    assert Part.objects.count() == 1


def test_what_is_written_is_in_no_log() -> None:
    """With DEBUG a process would hold all that it has written, twice."""
    with CaptureQueriesContext(connection) as queries:
        engine().write_part("content", 0, b"x" * 1_000_000)
    assert sum(len(query["sql"]) for query in queries) < 1000
    assert engine().read_part("content", 0) == b"x" * 1_000_000


def test_it_is_a_part_of_the_callers_transaction() -> None:
    with suppress(DatabaseError), transaction.atomic():
        engine().write_part("content", 0, b"x")
        engine().write_part("content", -1, b"x")  # no place
    assert not Part.objects.exists()


def test_it_is_one_statement_that_an_index_answers() -> None:
    engine().write_part("content", 0, b"x")
    with CaptureQueriesContext(connection) as queries:
        engine().read_part("content", 0)
    assert len(queries) == 1
