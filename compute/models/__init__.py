"""Runs, from what people ask for to what becomes of it: each table in a file of its own.

From below: a run's row (`asked`, `run`), what it came to (`output`, written by `keeping`), the task
that combines its chunks (`combining`), its notes of its jobs (`notes`), how it is started (`plans`)
and done again (`retries`), and several in a row (`sweep`). What it has come to while it is at work
is in `partial`, the files that it is given in `upload`; when it will start and end in `outlook`, by
`forecast`, `fluid` and `play`.
"""

from .asked import as_kept
from .mail import MailAsked
from .output import Output
from .partial import Partial
from .run import Run, RunQuerySet
from .speed import Speed, measure
from .states import Progress, RunState
from .sweep import Sweep, advance
from .upload import Upload, UploadQuerySet

__all__ = [
    "MailAsked",
    "Output",
    "Partial",
    "Progress",
    "Run",
    "RunQuerySet",
    "RunState",
    "Speed",
    "Sweep",
    "Upload",
    "UploadQuerySet",
    "advance",  # a task, whose name in the queue this is
    "as_kept",
    "measure",  # another
]
