"""`manage.py resume RUN …`: has the workers go on with paused runs."""

from __future__ import annotations

from compute.management.terminal import RunsCommand
from compute.models import Run
from compute.several import resume


class Command(RunsCommand):
    help = "Resumes paused runs."
    step = staticmethod(resume)
    done = "Resumed {count} of {runs}."
    without_ids = Run.State.IN_PROGRESS
