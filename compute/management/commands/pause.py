"""`manage.py pause RUN …`: has what waits of some runs, or of all, wait on."""

from __future__ import annotations

from compute.management.terminal import RunsCommand
from compute.models import Run
from compute.several import pause


class Command(RunsCommand):
    help = (
        "Pauses unfinished runs: what is at work ends, what waits is kept until they are resumed. "
        "Runs that are started later are not paused."
    )
    step = staticmethod(pause)
    done = "Paused {count} of {runs}."
    without_ids = Run.State.IN_PROGRESS
