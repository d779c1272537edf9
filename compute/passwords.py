"""For one version: the name in the queue of a task that the version before had here."""

from .web.passwords import send_links

__all__ = ["send_links"]
