"""How a task of Django's framework was asked for: as it travels, and as its job keeps it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django_q.conf import Conf

from .engines import Share
from .sharing import Priority
from .text import shorten

#: The queue of a task that names none.
DEFAULT = "default"


class Asked(NamedTuple):
    """All of a task but its function. What is not of the framework may be None."""

    #: The dotted path of its function.
    path: str
    backend: str
    priority: int
    queue_name: str
    #: In ISO's form, with the time zone.
    run_after: str | None
    takes_context: bool
    timeout: float | None
    at_once: int | None

    @classmethod
    def of(cls, task: Any) -> Asked:
        own: dict[str, Any] = {name: getattr(task, name, None) for name in cls._fields[1:]}
        own["run_after"] = task.run_after and task.run_after.isoformat()
        return cls(task.module_path, **own)

    @classmethod
    def kept(cls, values: dict[str, Any]) -> Asked:
        """As this version, or another that knows more or less, has kept it."""
        known: dict[str, Any] = {name: values.get(name) for name in cls._fields}
        return cls(**known)

    @property
    def due_at(self) -> datetime | None:
        return datetime.fromisoformat(self.run_after) if self.run_after else None

    @property
    def queue(self) -> str:
        """The queue, as django-q2 names it: the default one is that of this process."""
        return Conf.CLUSTER_NAME if self.queue_name == DEFAULT else self.queue_name

    def share(self) -> Share:
        """Its flow: that of the function, or one beside it for those of another priority, or of
        which not all may be at work at once."""
        priority = Priority.NORMAL
        if self.priority:
            priority = Priority.URGENT if self.priority > 0 else Priority.BACKGROUND
        beside = "" if priority == Priority.NORMAL else f" ({priority.value})"
        client = shorten(self.path, 160) + beside
        if self.at_once is None:
            return Share(client, client, priority.weight)
        key = f"{client}, {self.at_once} at once"
        return Share(key, client, priority.weight, self.at_once, shorten(self.path, 200))
