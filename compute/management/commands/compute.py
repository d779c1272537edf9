"""`manage.py compute NAME …`: any computation in the terminal."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management import CommandError, CommandParser

from compute import files
from compute.computation import ComputationError
from compute.computations import all_computations
from compute.forms import parameters_of, seed_of
from compute.given import of_words
from compute.management.fields import FieldsParser, words_of
from compute.management.terminal import RunCommand
from compute.management.uploading import uploaded
from compute.models.plans import plan


class Command(RunCommand):
    help = (
        "Runs a computation on the queue's workers. The result goes to stdout, as JSON; of a table "
        "its first rows, of a picture or a file what it is. All else goes to stderr; the exit code "
        "is 1 if the run fails. A field may be given by its name, too: --field VALUE, repeated if "
        "it takes several, with @path for the text in a file; NAME --help has them all. The "
        "computations: "
        + "; ".join(f"{each} ({each.line.rstrip('.')})" for each in all_computations().values())
        + "."
    )

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(*args, **kwargs)
        parser.__class__ = FieldsParser
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the computation")
        parser.add_argument(
            "values",
            metavar="VALUE",
            nargs="*",
            help="its fields, in order; a file as @PATH",
        )
        parser.add_argument("--chunk-size", metavar="K", help="how much goes into a chunk")
        parser.add_argument("--seed", metavar="S", help="what its chance is made of; else drawn")
        super().add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        computation = all_computations().get(options["name"])
        if computation is None:
            known = ", ".join(all_computations())
            raise CommandError(f"There is no computation {options['name']!r}; there are: {known}.")
        try:
            with computation.running("form"):
                form = computation.form()
            options_ = words_of(options, files.names_in(form))
            data = uploaded(form, of_words(form, options["values"], options_))
        except ComputationError as error:
            raise CommandError(str(error)) from error
        except ValueError as error:
            raise CommandError(f"{computation} {error}.") from error
        if options["seed"] is not None:
            if not (computation.seed or "seed" in form.fields):
                raise CommandError(f"{computation} makes no use of chance, and takes no seed.")
            data["seed"] = [options["seed"]]
        if options["chunk_size"] and computation.cut is None:
            raise CommandError(f"{computation} runs in one piece, without chunks.")
        filled = self.form(computation, {**data, "chunk_size": [options["chunk_size"] or ""]})
        chunk_size = filled.cleaned_data.get("chunk_size")
        planned = partial(plan, computation, parameters_of(filled), chunk_size, seed_of(filled))
        self.finish(filled, planned, options["priority"], options["json"])
