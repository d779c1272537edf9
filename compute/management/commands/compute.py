"""`manage.py compute NAME …`: any computation in the terminal."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError, CommandParser

from compute.computations import all_computations
from compute.forms import form_for
from compute.models import Run
from compute.terminal import RunCommand


class Command(RunCommand):
    help = (
        "Runs a computation on the queue's workers. The result goes to stdout, all else to "
        "stderr; the exit code is 1 if the run fails. The computations: "
        + "; ".join(f"{each} ({each.line.rstrip('.')})" for each in all_computations().values())
        + "."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the computation")
        parser.add_argument("values", metavar="VALUE", nargs="*", help="its parameters, in order")
        parser.add_argument("--chunk-size", metavar="K", help="how much goes into a chunk")

    def handle(self, *args: Any, **options: Any) -> None:
        computation = all_computations().get(options["name"])
        if computation is None:
            known = ", ".join(all_computations())
            raise CommandError(f"There is no computation {options['name']!r}; there are: {known}.")
        names = list(computation.form.base_fields)
        if len(options["values"]) > len(names):
            raise CommandError(f"{computation} takes {len(names)} value(s): {', '.join(names)}.")
        if options["chunk_size"] and computation.cut is None:
            raise CommandError(f"{computation} runs in one piece, without chunks.")
        data = dict(zip(names, options["values"], strict=False))
        form = form_for(computation)({**data, "chunk_size": options["chunk_size"] or ""})
        given = self.valid(form)
        self.finish(Run.objects.start(computation, form.parameters, given.get("chunk_size")))
