"""`manage.py release`: what has to happen before a new version serves."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, call_command


class Command(BaseCommand):
    help = "Migrates the database and makes the account 'admin' if there is no superuser."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return
        if not settings.ADMIN_PASSWORD:
            self.stderr.write("No admin account made: ADMIN_PASSWORD is not set.")
            return
        users.create_superuser("admin", password=settings.ADMIN_PASSWORD)
        self.stdout.write("Made the account 'admin' with the password in ADMIN_PASSWORD.")
