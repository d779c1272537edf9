"""For one version: a mail that the version before has queued names its task by this path."""

from .web.passwords import send_links

__all__ = ["send_links"]
