"""What people asked for, and what becomes of it: each table in a file of its own.

From below: a run's row (`asked`, `run`), what makes one result of its chunks (`combining`), what
it notes of its jobs (`notes`), how it is started (`plans`) and done again (`retries`), and what
starts several (`sweep`).
"""

from .asked import as_kept
from .mail import MailAsked
from .run import Run, RunQuerySet
from .speed import Speed, measure
from .states import Progress, RunState
from .sweep import Sweep, advance

__all__ = [
    "MailAsked",
    "Progress",
    "Run",
    "RunQuerySet",
    "RunState",
    "Speed",
    "Sweep",
    "advance",  # a task, whose name in the queue this is
    "as_kept",
    "measure",  # another
]
