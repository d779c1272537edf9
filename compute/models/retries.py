"""What has failed of runs, done once more: chunks, or what makes one result of them."""

from __future__ import annotations

from django.db import models, transaction

from ..queue.models import Job, JobState
from .notes import NOTED, judge
from .run import Run, RunQuerySet
from .states import RunState


def retry(run: Run) -> int:
    """Queue every failed chunk again, or else what failed to combine them; how many jobs."""
    return run.failures().retry() or int(combine_again(run))


def combine_again(run: Run) -> bool:
    """Make one result of the chunks' once more, whose code was mended meanwhile.

    False, and nothing done, unless all chunks are done and that has failed.
    """
    with transaction.atomic():
        locked = Run.objects.select_for_update().get(pk=run.pk)
        progress = locked.progress()
        ended = locked.state in (RunState.ERROR, RunState.CANCELLED)
        if not (ended and progress.settled and not progress.failed):
            return False
        locked.combine_id = locked.function = ""  # by whatever code there is now
        judge(locked, progress)
        locked.save(update_fields=[*NOTED, "function"])
    run.refresh_from_db(fields=NOTED)
    return True


def retry_all(runs: RunQuerySet) -> int:
    """Queue every failed chunk of these runs again, and what failed to combine them; how
    many jobs."""
    return runs.chunks().filter(state=JobState.FAILED).retry() + combine_all_again(runs)


def combine_all_again(runs: RunQuerySet) -> int:
    """Combine once more the chunks of those whose chunks are all done, and which ended
    without a result; how many those were."""
    not_done = Job.objects.filter(group=models.OuterRef("task_id")).exclude(state=JobState.DONE)
    ended = runs.filter(state__in=(RunState.ERROR, RunState.CANCELLED))
    found = ended.exclude(models.Exists(not_done)).defer("result", "parameters", "given")
    return sum(combine_again(run) for run in found)
