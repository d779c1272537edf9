"""Runs retried, combined, cancelled, paused and preferred many at a time, in the admin and in a
terminal."""

from __future__ import annotations

from collections.abc import Iterator

from .models import Run, RunQuerySet, notes, retries
from .queue.bulk import FEW, Done, carry_out
from .queue.transitions import BATCH


def retry_all(keys: list[int], by: str) -> Done:
    return carry_out(by, (retry, batches(Run.objects.filter(pk__among=keys))))


def cancel_all(keys: list[int], by: str) -> Done:
    return carry_out(by, (cancel, batches(Run.objects.filter(pk__among=keys))))


def combine_all(keys: list[int], by: str) -> Done:
    return carry_out(by, (combine, batches(Run.objects.filter(pk__among=keys))))


def pause_all(keys: list[int], by: str) -> Done:
    return Done(pause(keys, by))  # one update, however many chunks they have


def resume_all(keys: list[int], by: str) -> Done:
    return Done(resume(keys, by))


def prioritize_all(priority: str, keys: list[int], by: str) -> Done:
    return Done(Run.objects.filter(pk__among=keys).flows.prioritize(priority))


def retry(keys: list[int], by: str) -> int:
    """How many failed tasks of these runs are queued again."""
    return retries.retry_all(Run.objects.filter(pk__among=keys))


def combine(keys: list[int], by: str) -> int:
    """How many of these runs, whose chunks are done, are combined again."""
    return retries.combine_all_again(Run.objects.filter(pk__among=keys))


def cancel(keys: list[int], by: str) -> int:
    """How many unfinished tasks of these runs are withdrawn or stopped."""
    return notes.cancel(Run.objects.filter(pk__among=keys), by)


def pause(keys: list[int], by: str) -> int:
    """How many of these runs, those that are unfinished, are paused."""
    return Run.objects.filter(pk__among=keys).unfinished().flows.pause()


def resume(keys: list[int], by: str) -> int:
    return Run.objects.filter(pk__among=keys).flows.filter(paused=True).resume()


def batches(runs: RunQuerySet) -> Iterator[list[int]]:
    """Keys of few runs each, which have not too many chunks together."""
    batch: list[int] = []
    total = 0
    for key, chunks in runs.order_by("pk").values_list("pk", "chunks"):
        if batch and (len(batch) == FEW or total + chunks > BATCH):
            yield batch
            batch, total = [], 0
        batch.append(key)
        total += chunks
    if batch:
        yield batch
