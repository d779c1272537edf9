"""`manage.py release`: makes what the site needs, once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from compute.management.commands.release import LOCK
from tests.conftest import database_url
from tests.management.calling import call, manage


def test_release_makes_the_admin_of_a_new_site(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "a-good-password"
    streams = call("release", verbosity=0)
    assert streams.out.getvalue() == (
        "Made the account 'admin' with the password in ADMIN_PASSWORD.\n"
    )
    assert streams.err.getvalue() == ""
    assert User.objects.get().is_superuser
    assert User.objects.get(username="admin").check_password("a-good-password")


@pytest.mark.thorough
def test_release_again_changes_nothing(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "a-good-password"
    call("release", verbosity=0)
    before = User.objects.values().get()
    settings.ADMIN_PASSWORD = "another-password"
    streams = call("release", verbosity=0)
    assert User.objects.values().get() == before
    assert streams.out.getvalue() == streams.err.getvalue() == ""


def test_release_without_a_password_makes_no_account_and_says_so(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = ""
    streams = call("release", verbosity=0)
    assert not User.objects.exists()
    assert streams.err.getvalue() == "No admin account made: ADMIN_PASSWORD is not set.\n"


def test_release_leaves_a_site_alone_that_has_a_superuser(db: None, settings: Any) -> None:
    settings.ADMIN_PASSWORD = "a-good-password"
    User.objects.create_superuser("root")
    assert call("release", verbosity=0).out.getvalue() == ""
    assert [user.username for user in User.objects.all()] == ["root"]


@pytest.mark.postgres
def test_release_says_that_it_waits_for_another(db: None) -> None:
    """Its lock is let go when that is said; tests/workers has two real releases."""
    with psycopg.connect(database_url(), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])

        class Stream(io.StringIO):
            def write(self, text: str) -> int:
                other.execute("SELECT pg_advisory_unlock_all()")
                return super().write(text)

        stream = Stream()
        call_command("release", verbosity=0, stderr=stream)
    assert stream.getvalue().startswith("Another release is at work; waiting for its end.\n")


@pytest.mark.thorough
def test_release_on_an_empty_database_makes_all_that_the_site_needs_twice(tmp_path: Path) -> None:
    new = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}",
        "ADMIN_PASSWORD": "a-good-password",
    }
    first = manage("release", **new)
    assert first.returncode == 0, first.stderr
    assert "Applying compute.0001_initial... OK" in first.stdout
    assert "Made the account 'admin'" in first.stdout
    second = manage("release", **new)
    assert second.returncode == 0, second.stderr
    assert "No migrations to apply." in second.stdout
    assert "Made the account" not in second.stdout
    assert manage("migrate", "--check", **new).returncode == 0
