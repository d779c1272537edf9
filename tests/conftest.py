"""What many tests need."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django_q.brokers import get_broker
from django_q.signals import pre_execute
from django_q.signing import SignedPackage

from tests import database
from tests.processes import Processes, environment


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """SQLite in a file: an in-memory database has no other processes."""
    if database.ENGINE == "sqlite":
        connection.settings_dict["TEST"]["NAME"] = str(database.FOLDER / "tests.sqlite3")


@pytest.fixture(autouse=True)
def plain_static_files(settings: pytest.FixtureRequest) -> None:
    """Without collectstatic there is no manifest, whose absence would raise."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.WHITENOISE_AUTOREFRESH = True
    settings.SECURE_SSL_REDIRECT = False


@pytest.fixture
def processes(transactional_db: None, tmp_path: Path) -> Iterator[Processes]:
    """Starts real processes on the tests' own database; what commits here they see."""
    folder = Processes(tmp_path, environment(DATABASE_URL=database_url()))
    yield folder
    folder.end()


def database_url() -> str:
    """The tests' database, as another process has to be told of it."""
    name = connection.settings_dict["NAME"]
    if database.ENGINE == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss", password="boss-password"))
    return client


@pytest.fixture
def browser_client() -> Client:
    """Asks as a browser does."""
    return Client(headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})


def run_jobs() -> None:
    """Run what is queued here and now, as a worker would: claim, call, outcome."""
    broker = get_broker()
    while claimed := broker.claim(1):
        for ack_id, package in claimed:
            task = SignedPackage.loads(package)
            task["ack_id"] = ack_id
            pre_execute.send(sender="django_q", func=task["func"], task=task)
            with contextlib.suppress(Exception):  # the job says what it was
                task["func"](*task["args"], **task["kwargs"])
