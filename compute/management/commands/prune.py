"""`manage.py prune`: removes at once what is old, where the schedule takes its time."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser
from django.db import connection

from compute.management.terminal import MigratedCommand
from compute.queue.text import number_of
from compute.retention import prune


class Command(MigratedCommand):
    help = (
        "Removes runs, tasks and dead nodes that ended long ago, in small steps and mostly "
        "waiting, so that running nodes hardly notice. What is unfinished stays. So do sessions "
        "that have not ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days",
            type=float,
            default=settings.RUN_RETENTION_DAYS,
            help="how many to keep; RUN_RETENTION_DAYS (%(default)s) unless given",
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument(
            "--vacuum",
            action="store_true",
            help="SQLite: give the room back to the disk, while everybody waits",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["days"] >= 0:  # nor is NaN
            raise CommandError("--days has to be a number, 0 or more.")
        if options["vacuum"] and connection.vendor != "sqlite":
            raise CommandError("--vacuum is for SQLite; Postgres does that by itself.")
        removed, _ = prune(options["days"], dry=options["dry_run"], by="the operator")
        counts = [
            number_of(count, what.removesuffix("s"))
            for what, count in sorted(removed.items())
            if count
        ]
        verb = "Would remove" if options["dry_run"] else "Removed"
        kept = "" if options["days"] else " 0 days keep runs and tasks for ever."
        self.stdout.write(f"{verb}: {', '.join(counts) or 'nothing'}.{kept}")
        if options["vacuum"] and not options["dry_run"]:
            with connection.cursor() as cursor:
                cursor.execute("VACUUM")
