"""A database that is away is waited for, a minute in all; any other error is not."""

from __future__ import annotations

import pytest
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django_q.models import OrmQ

from compute.queue.away import PAUSES_S, is_away, persistently
from compute.queue.engines import UP
from tests.queue.conftest import failing


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_write_is_tried_again_after_growing_pauses(
    transactional_db: None,
    pauses: list[float],
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
) -> None:
    write = failing(3, lambda: True, error("the server\nis gone"))
    assert persistently(write) is True
    assert pauses == list(PAUSES_S[:3])
    assert f"next try in {PAUSES_S[0]} s: {error.__name__}: the server is gone" in caplog.text


def test_each_try_has_a_connection_of_its_own(transactional_db: None, pauses: list[float]) -> None:
    used = []

    def write() -> bool:
        connection.ensure_connection()
        used.append(connection.connection)
        if len(used) < 3:
            raise OperationalError
        return True

    persistently(write)
    assert len({id(one) for one in used}) == 3


def test_a_write_is_given_up_in_the_end(transactional_db: None, pauses: list[float]) -> None:
    write = failing(1000, lambda: True)
    with pytest.raises(OperationalError):
        persistently(write)
    assert pauses == list(PAUSES_S)
    assert pauses == sorted(pauses)
    assert 55 <= sum(pauses) <= 65


def test_another_error_is_not_tried_again(transactional_db: None, pauses: list[float]) -> None:
    with pytest.raises(IntegrityError):
        persistently(failing(1, lambda: True, IntegrityError("no")))
    assert pauses == []


def test_inside_a_transaction_there_is_one_try(db: None, pauses: list[float]) -> None:
    with pytest.raises(OperationalError):
        persistently(failing(1, lambda: True))
    assert pauses == []


# --- what counts as away --------------------------------------------------------------------


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("gone")])
def test_a_database_that_does_not_answer_is_away(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize(
    "error", [IntegrityError(), DataError(), InternalError(), ValueError(), ConnectionError()]
)
def test_an_error_that_waiting_does_not_help_is_none_of_that(error: Exception) -> None:
    assert not is_away(error)


@pytest.mark.postgres
def test_a_server_that_can_only_be_read_is_away(
    transactional_db: None, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """As one is that has become a standby, until there is a new connection, to the new server."""
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    with pytest.raises(InternalError) as raised:
        write()
    assert is_away(raised.value)
    persistently(write)
    assert pauses == [PAUSES_S[0]]
    assert "cannot execute INSERT in a read-only transaction" in caplog.text
    assert OrmQ.objects.count() == 1


@pytest.mark.postgres
def test_another_internal_error_is_not_away(db: None) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        with pytest.raises(DatabaseError):
            cursor.execute("SELECT nothing FROM nowhere")
        with pytest.raises(InternalError, match="current transaction is aborted") as raised:
            cursor.execute("SELECT 1")
        assert not is_away(raised.value)
        transaction.set_rollback(True)


def write() -> None:
    OrmQ.objects.create(key="sumsite", payload="package", lock=UP)
