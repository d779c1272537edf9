from __future__ import annotations

import pytest
from django.db import connection

from compute.queue.engines.postgres import sessions
from tests import database


@pytest.mark.postgres
def test_a_session_that_is_left_alone_in_a_transaction_ends(transactional_db: None) -> None:
    with sessions.own_connection() as listener:  # as good as any new connection
        (limit,) = listener.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        assert limit == "1min"
        # (Over this Unix socket the server shows no keepalives; tests/workers/test_network.py
        # sees what they do.)
        names = {name for (name, *_) in listener.execute("SHOW ALL").fetchall()}
    assert set(sessions.LIMITS) <= names


@pytest.mark.postgres
@pytest.mark.parametrize("pooled", [False, True])
def test_a_session_of_the_servers_own_is_known(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    if pooled:  # its clients are told of a process that there is not
        monkeypatch.setattr(sessions, "BEGIN", sessions.BEGIN.replace("()", "() + 1", 1))
    with sessions.own_connection() as session:
        assert (session in sessions.direct) is not pooled


def test_a_new_connection_is_told_on_postgres_alone(transactional_db: None) -> None:
    connection.close()
    with connection.cursor() as cursor:
        told = database.ENGINE == "postgres"
        if told:
            cursor.execute("SELECT source FROM pg_settings WHERE name LIKE 'idle_in_tr%' ")
            told = cursor.fetchone() == ("session",)
    assert told == (database.ENGINE == "postgres")
