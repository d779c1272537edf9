"""For one version: the name in the queue of a task that the version before had here."""

from .models.combining import combine

__all__ = ["combine"]
