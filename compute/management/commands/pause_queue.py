"""`manage.py pause_queue`: of the queue, or of a computation, nothing is begun until --undo."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError, CommandParser

from compute.computations import all_computations
from compute.management.terminal import MigratedCommand
from compute.queue import pauses


class Command(MigratedCommand):
    help = (
        "Has queue servers begin with nothing, within a second, until --undo. What runs ends, what "
        "waits waits."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--computation", metavar="NAME", default="", help="only that")
        parser.add_argument("--undo", action="store_true", help="go on")

    def handle(self, *args: Any, **options: Any) -> None:
        kind, undo = options["computation"], options["undo"]
        if kind and not undo and kind not in all_computations():
            raise CommandError(
                f"There is no computation {kind}; there are: {', '.join(all_computations())}."
            )
        what = kind or "The queue"
        if undo:
            self.stdout.write(f"{what} {'goes on' if pauses.resume(kind) else 'was not paused'}.")
        else:
            new = pauses.pause(kind, "the operator")
            self.stdout.write(f"{what} {'is' if new else 'was already'} paused.")
