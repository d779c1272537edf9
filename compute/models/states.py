"""In which states a run can be, and how far it is."""

from __future__ import annotations

from typing import NamedTuple

from django.db import models


class RunState(models.TextChoices):
    IN_PROGRESS = "in-progress", "running"
    DONE = "done", "done"
    ERROR = "error", "failed"
    CANCELLED = "cancelled", "cancelled"


class Progress(NamedTuple):
    """How many of a run's chunks are where."""

    done: int
    failed: int  # cancelled ones too: they will not become done by themselves
    total: int
    #: How far the chunks at work say they are, each from 0 to 1, added up.
    under_way: float = 0.0

    @property
    def settled(self) -> bool:
        return self.done + self.failed == self.total

    @property
    def fraction(self) -> float:
        """How much of it all is done, from 0 to 1."""
        return (self.done + self.under_way) / self.total if self.total else 1.0
