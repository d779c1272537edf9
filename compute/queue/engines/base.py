"""The queue's questions to its database, whichever that is.

Nothing here decides what becomes of a job: `transitions` does, and is alone in calling what
writes a job's state.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

from django.db import Error, InterfaceError, OperationalError, connection

from . import sql
from .counts import Counts
from .flows import Flows
from .groups import Groups
from .parts import Parts
from .values import FREE, UP, Entry, Held, Keys, Lease, Outcome, Share, Statement, Then, Values, Way


class Engine(Groups, Flows, Counts, Parts, ABC):
    """All that a database is asked to do. A write stands whole or not at all, is a part of the
    caller's transaction if there is one, and its commit wakes the nodes if it frees work."""

    #: Ends a SELECT that locks what it finds, and passes over what others have locked.
    SKIP_LOCKED: str
    #: Where a record's values come from, and what ends a condition: nothing, if no outcome counts.
    RECORD_SOURCE: str
    IF_SETTLED: str
    #: How the names of files end that a process can't open again once a task has closed them.
    FILES: Sequence[str] = ()

    # --- jobs: for `transitions` alone --------------------------------------------------

    @abstractmethod
    def enter(self, queue: str, payload: str, job: tuple[Entry, Share] | None = None) -> int:
        """Write a package and, of a task that has one, its job in a flow; the package's id.

        No row that is there already is written or locked, for the caller's transaction may be
        long; but a flow that was closed.
        """

    @abstractmethod
    def enter_all(self, queue: str, group: str, entries: Sequence[Entry], share: Share) -> None:
        """Write the packages and jobs of a group, in the order of their positions.

        Inside the caller's transaction, at any size in a few statements.
        """

    def claim(
        self, *, again_first: bool, limited: bool | None, interrupted: bool = False, **claim: Any
    ) -> list[tuple[Lease, str]]:
        """Lease free packages of a `queue` for `lease_s` seconds on the database's clock, at most
        `limit`, and set their jobs running, by `node` and `worker`.

        The oldest of the least served client's least served flow that is not paused, with worker
        seconds by flow that are `uncharged`; and what has no turn, before these if `again_first`:
        its holder, a lease or a pause has ended, or stock django-q2 or older code has queued it.
        What needs a slot only if one is free: in its turn if `limited`, and before all if it was
        `interrupted`; when nothing else waits if not; never if None. Each in one write, which
        touches no flow; with its payload; none that another claim holds, or of `held`, which the
        node knows to be at work, whatever a clock says.
        """
        ways = [Way.LIMITED if limited else Way.FAIR]
        ways.insert(0 if again_first else 1, Way.AGAIN)
        ways = [Way.INTERRUPTED] * bool(interrupted and limited) + ways
        ways += [Way.LIMITED] * (limited is False)
        claim["uncharged"] = json.dumps(had) if (had := claim.get("uncharged")) else ""
        claimed: list[tuple[Lease, str]] = []
        for way in ways:
            if left := claim["limit"] - len(claimed):
                claimed += self.take(way, {**claim, "limit": left})
        return sorted(claimed)

    def claim_more(self, **claim: Any) -> list[tuple[Lease, str]]:
        """The next packages of one `flow`, at most `limit`, in one write; else as `claim`."""
        return sorted(self.take(Way.MORE, claim))

    @abstractmethod
    def take(self, way: Way, claim: Values) -> list[tuple[Lease, str]]:
        """Claim what is found in one way."""

    def admit(self, job: Values) -> bool:
        """Make a running job for a package that has none; false if there is one of its id."""
        with self.turn():
            return sql.execute(sql.ADMIT.format(now=self.NOW), job) > 0

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
            statements.append((self.record_insert(record), [*record.values()]))
        if lease.is_limited:
            mine = f"WHERE queue_id = %s{self.IF_SETTLED}"
            vacate = sql.VACATE.format(free=self.NEVER, which=mine)
            statements.append((vacate, [lease.queue_id]))
        return self.write_outcome(statements, then)

    def record_insert(self, record: Values) -> str:
        """The statement that writes django-q2's record, of its values in their order."""
        values = ", ".join(["%s"] * len(record))
        return sql.in_columns(sql.RECORD, record, values=values, source=self.RECORD_SOURCE)

    @abstractmethod
    def write_outcome(self, statements: list[Statement], then: Then) -> bool:
        """The statements of `settle`, as one write, which ends if the first finds nothing."""

    @abstractmethod
    def settle_done(self, outcomes: Sequence[Outcome], then: Then) -> set[str]:
        """Write that tasks are done, as `settle` does of one, in one write; which of them count.

        `then` as there. One that somebody else has locked is left as it is, and not among them:
        nobody waits for a second row while holding a first.
        """

    @abstractmethod
    def give_back(self, held: Collection[Held], pause_s: float, up: datetime = FREE) -> int:
        """Queue jobs again that still are held as they were; how many.

        They can be claimed when the pause is over; if that is 0 at once, in their turn, or, if they
        are `up` as `NEXT` or `UP` says, before it (`claim`); the latter tells who claims them.
        """

    def count_death(self, task_id: str) -> None:
        sql.execute("UPDATE queue_job SET deaths = deaths + 1 WHERE task_id = %s", [task_id])

    def uncount_starts(self, task_ids: Collection[str]) -> None:
        chosen, ids = self.among("task_id", task_ids)
        sql.execute(
            "UPDATE queue_job SET attempt = attempt - 1, starts = starts - 1 "
            f"WHERE {chosen} AND attempt > 0 AND starts > 0",
            [ids],
        )

    def withdraw(self, task_ids: Collection[str], reason: str) -> int:
        """Cancel what is unsettled and remove its packages; how many.

        Two commits, for a claim locks package and job in the other order. A package that a
        crash leaves between them has no job to run: the worker that gets it drops it.
        """
        chosen, ids = self.among("task_id", task_ids)
        count = sql.execute(sql.CANCEL.format(now=self.NOW, chosen=chosen), [reason, ids])
        cancelled = sql.fetch(sql.CANCELLED.format(chosen=chosen), [ids])
        queue_ids = [queue_id for (queue_id,) in cancelled]
        chosen, ids = self.among("id", queue_ids, numbers=True)
        sql.execute(f"DELETE FROM django_q_ormq WHERE {chosen}", [ids])
        self.vacate(queue_ids)
        return count

    @abstractmethod
    def requeue(self, task_ids: Collection[str], state: str) -> list[tuple[str, str]]:
        """Give jobs that have failed, or were cancelled (`state`), new packages, and remove
        django-q2's records of their failures.

        Inside the caller's transaction. Task id and group of each job that was in that state
        still, and is locked until the commit. No payload leaves the database: ten thousand of them
        would be read, sent back and parsed twice, and a job at a time took a minute and a half.
        """

    def stray(self, queue: str) -> int:
        """Have packages that wait in no line claimed, too: without a job, or with one that has
        settled, as a crash leaves them. Reads the whole queue; how many there were."""
        with self.turn():
            return sql.execute(sql.ASTRAY.format(up=f"'{UP.replace(tzinfo=None)}'"), [queue])

    # --- other rows ---------------------------------------------------------------------

    def turn(self) -> AbstractContextManager[None]:
        """Makes a write wait for its turn, and stand whole, where there is one at a time.
        OperationalError if the database stays locked for too long."""
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

    def is_away(self, error: Error) -> bool:
        """Whether it did not answer, or does not write now, so that waiting may help."""
        return isinstance(error, OperationalError | InterfaceError)

    @abstractmethod
    def size(self) -> int:
        """Bytes that the database holds. Room that was freed does not count where that is known."""

    @abstractmethod
    def wake(self) -> None:
        """Have workers look for a task, as soon as the caller's transaction is over."""

    # --- what a node needs --------------------------------------------------------------

    @abstractmethod
    def commits(self) -> Iterator[None]:
        """Yield once, and then whenever a commit may have queued something; for ever.

        DatabaseError or OSError if nothing can be heard.
        """

    def cut_log(self) -> None:
        """Keep the database's own log short, where it does not do so by itself. Every node calls
        this in each round; what does not succeed is said, and tried again."""

    def prepare(self, connection: Any) -> None:
        """Set a new connection up."""

    def unfit(self, database: dict[str, Any]) -> tuple[str, str] | None:
        """What in the settings of a database of this kind the queue can't work with, and the way
        out."""

    def careless(self, database: dict[str, Any]) -> tuple[str, str] | None:
        """The danger in the settings of a database, if it is of this kind, and the way out."""

    @staticmethod
    def moment(time: datetime) -> Any:
        """A time as the database takes it."""
        return connection.ops.adapt_datetimefield_value(time)
