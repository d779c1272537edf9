from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, transaction

from compute.queue import leftovers


@pytest.mark.parametrize(
    "leave",
    [
        lambda: connection.cursor().execute("BEGIN"),
        lambda: transaction.set_autocommit(False),
        lambda: transaction.atomic().__enter__(),
    ],
    ids=["raw", "autocommit off", "a block"],
)
def test_a_connection_with_an_open_transaction_is_replaced(
    transactional_db: None, caplog: pytest.LogCaptureFixture, leave: Callable[..., Any]
) -> None:
    before = connections["default"]
    with caplog.at_level(logging.WARNING), leftovers.removed("a task"):
        leave()
        User.objects.create_user("lost")
    assert connections["default"] is not before
    assert not User.objects.exists()
    assert connection.get_autocommit()
    assert "a task left a transaction open, what it wrote in it is lost" in caplog.text


def test_a_connection_that_is_left_as_it_was_stays(
    transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    before = connections["default"]
    with leftovers.removed("a task"):
        User.objects.create_user("kept")
    connection.close()
    with leftovers.removed("another"):
        User.objects.create_user("kept as well")
    assert connections["default"] is before
    assert User.objects.count() == 2
    assert not caplog.records


def test_a_task_that_has_closed_its_connection_has_left_nothing(transactional_db: None) -> None:
    with leftovers.removed("a task"):
        User.objects.create_user("kept")
        connection.close()
    assert User.objects.exists()


def of_postgres(status: str) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(transaction_status=SimpleNamespace(name=status)))


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        (None, False),
        (SimpleNamespace(in_transaction=True), True),
        (of_postgres("IDLE"), False),
        (of_postgres("UNKNOWN"), False),  # it is closed
        (of_postgres("INTRANS"), True),
        (of_postgres("INERROR"), True),
    ],
)
def test_drivers_say_it_in_their_own_ways(driver: Any, expected: bool) -> None:
    assert leftovers.in_transaction(driver) is expected


def test_sqlites_that_is_closed_is_of_no_use_any_more() -> None:
    driver = sqlite3.connect(":memory:")
    driver.close()
    assert leftovers.in_transaction(driver)


@pytest.mark.once
def test_of_a_driver_that_does_not_tell_nothing_is_known() -> None:
    assert not leftovers.in_transaction(SimpleNamespace())
    assert not leftovers.in_transaction(SimpleNamespace(info=lambda: "a text"))
