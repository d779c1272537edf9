"""Postgres: each write is one statement.

A process that freezes (SIGSTOP, a suspended machine) between two would leave rows locked,
and whoever took its job over would have to wait until it thaws.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import Error, connection

from .. import sql
from ..base import Engine
from ..values import FREE, Entry, Held, Keys, Lease, Outcome, Share, Statement, Then, Values, Way
from . import listening, prepared, sessions, several
from .claims import take
from .clock import LATER, NEVER, NOW, NOW_S, PAST, UP_AGAIN
from .places import Places

#: The code of the error of a server that can only be read.
READ_ONLY = "25006"
NOTIFY = f"pg_notify('{listening.CHANNEL}', '')"

ITS_PACKAGE = sql.PACKAGE.format(lock=f"coalesce(%(due_at)s::timestamptz, {NEVER})")
NO_JOBS_PACKAGE = sql.PACKAGE.format(lock=UP_AGAIN)
#: The maker of a flow keeps its name to himself until he commits. Nobody waits for that: until
#: then others' tasks are of flow 0.
MADE = """
    CASE WHEN EXISTS (SELECT FROM known) THEN false
    ELSE pg_try_advisory_xact_lock(hashtext(%(queue)s), hashtext(%(key)s)) END
"""
NEW_FLOW = sql.NEW_FLOW.format(
    weight="%(weight)s::float8", at_once="%(at_once)s::int", source=f"WHERE {MADE}"
)
FLOW = f"known AS ({sql.FLOW}), made AS ({NEW_FLOW})"
ITS_FLOW = "coalesce((SELECT id FROM known), (SELECT id FROM made), 0)"
ENTER_FLOW = f"""
    WITH {FLOW} SELECT id, closed_at FROM known UNION ALL SELECT id, closed_at FROM made
"""
ENTER = f"WITH package AS ({{package}} RETURNING id) {{job}} SELECT id, {NOTIFY} FROM package"
#: From here on the places that claims remember hold no more.
RETURN = "nextval('queue_returns')"
ITS_JOB = sql.JOB.format(
    queue_id="id",
    queued_at="%(queued_at)s::timestamptz",
    flow=ITS_FLOW,
    due_at="%(due_at)s::timestamptz",
    source="FROM package",
)
ENTER_ALONE = ENTER.format(package=NO_JOBS_PACKAGE, job="") + f" WHERE {RETURN} > 0"
ENTER_WITH_JOB = ENTER.format(package=ITS_PACKAGE, job=f", {FLOW}, job AS ({ITS_JOB})")
SLOTS = sql.SLOTS.format(free=NEVER)

#: One array a column: thousands of placeholders take the driver a second to parse.
ITS_PACKAGES = f"""
    INSERT INTO django_q_ormq (key, payload, lock)
    SELECT %s, payload, {NEVER} FROM unnest(%s::text[]) AS payload RETURNING id
"""
ITS_JOBS = """
    INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, queued_at, flow_id)
    SELECT task_id, %s, place - 1, %s, queue_id, name, queued_at, %s
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[])
        WITH ORDINALITY AS job (queue_id, task_id, name, queued_at, place)
"""

SETTLE = """
    WITH settled AS ({} RETURNING 1), acknowledged AS ({} AND EXISTS (SELECT FROM settled)){}
    SELECT count(*) FROM settled
"""

HELD = """
    FROM unnest(%(ids)s::text[], %(deliveries)s::bigint[]) AS held (held_id, held_delivery)
    WHERE task_id = held_id AND delivery = held_delivery
"""
GIVE_BACK = f"""
    WITH given AS ({sql.GIVE_BACK.format(among=HELD, due="{due}")}),
    freed AS (UPDATE django_q_ormq SET lock = {{lock}} FROM given WHERE id = queue_id),
    vacated AS ({
    sql.VACATE.format(free=NEVER, which="FROM given WHERE queue_slot.queue_id = given.queue_id")
})
    SELECT count(*), {NOTIFY}, {RETURN} FROM given
"""

#: Files don't get smaller when rows are removed. Contents come and go by the hundred megabytes, so
#: these count by what they hold.
SIZE = """
    SELECT pg_database_size(current_database()) - pg_total_relation_size('queue_part')
        + (SELECT coalesce(sum(size), 0) FROM queue_content)
"""

REQUEUE = f"""
    WITH ended AS MATERIALIZED ({{ended}} FOR UPDATE),
    numbered AS MATERIALIZED (
        SELECT *, nextval(pg_get_serial_sequence('django_q_ormq', 'id')) AS number FROM ended
    ),
    packages AS ({sql.PACKAGES.format(free=NEVER, numbered="numbered")}),
    records AS ({sql.RECORDS.format(chosen="id IN (SELECT task_id FROM numbered)")})
    {sql.REQUEUE.format(now=NOW, numbered="numbered")}
"""


class Postgres(Engine):
    NOW, NOW_S = NOW, NOW_S
    EPOCH, FLOOR = "extract(epoch FROM {})::float8", "floor({})"
    LETTERS = "string_agg(letter, '' ORDER BY place)"
    NEVER, LATER, VALUES = NEVER, LATER, ""
    SKIP_LOCKED = "FOR UPDATE SKIP LOCKED"
    RECORD_SOURCE, IF_SETTLED = "FROM settled", " AND EXISTS (SELECT FROM settled)"

    commits = staticmethod(listening.commits)

    def __init__(self) -> None:
        self.places: dict[str, Places] = {}

    def prepare(self, connection: Any) -> None:
        """Nothing is remembered of before: this may be another server."""
        sessions.begin(connection)
        self.places.clear()

    def is_away(self, error: Error) -> bool:
        """A server that can only be read is away, too: a standby, or one that is about to stop."""
        state = getattr(error.__cause__, "sqlstate", None)
        return state == READ_ONLY or super().is_away(error)

    def enter(self, queue: str, payload: str, job: tuple[Entry, Share] | None = None) -> int:
        values: dict[str, Any] = {"queue": queue, "payload": payload}
        if job:
            entry, share = job
            if share.key != share.client:  # nobody else's, so it may be made before
                self.flow(queue, share)
            values |= {**entry._asdict(), **share._asdict()}
        ((queue_id, _),) = sql.fetch(ENTER_WITH_JOB if job else ENTER_ALONE, values)
        return int(queue_id)

    def flow(self, queue: str, share: Share) -> int:
        """The id of a flow, which is made if there is none; 0 if somebody is about to make it."""
        found = sql.fetch(ENTER_FLOW, {"queue": queue, **share._asdict()})
        ((flow, closed_at),) = found or [(0, None)]
        if share.at_once:
            with connection.cursor() as cursor:
                cursor.executemany(SLOTS, [(share.pool, number) for number in range(share.at_once)])
        if closed_at:
            self.open([flow])
        return int(flow)

    def enter_all(self, queue: str, group: str, entries: Sequence[Entry], share: Share) -> None:
        rows = [entry[:4] for entry in entries]  # none of a group has its own time
        payloads, *columns = (list(column) for column in zip(*rows, strict=True))
        flow = self.flow(queue, share)
        ids = [queue_id for (queue_id,) in sql.fetch(ITS_PACKAGES, [queue, payloads])]
        sql.execute(ITS_JOBS, [group, queue, flow, ids, *columns])
        self.wake()

    def wake(self) -> None:
        sql.fetch(f"SELECT {NOTIFY}")

    def take(self, way: Way, claim: Values) -> list[tuple[Lease, str]]:
        queue = claim["queue"]
        return take(way, claim, self.places.setdefault(queue, Places(queue)))

    def write_outcome(self, statements: list[Statement], then: Then) -> bool:
        (update, delete, *others) = [statement for statement, _ in statements]
        rest = "".join(f", other{i} AS ({each})" for i, each in enumerate(others))
        values = [value for _, values in statements for value in values]
        ((settled,),) = prepared.fetch(SETTLE.format(update, delete, rest), values)
        return bool(settled)

    def settle_done(self, outcomes: Sequence[Outcome], then: Then) -> set[str]:
        return several.settle(outcomes)

    def give_back(self, held: Collection[Held], pause_s: float, up: datetime = FREE) -> int:
        ids, deliveries = [each[0] for each in held], [each[1] for each in held]
        give = GIVE_BACK.format(
            lock=LATER.format(float(pause_s)) if pause_s else PAST[up],
            due=LATER.format(float(pause_s)) if pause_s else "NULL",
        )
        ((count, *_),) = sql.fetch(give, {"ids": ids, "deliveries": deliveries})
        return int(count)

    def requeue(self, task_ids: Collection[str], state: str) -> list[tuple[str, str]]:
        chosen = self.among("task_id", task_ids)[0].replace("%s", "%(ids)s")
        ended = sql.ENDED_SO.format(number="", chosen=chosen, state=state, order=sql.ORDER)
        with connection.cursor() as cursor:
            # Where the tables' statistics are of a time when they were empty, ten thousand rows
            # would be looked for in ten thousand, one by one.
            cursor.execute("SET LOCAL enable_nestloop = off")
            cursor.execute(REQUEUE.format(ended=ended), {"ids": list(task_ids)})
            requeued = cursor.fetchall()
            cursor.execute("SET LOCAL enable_nestloop = DEFAULT")
            if requeued:
                cursor.execute(f"SELECT {NOTIFY}")
        self.open(flow for *_, flow in requeued)
        return [(task_id, group) for task_id, group, _ in requeued]

    def size(self) -> int:
        ((size,),) = sql.fetch(SIZE)
        return int(size)

    @contextmanager
    def bytes_cursor(self) -> Iterator[Any]:
        """Django's writes them into a statement's text and reads them from one, as hexadecimal
        digits: half as quick on the way to the server, and a quarter on the way back."""
        with connection.cursor() as cursor:
            driver: Any = connection  # the types of Django's connections do not know it
            cursor.cursor = driver.Database.Cursor(driver.connection)
            cursor.cursor.format = driver.Database.pq.Format.BINARY
            yield cursor

    def among(self, column: str, keys: Keys, numbers: bool = False) -> tuple[str, Any]:
        """As an array, and no subquery: that is joined, and where the table's statistics are of
        a time when no row was in this state, in a loop within a loop (measured: seven minutes
        for ten thousand jobs)."""
        return f"{column} = ANY(%s::{'bigint' if numbers else 'text'}[])", list(keys)

    def unfit(self, database: dict[str, Any]) -> tuple[str, str] | None:
        driver: Any = connection  # the types of Django's connections do not know it
        if driver.Database.__name__ == "psycopg2":
            return (
                "Postgres is reached by psycopg2, which can't wait for a notification.",
                "Install psycopg, of version 3, which Django then takes.",
            )
        if database.get("OPTIONS", {}).get("pool"):
            return (
                "Postgres is reached by a pool of connections, which the processes of a queue "
                "server can't share.",
                "Leave OPTIONS['pool'] out; CONN_MAX_AGE keeps a connection for each process.",
            )
        return None

    def careless(self, database: dict[str, Any]) -> tuple[str, str] | None:
        is_one = "postg" in database["ENGINE"].rpartition(".")[2]
        if not is_one or database.get("CONN_MAX_AGE", 0) != 0:
            return None
        return (
            "Postgres is connected to anew for every request, and for every task.",
            "Set DATABASES['default']['CONN_MAX_AGE'], to 600 (seconds).",
        )
