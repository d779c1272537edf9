"""`manage.py compute NAME …`: any computation in the terminal."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management import CommandError, CommandParser

from compute.computation import ComputationError
from compute.computations import all_computations
from compute.given import of_words
from compute.management.terminal import RunCommand
from compute.models.plans import plan


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
        try:
            with computation.blaming("form"):
                form = computation.form()
            data = of_words(form, options["values"])
        except ComputationError as error:
            raise CommandError(str(error)) from error
        except ValueError as error:
            raise CommandError(f"{computation} {error}.") from error
        if options["chunk_size"] and computation.cut is None:
            raise CommandError(f"{computation} runs in one piece, without chunks.")
        filled = self.form(computation, {**data, "chunk_size": [options["chunk_size"] or ""]})
        chunk_size = filled.cleaned_data.get("chunk_size")
        self.finish(filled, partial(plan, computation, filled.parameters, chunk_size))
