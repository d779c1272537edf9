"""For one version: a task that the version before has queued names it by this path."""

from .models.combining import combine

__all__ = ["combine"]
