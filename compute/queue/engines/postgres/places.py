"""The place in each flow before which nothing waits, so that no claim walks over what is dead.

A claim goes along an index to the first task that waits. The tasks that were claimed before are
there, dead, until Postgres may clear them away, and an older snapshot forbids that: under a backup
of an hour each claim walked over all that the hour had done (measured: 60,000 tasks, ten
milliseconds). A process whose claims take long remembers how far there was nothing.

A place never passes what waits, for ids rise, and each exception is taken care of:

* An id may be committed after a younger one. So a look goes no further than the last id of a mark
  made before it, and counts only if all transactions of that time have ended.
* A task that comes back has its old id. What puts it back raises a sequence, at once and whether or
  not it commits, and a place counts only while that shows what it showed at the mark.
* Older code raises nothing, nor does a person. So a place is forgotten soon.
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

from .. import sql

#: Seconds from which on a claim takes long, as two to three do on a server that is well.
LONG_S = 0.003
#: Seconds between two looks until there is a place, and for which one is remembered.
PAUSE_S, REMEMBERED_S = 1, 5

RETURNS = "coalesce(pg_sequence_last_value('queue_returns'), 0)"
#: A statement of its own, before the look, whose snapshot is of its beginning.
MARK = f"""
    SELECT {RETURNS}, statement_timestamp(), coalesce(
        pg_sequence_last_value(pg_get_serial_sequence('django_q_ormq', 'id')::regclass), 0
    )
"""
LOOK = f"""
    SELECT pg_snapshot_xmin(snapshot)::text::bigint, pg_snapshot_xmax(snapshot)::text::bigint,
        least(%(began_at)s::timestamptz, (
            SELECT lock FROM django_q_ormq WHERE key = %(queue)s AND lock > '2001-01-01'
            ORDER BY lock LIMIT 1
        )),
        (
            SELECT jsonb_object_agg(id, least(({sql.FIRST.format(flow="flow.id")}), %(next_id)s))
            FROM (
                SELECT 0 AS id UNION ALL
                SELECT id FROM queue_flow WHERE queue = %(queue)s AND closed_at IS NULL
            ) AS flow
        )::text
    FROM pg_current_snapshot() AS snapshot
"""

HOLDS = f"(SELECT {RETURNS}) = %(returns)s"
#: Of a flow's tasks, and of packages without a turn, those from the place on.
OF_FLOW = f"""
    AND job.queue_id >= CASE WHEN {HOLDS}
        THEN coalesce((%(firsts)s::jsonb ->> ({{flow}})::text)::bigint, 0) ELSE 0 END
"""
OF_LOCK = f"AND lock >= CASE WHEN {HOLDS} THEN %(since)s::timestamptz ELSE '2001-01-01' END"


class Mark(NamedTuple):
    """What was true at a time."""

    #: Every transaction that had begun to write has a lower number.
    next_transaction: int
    returns: int
    began_at: Any
    last_id: int


class Place(NamedTuple):
    #: The number that the sequence has to show.
    returns: int
    #: Of each flow the id from which on something may wait, as JSON.
    firsts: str
    #: From when on leases or pauses may have ended.
    since: Any


class Places:
    """What a process remembers of a queue."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.mark: Mark | None = None
        self.place: Place | None = None
        self.looked, self.due = -math.inf, math.inf

    def get(self) -> Place | None:
        """Where a claim may begin, if it need not begin at the beginning."""
        if time.monotonic() >= self.due:
            self.look()
        return self.place

    def took(self, seconds: float) -> None:
        """Note how long a claim has taken."""
        if seconds > LONG_S:
            self.due = min(self.due, self.looked + PAUSE_S)

    def look(self) -> None:
        """See what waits, all of it, and remember that as far as it is sure, if it takes long."""
        ((returns, began_at, last_id),) = sql.fetch(MARK)
        mark, self.looked = self.mark, time.monotonic()
        values = {
            "queue": self.queue,
            "began_at": mark and mark.began_at,
            "next_id": mark.last_id + 1 if mark else 0,
        }
        ((oldest, next_, since, firsts),) = sql.fetch(LOOK, values)
        sure = mark and oldest >= mark.next_transaction and returns == mark.returns
        self.place = Place(returns, firsts, since) if sure else None
        self.mark = Mark(next_, returns, began_at, last_id)
        self.due = self.looked + (REMEMBERED_S if sure else PAUSE_S)
        if time.monotonic() - self.looked <= LONG_S:  # nothing that is worth it
            self.mark, self.place, self.due = None, None, math.inf
