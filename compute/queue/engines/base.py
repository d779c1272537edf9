"""What the queue asks of its database, whichever that is.

Nothing here decides what becomes of a job: `transitions` does, and is alone in calling what
writes a job's state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection

from . import sql
from .groups import Groups

Keys = Collection[str] | Collection[int]
#: An SQL statement and its parameters.
Statement = tuple[str, list[Any]]
#: Values by column, as the database takes them.
Values = dict[str, Any]
#: A step that is done within a write, where writes come one after another.
Then = Callable[[], None] | None
#: A job as somebody has seen it, by `task_id` and `delivery`: once it is handed over or taken
#: back, this is no more.
Held = tuple[str, int]

#: The end of a lease that nobody holds. So long ago that no clock can think otherwise.
FREE = datetime(2000, 1, 1, tzinfo=UTC)


class Lease(NamedTuple):
    """The right of one claim to run a queued package, until its time is up."""

    queue_id: int
    #: Which handing-over of its job this is, from 1; 0 if no unsettled job wants the package.
    delivery: int = 0
    attempt: int = 0
    #: Whether somebody held it before, who has neither ended the job nor given it back in time.
    expired: bool = False


class Entry(NamedTuple):
    """A package, and what has to be known of its task to make the job."""

    payload: str
    task_id: str
    name: str
    queued_at: datetime


class Engine(Groups, ABC):
    """All that a database is asked to do. A write stands whole or not at all, is a part of the
    caller's transaction if there is one, and its commit wakes the nodes if it frees work."""

    #: Ends a SELECT that locks what it finds, and passes over what others have locked.
    SKIP_LOCKED: str
    #: From where the values of a record come: from nowhere, if its outcome did not count.
    RECORD_SOURCE: str

    # --- jobs: for `transitions` alone --------------------------------------------------

    @abstractmethod
    def enter(self, queue: str, payload: str, entry: Entry | None) -> int:
        """Write a package and the job of its task, if it has one; the package's id."""

    @abstractmethod
    def enter_all(self, queue: str, group: str, entries: Sequence[Entry]) -> None:
        """Write the packages and jobs of a group, in the order of their positions.

        Inside the caller's transaction, at any size in a few statements.
        """

    @abstractmethod
    def claim(self, **claim: Any) -> list[tuple[Lease, str]]:
        """Lease the oldest free packages of a `queue` for `lease_s` seconds on the database's
        clock, at most `limit`, and set their jobs running, by `node` and `worker`.

        In one write; each with its payload; none that another claim holds.
        """

    def start(self, task_id: str, worker: int) -> None:
        """Set a job running that has no package."""
        sql.execute(sql.START.format(now=self.NOW), [worker, task_id])

    def settle(
        self, task_id: str, lease: Lease, outcome: Values, record: Values | None, then: Then
    ) -> bool:
        """Set the columns of `outcome`, remove the package, write django-q2's `record`.

        False, and nothing is written, if the job has settled or the delivery counts no more.
        """
        columns = ", ".join(f"{column} = %s" for column in outcome)
        update = sql.SETTLE.format(now=self.NOW, outcome=columns)
        statements = [
            (update, [*outcome.values(), task_id, lease.delivery]),
            (sql.ACKNOWLEDGE, [lease.queue_id]),
        ]
        if record:
            quoted = [f'"{column}"' for column in record]
            insert = sql.RECORD.format(
                columns=", ".join(quoted),
                values=", ".join(["%s"] * len(quoted)),
                source=self.RECORD_SOURCE,
                replaced=", ".join(f"{column} = excluded.{column}" for column in quoted),
            )
            statements.append((insert, [*record.values()]))
        return self.write_outcome(statements, then)

    @abstractmethod
    def write_outcome(self, statements: list[Statement], then: Then) -> bool:
        """The two or three of `settle`, as one write, which ends if the first finds nothing."""

    @abstractmethod
    def give_back(self, held: Collection[Held], pause_s: float) -> int:
        """Queue jobs again that still are held as they were; how many.

        They can be claimed when the pause is over, or at once if that is 0.
        """

    def count_death(self, task_id: str) -> None:
        sql.execute("UPDATE queue_job SET deaths = deaths + 1 WHERE task_id = %s", [task_id])

    def uncount_start(self, task_id: str) -> None:
        sql.execute(
            "UPDATE queue_job SET attempt = attempt - 1 WHERE task_id = %s AND attempt > 0",
            [task_id],
        )

    def withdraw(self, task_ids: Collection[str], reason: str) -> int:
        """Cancel what is unsettled and remove its packages; how many.

        Two commits, for a claim locks package and job in the other order. A package that a
        crash leaves between them has no job to run: the worker that gets it drops it.
        """
        chosen, ids = self.among("task_id", task_ids)
        count = sql.execute(sql.CANCEL.format(now=self.NOW, chosen=chosen), [reason, ids])
        cancelled = sql.fetch(sql.CANCELLED.format(chosen=chosen), [ids])
        chosen, ids = self.among("id", [queue_id for (queue_id,) in cancelled], numbers=True)
        sql.execute(f"DELETE FROM django_q_ormq WHERE {chosen}", [ids])
        return count

    @abstractmethod
    def requeue(self, task_ids: Collection[str]) -> list[tuple[str, str]]:
        """Give failed jobs new packages and remove django-q2's records of their failures.

        Inside the caller's transaction. Task id and group of each job that was failed still,
        and is locked until the commit. No payload leaves the database: ten thousand of them
        would be read, sent back and parsed twice, and a job at a time took a minute and a half.
        """

    # --- other rows ---------------------------------------------------------------------

    def turn(self) -> AbstractContextManager[None]:
        """Makes a write wait for its turn, and stand whole, where there is one at a time.

        OperationalError if the database stays locked for too long.
        """
        return nullcontext()

    @abstractmethod
    def among(self, column: str, keys: Keys, numbers: bool = False) -> tuple[str, Any]:
        """That a column is one of these, in SQL with one placeholder, and what that stands for.

        However many they are: a placeholder for each would be refused by SQLite from some ten
        thousand on, and takes Postgres' driver a second to read.
        """

    def lock_ended(self, groups: Collection[str], before: datetime) -> Counter[str]:
        """How many jobs of each group have ended before a time; until the caller's commit
        nobody can change them. What somebody else has locked is not among them."""
        chosen, keys = self.among('"group"', groups)
        ended = sql.ENDED.format(chosen=chosen, lock=self.SKIP_LOCKED)
        return Counter(group for (group,) in sql.fetch(ended, [keys, self.moment(before)]))

    def add_counts(self, counts: Sequence[tuple[str, str, float]]) -> None:
        """Add to the running counts, by function and kind."""
        add = sql.COUNT.format(rows=", ".join(["(%s, %s, %s)"] * len(counts)))
        with self.turn():
            sql.execute(add, [value for count in counts for value in count])

    def counts(self) -> sql.Rows:
        return sql.fetch("SELECT func, kind, value FROM queue_tally ORDER BY func, kind")

    # --- what a node needs --------------------------------------------------------------

    @abstractmethod
    def commits(self) -> Iterator[None]:
        """Yield once, and then whenever a commit may have queued something; for ever.

        DatabaseError or OSError if nothing can be heard.
        """

    def cut_log(self) -> None:
        """Keep the database's own log short, where it does not do so by itself.

        Every node calls this in each of its rounds. What does not succeed is said, and tried
        again in the next.
        """

    def prepare(self, connection: Any) -> None:
        """Set a new connection up."""

    def careless(self, database: dict[str, Any]) -> tuple[str, str] | None:
        """What in the settings of a database is dangerous, if it is of this kind; what to do."""

    @staticmethod
    def moment(time: datetime) -> Any:
        """A time as the database takes it."""
        return connection.ops.adapt_datetimefield_value(time)
