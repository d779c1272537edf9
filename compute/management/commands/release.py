"""`manage.py release`: the steps before a new version serves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection

from compute.management.terminal import DatabaseCommand
from compute.queue.engines.postgres.sessions import own_connection
from compute.web import statics

#: Any number that nobody else locks in this database.
LOCK = 7_205_759_403


class Command(DatabaseCommand):
    help = "Migrates the database and makes the account 'admin' if there is no superuser."

    def handle(self, *args: Any, **options: Any) -> None:
        with self.alone():
            self.release(**options)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let one of several releases go on, on any machine, while the others wait.

        Only on Postgres, which knows at once when the release that holds the lock has died. The
        lock has a connection of its own, so that no migration can lose it.
        """
        if connection.vendor != "postgresql":
            yield
            return
        with own_connection() as holder:
            free = holder.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()[0]
            if not free:
                self.stderr.write("Another release is at work; waiting for its end.")
                holder.execute("SELECT pg_advisory_lock(%s)", [LOCK])
            yield

    def release(self, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        lacking = statics.uncollected()
        if lacking:
            self.stderr.write(statics.what_to_do(lacking))
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return
        if not settings.ADMIN_PASSWORD:
            self.stderr.write("No admin account made: ADMIN_PASSWORD is not set.")
            return
        users.create_superuser("admin", password=settings.ADMIN_PASSWORD)
        self.stdout.write("Made the account 'admin' with the password in ADMIN_PASSWORD.")
