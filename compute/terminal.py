"""A run followed in the terminal, with a live bar."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from django.contrib.humanize.templatetags.humanize import intword
from django.core.management import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .computation import Computation, ComputationError
from .forms import ChunkSizeForm, filled_in
from .given import Given, as_data, storable
from .models import Plan, Run
from .queue.models import Node
from .refusals import refusal_of

#: Seconds between two looks at the run.
LOOK = 0.2
#: Seconds without a queue server before it is said that there is none.
PATIENCE = 2


class RunCommand(BaseCommand):
    """The result goes to stdout, all else to stderr; the exit code is 1 if the run fails."""

    def form(self, computation: Computation, data: Given) -> ChunkSizeForm:
        """The computation's form, filled in so; CommandError if it refuses that, or fails."""
        if not all(text == storable(text) for values in data.values() for text in values):
            raise CommandError("A value is no text: it holds bytes that are no UTF-8.")
        try:
            form = filled_in(computation, as_data(data))
            refusal = refusal_of(form)
        except ComputationError as error:
            raise CommandError(str(error)) from error
        if refusal:
            raise CommandError(refusal.detail)
        return form

    def finish(self, form: ChunkSizeForm, plan: Callable[[], Plan]) -> None:
        """Start what is planned, follow it to its end and print what came of it. Ctrl-C leaves
        it going."""
        try:
            run = plan().start()
        except ComputationError as error:
            raise CommandError(str(error)) from error
        Run.objects.filter(pk=run.pk).update(given=form.given)
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
        self.stdout.write(json.dumps(run.result))


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
            progress = run.refresh()
            elapsed = time.monotonic() - began
            rate = length * progress.fraction / elapsed
            bar.update(
                shown,
                # One task may say nothing between start and end: a bar without an end, then.
                total=1 if run.chunks > 1 or progress.fraction else None,
                completed=progress.fraction,
                chunks=f"{progress.done:,} of {progress.total:,} chunks",
                rate=f"{intword(int(rate))}/s" if rate else "",
            )
            if elapsed > PATIENCE and not warned and not Node.objects.alive().exists():
                warned = True
                bar.console.print(
                    "No queue server is running, so the run waits. Start one in another "
                    "terminal: ./manage.py qcluster",
                    soft_wrap=True,
                )
            if run.state == Run.State.IN_PROGRESS:
                time.sleep(LOOK)
