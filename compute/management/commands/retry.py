"""`manage.py retry RUN …`: what has failed of some runs, or of all, once more."""

from __future__ import annotations

from compute.management.terminal import RunsCommand
from compute.models import Run
from compute.several import retry


class Command(RunsCommand):
    help = "Queues the failed chunks of runs again, however many there are."
    step = staticmethod(retry)
    done = "Queued {count:,} failed chunk(s) of {runs:,} run(s) again."
    without_ids = Run.State.ERROR
