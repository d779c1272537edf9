"""What the engines are asked with, and what they answer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, NamedTuple

Keys = Collection[str] | Collection[int]
#: A job as somebody has seen it, by `task_id` and `delivery`: once it is handed over or taken
#: back, this is no more.
Held = tuple[str, int]
#: An SQL statement and its parameters.
Statement = tuple[str, list[Any]]
#: Values by column, as the database takes them.
Values = dict[str, Any]
#: A step that is done within a write, where writes come one after another.
Then = Callable[[], None] | None
#: The end of a lease that nobody holds. So long ago that no clock can think otherwise.
FREE = datetime(2000, 1, 1, tzinfo=UTC)
#: The end of one that somebody has held, or might have: such a package is up again.
UP = datetime(2002, 1, 1, tzinfo=UTC)
#: The end of one that was given back by who knew that its holder had ended: it is up again, too.
NEXT = datetime(2003, 1, 1, tzinfo=UTC)


class Lease(NamedTuple):
    """The right of one claim to run a queued package, until its time is up."""

    queue_id: int
    #: Which handing-over of its job this is, from 1; 0 if no unsettled job wants the package.
    delivery: int = 0
    attempt: int = 0
    #: How often it was started since it was queued or retried, this time included.
    starts: int = 0
    #: The line in which it waited, by its id.
    flow: int = 0
    #: Whether somebody held it before, who has neither ended the job nor given it back in time.
    expired: bool = False
    #: Whether it has one of its flow's slots, or may have.
    is_limited: bool = False


class Way(Enum):
    """How a claim finds packages: of flows in their turn, without those that need a slot or with
    them; more of one flow; those that have no turn; and such as need a slot."""

    FAIR = auto()
    LIMITED = auto()
    MORE = auto()
    AGAIN = auto()
    INTERRUPTED = auto()


class Outcome(NamedTuple):
    """What a task that is done has come to, until it is written."""

    task_id: str
    lease: Lease
    #: Its result as it is stored; None for none.
    result: str | None
    #: django-q2's record by its columns; None for none.
    record: Values | None
    #: When it began and ended, in seconds by the monotonic clock of its machine.
    began: float
    ended: float


class Share(NamedTuple):
    """The flow of what is queued, which is made if there is none of its key."""

    #: Its name in its queue: the group's id, or the function's path.
    key: str
    client: str
    weight: float = 1.0
    #: How many of its tasks may be at work at once, over all nodes; None for any number.
    at_once: int | None = None
    #: Whose slots these are: flows that share a limit have the same.
    pool: str = ""
    #: The kind that it is of, which can be paused as a whole.
    kind: str = ""


class Entry(NamedTuple):
    """A package, and what has to be known of its task to make the job."""

    payload: str
    task_id: str
    name: str
    queued_at: datetime
    #: When it may be claimed; None for at once.
    due_at: datetime | None = None
    #: Of a task of Django's framework how it was asked for, as JSON; "" of any other.
    asked: str = ""
