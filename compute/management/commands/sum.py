"""`manage.py sum N`: the tutorial's sum in the terminal."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management import CommandError, CommandParser

from compute import tasks
from compute.computations.sums import SUM
from compute.forms import parameters_of
from compute.management.terminal import RunCommand
from compute.models import plans


class Command(RunCommand):
    help = (
        "Adds up all integers from 1 to N on the queue's workers. The total goes to "
        "stdout, all else to stderr; the exit code is 1 if the run fails. "
        "(MAX_ACTIVE_RUNS holds for the site's visitors and not here.)"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("n", metavar="N", help="a whole number in plain digits")
        parser.add_argument("--split", action="store_true", help="cut the sum into chunks")
        parser.add_argument("--chunk-size", metavar="K", help="numbers in a chunk; needs --split")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["chunk_size"] and not options["split"]:
            raise CommandError("--chunk-size needs --split: a sum in one piece has no chunks.")
        data = {"n": [options["n"]], "chunk_size": [options["chunk_size"] or ""]}
        form = self.form(SUM, data)
        if options["split"]:
            plan = partial(plans.plan, SUM, parameters_of(form), form.cleaned_data["chunk_size"])
        else:
            plan = partial(plans.plan_one, SUM, tasks.get_sum, parameters_of(form))
        self.finish(form, plan, options["priority"], options["json"])
