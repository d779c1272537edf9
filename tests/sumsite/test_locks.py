"""A web process waits for another's lock no longer than it has to."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

import psycopg
import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from compute.models import Run
from sumsite import locks
from tests import database
from tests.conftest import started
from tests.processes import Processes


@contextmanager
def locked() -> Iterator[None]:
    """Somebody writes, and does not come to an end."""
    name = connection.settings_dict["NAME"]
    if database.ENGINE == "sqlite":
        other = sqlite3.connect(name, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
        return
    url = urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))
    with psycopg.connect(url) as session:
        session.execute("LOCK TABLE compute_run, queue_job, django_q_ormq IN EXCLUSIVE MODE")
        yield
        session.rollback()


def test_what_is_locked_for_long_is_a_503_in_two_seconds(processes: Processes) -> None:
    _, site = processes.web(WEB_CONCURRENCY="2")
    with urlopen(f"{site}/sum-start/?n=5"):
        pass
    with locked():
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(HTTPError) as error:
                urlopen(f"{site}/sum-start/?n=5", timeout=30)
            took = time.monotonic() - began
            with error.value as reply:
                assert reply.code == 503
                assert int(reply.headers["Retry-After"]) > 0
                assert "does not answer" in json.load(reply)["detail"]
            assert 1.5 < took < 4
        with urlopen(f"{site}/healthz", timeout=2), urlopen(f"{site}/", timeout=5):
            pass
    with urlopen(f"{site}/sum-start/?n=5"):
        pass
    assert Run.objects.count() == 2


def test_nodes_and_commands_have_their_patience(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        if database.ENGINE == "sqlite":
            assert cursor.execute("PRAGMA busy_timeout").fetchone() == (20_000,)
        else:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)


def test_it_holds_for_each_connection_that_is_made(transactional_db: None) -> None:
    locks.wait_briefly()
    try:
        connection.close()
        with connection.cursor() as cursor:
            if database.ENGINE == "sqlite":
                assert cursor.execute("PRAGMA busy_timeout").fetchone() == (2000,)
            else:
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("2s",)
    finally:
        assert connection_created.disconnect(dispatch_uid="sumsite.locks")
        connection.close()
    assert started("/sum-start/", n=5)
