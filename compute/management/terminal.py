"""Runs in the terminal: followed with a live bar, or something done to several of them."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from django import forms
from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, Error, InterfaceError, OperationalError, connection
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..computation import Computation, ComputationError
from ..computations import all_computations
from ..forms import filled_in, given_in
from ..given import Given, as_data, storable
from ..models import Run, RunQuerySet
from ..models.notes import refresh
from ..models.plans import Plan
from ..models.upload import use
from ..queue import schema
from ..queue.away import is_away
from ..queue.models import Node
from ..queue.sharing import Priority
from ..queue.text import number_of, one_line
from ..refusals import refusal_of
from ..several import batches
from ..templatetags.amounts import amount
from ..web.middleware import is_of_a_statement
from .printing import print_result

#: Seconds between two looks at the run.
LOOK_S = 0.2
#: Seconds without a queue server before it is said that there is none.
PATIENCE_S = 2


class DatabaseCommand(BaseCommand):
    """Says in a sentence that the database can't be opened, or does not answer; also one that asks
    nothing of it, for Django's checks before a command do."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except Error as error:
            if (is_away(error) and not is_of_a_statement(error)) or not opens():
                raise CommandError(f"The database does not answer: {one_line(error)}") from error
            raise


def opens() -> bool:
    """Whether the database can be opened; a file that is none of SQLite's can't."""
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True


class MigratedCommand(DatabaseCommand):
    """Says that the database lacks migrations, where it would fail for want of a table."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except DatabaseError as error:
            with contextlib.suppress(DatabaseError):
                names = schema.lacking()
                if names:
                    raise CommandError(schema.what_to_do(names)) from error
            raise


class RunCommand(MigratedCommand):
    """The result goes to stdout, all else to stderr; the exit code is 1 if the run fails."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--priority",
            choices=Priority.values,
            default="",
            help="what it gets of the workers beside others; by default what its computation says",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="print a table whole, as JSON, and not its first rows",
        )

    def form(self, computation: Computation, data: Given) -> forms.Form:
        """The computation's form, filled in; CommandError if it refuses the data, or fails."""
        if not all(text == storable(text) for values in data.values() for text in values):
            raise CommandError("A value is no text: it holds bytes that are no UTF-8.")
        try:
            form = filled_in(computation, as_data(data), boxes=True)
            refusal = refusal_of(form)
        except ComputationError as error:
            raise CommandError(str(error)) from error
        if refusal:
            raise CommandError(refusal.detail)
        return form

    def finish(
        self, form: forms.Form, plan: Callable[[], Plan], priority: str, as_json: bool = False
    ) -> None:
        """Start the planned run, follow it to its end and print its result. Ctrl-C leaves it
        going."""
        try:
            run = plan()._replace(priority=priority).start()
        except ComputationError as error:
            raise CommandError(str(error)) from error
        run.given = given_in(form)
        Run.objects.filter(pk=run.pk).update(given=run.given)
        use(run)
        if run.seed is not None:
            same = f" --chunk-size {run.chunk_size}" if run.chunk_size else ""
            self.stderr.write(f"To repeat it exactly: --seed {run.seed}{same}")
        try:
            follow(run)
        except (KeyboardInterrupt, OperationalError, InterfaceError) as error:
            if not isinstance(error, KeyboardInterrupt):
                self.stderr.write(f"The database does not answer: {error}")
            self.stderr.write(
                f"\nThe run goes on without this terminal; look at it in the site at "
                f"{run.get_absolute_url()}"
            )
            sys.exit(130 if isinstance(error, KeyboardInterrupt) else 1)
        if run.state != Run.State.DONE:
            raise CommandError(run.error())
        print_result(run, self.stdout, self.stderr, as_json)


def follow(run: Run) -> None:
    """Show a bar until the run has ended; without a queue server say so, and wait on."""
    began = time.monotonic()
    warned = False
    length = run.length() or 0
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[chunks]} {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        shown = bar.add_task(str(run), total=None, chunks="", rate="")
        while run.state == Run.State.IN_PROGRESS:
            progress = refresh(run)
            elapsed = time.monotonic() - began
            rate = length * progress.fraction / elapsed
            bar.update(
                shown,
                # A single task may report nothing until it ends: then the bar has no total.
                total=1 if run.chunks > 1 or progress.fraction else None,
                completed=progress.fraction,
                chunks=f"{progress.done:,} of {number_of(progress.total, 'chunk')}",
                rate=f"{amount(rate)}/s" if rate else "",
            )
            if elapsed > PATIENCE_S and not warned and not Node.objects.alive().exists():
                warned = True
                bar.console.print(
                    "No queue server is running, so the run waits. Start one in another "
                    "terminal: ./manage.py qcluster",
                    soft_wrap=True,
                )
            if run.state == Run.State.IN_PROGRESS:
                time.sleep(LOOK_S)


class RunsCommand(MigratedCommand):
    """Does something to runs that are named, or to all in a state; none is left out in silence."""

    #: Changes the runs with these keys on behalf of somebody; how many chunks it changed.
    step: Callable[[list[int], str], int]
    #: Is said at the end: {count}, {chunks} or {failed} changed, of {runs} that were chosen.
    done: str
    #: The state of the runs that --all and --computation mean.
    without_ids: str

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("runs", metavar="RUN", nargs="*", help="the task_id in its address")
        parser.add_argument("--computation", metavar="NAME", help="all runs of a computation")
        parser.add_argument(
            "--all", action="store_true", help="all runs there are, or all of --computation"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = self.chosen(options["runs"], options["computation"], options["all"])
        count = sum(self.step(batch, "the operator") for batch in batches(chosen))
        runs = number_of(chosen.count(), "run")
        chunks, failed = number_of(count, "chunk"), number_of(count, "failed chunk")
        told = self.done.format(count=f"{count:,}", chunks=chunks, failed=failed, runs=runs)
        self.stdout.write(told)

    def chosen(self, ids: list[str], computation: str | None, everything: bool) -> RunQuerySet:
        if bool(ids) == (everything or computation is not None):
            raise CommandError("Give the runs, or --computation, or --all.")
        if not ids:
            named = {} if computation is None else {"computation": computation}
            check_name(computation)
            keys = Run.objects.filter(state=self.without_ids, **named).values_list("pk", flat=True)
            return Run.objects.filter(pk__among=list(keys))
        found = Run.objects.filter(task_id__among=ids)
        missing = set(ids) - set(found.values_list("task_id", flat=True))
        if missing:
            raise CommandError(f"There is no run {', '.join(sorted(missing))}. Nothing is done.")
        return found


def check_name(computation: str | None) -> None:
    """CommandError for a name that is no computation's. Its runs may be there when it is not."""
    known = all_computations()
    if computation is None or computation in known:
        return
    if not Run.objects.filter(computation=computation).exists():
        raise CommandError(
            f"There is no computation {computation!r}; there are: {', '.join(known)}."
        )
