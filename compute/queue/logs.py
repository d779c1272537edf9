"""Which node and which task a line of the log is about, for whoever reads logs by machine.

`AboutFilter` belongs on the handlers of settings.LOGGING: it adds what this process knows to
each record, also to those of django-q2 and of the functions that run. No Django in here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

#: Seconds between two warnings with the same words.
SELDOM_S = 10
#: When this process has warned lately, by the words.
_warned: dict[str, float] = {}

#: The node that this process belongs to, if to any. What is forked from it inherits that.
_node: str | None = None
#: The ids of the task that is running here.
_running: ContextVar[dict[str, Any] | None] = ContextVar("running", default=None)


def in_node(node: str) -> None:
    """From here on all that this process and its children log is a node's."""
    global _node
    _node = node


def ids(task: dict[str, Any]) -> dict[str, Any]:
    """The ids that tell a task from all others, as a log's `extra`."""
    found = {"task": task.get("id"), "group": task.get("group") or task.get("id")}
    if "position" in task:
        found["position"] = task["position"]
    if getattr(task.get("ack_id"), "attempt", 0):
        found["attempt"] = task["ack_id"].attempt
    return found


@contextmanager
def about(task: dict[str, Any]) -> Iterator[None]:
    """Have all that is logged meanwhile be about this task."""
    token = _running.set(ids(task))
    try:
        yield
    finally:
        _running.reset(token)


class AboutFilter(logging.Filter):
    """Adds node, task, group, position and attempt, where they are known, and drops nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        known = {**(_running.get() or {}), **({"node": _node} if _node else {})}
        for name, value in known.items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def seldom(log: logging.Logger, message: str, *args: Any) -> None:
    """Warn, but with the same words only every few seconds: a node looks twice a second."""
    said, now = message % args, time.monotonic()
    for words in [words for words, then in _warned.items() if now - then >= SELDOM_S]:
        del _warned[words]
    if said not in _warned:
        _warned[said] = now
        log.warning(message, *args)


def be_heard(level: str) -> None:
    """Print the queue's lines from this level on, where a project's LOGGING has no place for them,
    as django-q2 does with its own."""
    log = logging.getLogger(__package__)
    if log.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("{asctime} {levelname} {name}: {message}", style="{"))
    log.addHandler(handler)
    log.setLevel(level)
