"""Failed parts of runs, done once more: chunks, or the task that combines them. And cancelled
runs that go on."""

from __future__ import annotations

from django.db import models, transaction

from ..queue.models import Job, JobState
from .notes import NOTED, judge
from .run import Run, RunQuerySet
from .states import RunState


def retry(run: Run) -> int:
    """Queue every failed chunk again, or else its combine task; how many jobs."""
    return run.failures().retry() or int(combine_again(run))


def can_go_on(run: Run) -> bool:
    """Whether a cancelled run can go on: code of the version before keeps nothing of a chunk."""
    return run.state == RunState.CANCELLED and not run.cancelled().filter(payload="").exists()


def go_on(run: Run) -> int:
    """Queue the cancelled chunks again, or else its combine task; how many jobs. What is done
    stays done."""
    count = run.cancelled().go_on() or int(combine_again(run))
    if count:
        run.flow.resume()
    return count


def combine_again(run: Run) -> bool:
    """Combine the chunks' results once more, after the code that failed was mended.

    False, and nothing done, unless all chunks are done and the run ended without a result.
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
    """Queue the failed chunks of these runs again, and their failed combine tasks; how many
    jobs."""
    return runs.chunks().filter(state=JobState.FAILED).retry() + combine_all_again(runs)


def combine_all_again(runs: RunQuerySet) -> int:
    """Combine the runs again whose chunks are all done, and which ended without a result; how
    many."""
    not_done = Job.objects.filter(group=models.OuterRef("task_id")).exclude(state=JobState.DONE)
    ended = runs.filter(state__in=(RunState.ERROR, RunState.CANCELLED))
    found = ended.exclude(models.Exists(not_done)).defer("result", "parameters", "given")
    return sum(combine_again(run) for run in found)
