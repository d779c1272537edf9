"""`manage.py sum N`: a run in the terminal, with a live bar."""

from __future__ import annotations

import sys
import time
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser
from django.db import InterfaceError, OperationalError, transaction
from django_q.tasks import async_task
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from compute import chunking, tasks
from compute.forms import SplitSumForm
from compute.models import Run, title
from compute.queue.fanout import async_iter
from compute.queue.models import Node

#: Seconds between two looks at the run.
LOOK = 0.2
#: Seconds without a queue server before it is said that there is none.
PATIENCE = 2


class Command(BaseCommand):
    help = (
        "Adds up all integers from 1 to N on the queue's workers. The total goes to "
        "stdout, all else to stderr; the exit code is 1 if the run fails. "
        "(MAX_ACTIVE_RUNS holds for the site's visitors and not here.)"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("n", metavar="N", help="a whole number in plain digits")
        parser.add_argument("--split", action="store_true", help="cut the sum into chunks")
        parser.add_argument("--chunk-size", metavar="K", help="numbers in a chunk; needs --split")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["chunk_size"] and not options["split"]:
            raise CommandError("--chunk-size needs --split: a sum in one piece has no chunks.")
        form = SplitSumForm({"n": options["n"], "chunk_size": options["chunk_size"] or ""})
        if not form.is_valid():
            raise CommandError(str(next(iter(form.errors.values()))[0]))
        run = start(split=options["split"], **form.cleaned_data)
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
        if run.state == Run.State.ERROR:
            raise CommandError(run.error())
        self.stdout.write(str(run.result))


def start(*, split: bool, n: int, chunk_size: int | None) -> Run:
    with transaction.atomic():
        if not split:
            task = async_task(tasks.get_sum, n, task_name=title(n))
            return Run.objects.create(task_id=task, kind=Run.Kind.SUM, n=n)
        chunk_size = chunk_size or chunking.default_chunk_size(n)
        chunks = chunking.ranges(n, chunk_size)
        task = async_iter(tasks.get_sum_range, chunks, task_name=title(n))
        return Run.objects.create(
            task_id=task, kind=Run.Kind.SPLIT, n=n, chunk_size=chunk_size, chunks=len(chunks)
        )


def follow(run: Run) -> None:
    """Show a bar until the run has ended; without a queue server say so, and wait on."""
    began = time.monotonic()
    warned = False
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[chunks]} {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        # One piece says nothing between start and end: a bar without an end, then.
        total = run.n if run.chunks > 1 else None
        shown = bar.add_task(str(run), total=total, chunks="", rate="")
        while run.state == Run.State.IN_PROGRESS:
            progress = run.refresh()
            elapsed = time.monotonic() - began
            added = min(run.n, progress.done * (run.chunk_size or run.n))
            bar.update(
                shown,
                completed=added,
                chunks=f"{progress.done:,} of {progress.total:,} chunks",
                rate=f"{added / elapsed / 1e6:,.0f} million/s" if added else "",
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
