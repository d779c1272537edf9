"""`manage.py retry RUN …`: does the failed chunks of some runs, or of all, once more."""

from __future__ import annotations

from compute.management.terminal import RunsCommand
from compute.models import Run
from compute.several import retry


class Command(RunsCommand):
    help = "Queues the failed chunks of runs again, however many there are."
    step = staticmethod(retry)
    done = "Queued {failed} of {runs} again."
    without_ids = Run.State.ERROR
