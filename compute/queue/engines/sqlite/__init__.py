"""SQLite: one writer at a time, so a write is a few short statements in a row."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from django.db import connection

from .. import sql
from ..base import FREE, Engine, Entry, Held, Keys, Lease, Statement, Then
from . import bell, log
from .turns import turn

NOW = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"
LATER = "strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '+' || {} || ' seconds')"

NEVER = f"'{FREE.replace(tzinfo=None)}'"

ITS_PACKAGE = sql.PACKAGE.format(free=NEVER)
ITS_JOB = sql.JOB.format(queue_id="%(queue_id)s", queued_at="%(queued_at)s", source="")

LAST_ID = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'django_q_ormq'"
ITS_PACKAGES = f"INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, {NEVER})"
#: Their packages have just got the last ids, one after another.
ITS_JOBS = """
    INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, queued_at)
    VALUES (%s, %s, %s, %s, (SELECT max(id) FROM django_q_ormq) - %s, %s, %s)
"""

CLAIMABLE = sql.CLAIMABLE.format(now=NOW)
LEASE = sql.LEASE.format(end=LATER.format("%(lease_s)s"), ids="{ids}")
TAKE = sql.TAKE.format(now=NOW, ids="{ids}")

HELD = """
    WHERE (task_id, delivery) IN (
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(%s)
    )
"""
GIVE_BACK = sql.GIVE_BACK.format(among=HELD)
NUMBER = f", %(last)s + row_number() OVER (ORDER BY {sql.ORDER}) AS number"


class SQLite(Engine):
    NOW, NOW_S = NOW, "((julianday('now') - 2440587.5) * 86400)"
    EPOCH = "((julianday({}) - 2440587.5) * 86400)"
    FLOOR = "round(-0.5 + {})"  # older ones know no floor
    LETTERS = "group_concat(letter, '')"
    SKIP_LOCKED = ""  # the caller's transaction is the only one that writes
    RECORD_SOURCE = "WHERE true"  # or ON would be a join's

    turn = staticmethod(turn)
    commits = staticmethod(bell.commits)
    cut_log = staticmethod(log.cut)

    def enter(self, queue: str, payload: str, entry: Entry | None) -> int:
        values = {"queue": queue, "payload": payload}
        with turn(), connection.cursor() as cursor:
            cursor.execute(ITS_PACKAGE, values)
            queue_id = int(cursor.lastrowid)
            if entry:
                values |= {**entry._asdict(), "queued_at": self.moment(entry.queued_at)}
                cursor.execute(ITS_JOB, {**values, "queue_id": queue_id})
            bell.ring_on_commit()
        return queue_id

    def enter_all(self, queue: str, group: str, entries: Sequence[Entry]) -> None:
        moment = connection.ops.adapt_datetimefield_value
        jobs = [
            (task_id, group, position, queue, len(entries) - 1 - position, name, moment(time))
            for position, (_, task_id, name, time) in enumerate(entries)
        ]
        with turn(), connection.cursor() as cursor:
            cursor.executemany(ITS_PACKAGES, [(queue, entry.payload) for entry in entries])
            cursor.executemany(ITS_JOBS, jobs)
            bell.ring_on_commit()

    def claim(self, **claim: Any) -> list[tuple[Lease, str]]:
        with connection.cursor() as cursor:
            if not connection.in_atomic_block:  # where the write lock is held already
                cursor.execute(CLAIMABLE, claim)
                if not cursor.fetchall():  # an idle node takes no write lock
                    return []
            with turn():
                cursor.execute(CLAIMABLE, claim)
                held = dict(cursor.fetchall())
                if not held:
                    return []
                ids = ", ".join(map(str, held))
                cursor.execute(LEASE.format(ids=ids), claim)
                payloads = sorted(cursor.fetchall())
                cursor.execute(TAKE.format(ids=ids), claim)
                taken = {queue_id: rest for queue_id, *rest in cursor.fetchall()}
        leases = [Lease(queue_id, *taken.get(queue_id, ())) for queue_id, _ in payloads]
        return [
            (lease._replace(expired=bool(held[lease.queue_id]) and lease.attempt > 1), payload)
            for lease, (_, payload) in zip(leases, payloads, strict=True)
        ]

    def write_outcome(self, statements: list[Statement], then: Then) -> bool:
        with turn(), connection.cursor() as cursor:
            update, *others = statements
            cursor.execute(*update)
            if cursor.rowcount == 0:
                return False
            for statement in others:
                cursor.execute(*statement)
            if then:
                then()
        return True

    def give_back(self, held: Collection[Held], pause_s: float) -> int:
        lock = LATER.format(pause_s) if pause_s else NEVER
        with turn():
            given = [id_ for (id_,) in sql.fetch(GIVE_BACK, [json.dumps(list(held))])]
            chosen, ids = self.among("id", given)
            sql.execute(f"UPDATE django_q_ormq SET lock = {lock} WHERE {chosen}", [ids])
            bell.ring_on_commit()
        return len(given)

    def requeue(self, task_ids: Collection[str]) -> list[tuple[str, str]]:
        """As three statements, which see the same: the transaction is the only one that writes."""
        chosen, ids = self.among("task_id", task_ids)
        chosen = chosen.replace("%s", "%(ids)s")
        failed = sql.FAILED.format(number=NUMBER, chosen=chosen, order=sql.ORDER)
        numbered = f"({failed}) AS numbered"
        with connection.cursor() as cursor:
            cursor.execute(LAST_ID)
            values = {"ids": ids, "last": cursor.fetchone()[0]}
            cursor.execute(sql.PACKAGES.format(free=NEVER, numbered=numbered), values)
            cursor.execute(sql.REQUEUE.format(now=NOW, numbered=numbered), values)
            requeued: list[tuple[str, str]] = cursor.fetchall()
            chosen, ids = self.among("id", [task_id for task_id, _ in requeued])
            cursor.execute(sql.RECORDS.format(chosen=chosen), [ids])
        if requeued:
            bell.ring_on_commit()
        return requeued

    def among(self, column: str, keys: Keys, numbers: bool = False) -> tuple[str, Any]:
        return f"{column} IN (SELECT value FROM json_each(%s))", json.dumps(list(keys))

    def careless(self, database: dict[str, Any]) -> tuple[str, str] | None:
        if not database["ENGINE"].endswith("sqlite3"):
            return None
        options = {"transaction_mode": "", "init_command": "", **database.get("OPTIONS", {})}
        if options["transaction_mode"] == "IMMEDIATE" and "WAL" in options["init_command"]:
            return None
        return (
            "SQLite without WAL and IMMEDIATE transactions loses outcomes to locked tables.",
            "Set OPTIONS['transaction_mode'] and OPTIONS['init_command'].",
        )
