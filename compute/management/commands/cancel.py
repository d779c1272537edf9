"""`manage.py cancel RUN …`: ends some runs, or all."""

from __future__ import annotations

from compute.management.terminal import RunsCommand
from compute.models import Run
from compute.several import cancel


class Command(RunsCommand):
    help = "Withdraws what waits of runs, and stops what runs, however much there is."
    step = staticmethod(cancel)
    done = "Cancelled {chunks} of {runs}."
    without_ids = Run.State.IN_PROGRESS
