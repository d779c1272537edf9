"""SQLite: one writer at a time, so a write is a few short statements in a row."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from .. import sql
from ..base import Engine
from ..values import FREE, Entry, Held, Keys, Lease, Outcome, Share, Statement, Then, Values, Way
from . import bell, claims, log, several
from .clock import LATER, NEVER, NOW, NOW_S, PAST, UP_AGAIN
from .turns import turn

ITS_PACKAGE = sql.PACKAGE.format(lock=f"coalesce(%(due_at)s, {NEVER})")
NO_JOBS_PACKAGE = sql.PACKAGE.format(lock=UP_AGAIN)
ITS_JOB = sql.JOB.format(
    queue_id="%(queue_id)s",
    queued_at="%(queued_at)s",
    flow="%(flow)s",
    due_at="%(due_at)s",
    source="",
)
NEW_FLOW = sql.NEW_FLOW.format(weight="%(weight)s", at_once="%(at_once)s", source="WHERE true")
SLOTS = sql.SLOTS.format(free=NEVER)

LAST_ID = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'django_q_ormq'"
ITS_PACKAGES = f"INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, {NEVER})"
#: Their packages have just got the last ids, one after another.
ITS_JOBS = """
    INSERT INTO queue_job (task_id, "group", position, queue, queue_id, name, queued_at, flow_id)
    VALUES (%s, %s, %s, %s, (SELECT max(id) FROM django_q_ormq) - %s, %s, %s, %s)
"""

HELD = """
    WHERE (task_id, delivery) IN (
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(%s)
    )
"""
GIVE_BACK = sql.GIVE_BACK.format(among=HELD, due="{due}")
NUMBER = f", %(last)s + row_number() OVER (ORDER BY {sql.ORDER}) AS number"

#: Seconds that somebody has to wait for another's write, at least.
PATIENT_S = 10
#: The options of a database that nobody has set, and those to set.
CARELESS: dict[str, Any] = {"transaction_mode": "", "timeout": 5, "init_command": ""}
CAREFUL = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}


class SQLite(Engine):
    NOW, NOW_S = NOW, NOW_S
    EPOCH = "((julianday({}) - 2440587.5) * 86400)"
    FLOOR = "round(-0.5 + {})"  # older ones know no floor
    LETTERS = "group_concat(letter, '')"
    NEVER, LATER, VALUES = NEVER, LATER, "WHERE true"
    BY_HELD = "INDEXED BY job_held"
    SKIP_LOCKED = ""  # the caller's transaction is the only one that writes
    RECORD_SOURCE = "WHERE true"  # or ON would be a join's
    FILES = ("", "-wal", "-shm")
    IF_SETTLED = ""  # nothing is written after an update that finds nothing

    turn = staticmethod(turn)
    wake = staticmethod(bell.ring_on_commit)
    commits = staticmethod(bell.commits)
    cut_log = staticmethod(log.cut)

    def enter(self, queue: str, payload: str, job: tuple[Entry, Share] | None = None) -> int:
        values: dict[str, Any] = {"queue": queue, "payload": payload}
        if job:
            entry, share = job
            values |= {**entry._asdict(), "queued_at": self.moment(entry.queued_at)}
            values["due_at"] = entry.due_at and self.moment(entry.due_at)
        with turn(), connection.cursor() as cursor:
            cursor.execute(ITS_PACKAGE if job else NO_JOBS_PACKAGE, values)
            queue_id = int(cursor.lastrowid)
            if job:
                values |= {"queue_id": queue_id, "flow": self.flow(queue, share)}
                cursor.execute(ITS_JOB, values)
            bell.ring_on_commit()
        return queue_id

    def flow(self, queue: str, share: Share) -> int:
        """The id of a flow, which is made if there is none."""
        values = {"queue": queue, **share._asdict()}
        known = sql.fetch(sql.FLOW, values)
        if not known:
            known = sql.fetch(NEW_FLOW, values)
            if share.at_once:
                slots = [(share.pool, number) for number in range(share.at_once)]
                with connection.cursor() as cursor:
                    cursor.executemany(SLOTS, slots)
        ((flow, closed_at),) = known
        if closed_at:
            self.open([flow])
        return int(flow)

    def enter_all(self, queue: str, group: str, entries: Sequence[Entry], share: Share) -> None:
        moment = connection.ops.adapt_datetimefield_value
        with turn(), connection.cursor() as cursor:
            flow = self.flow(queue, share)
            jobs = [
                (
                    *(each.task_id, group, position, queue, len(entries) - 1 - position),
                    *(each.name, moment(each.queued_at), flow),
                )
                for position, each in enumerate(entries)
            ]
            cursor.executemany(ITS_PACKAGES, [(queue, entry.payload) for entry in entries])
            cursor.executemany(ITS_JOBS, jobs)
            bell.ring_on_commit()

    def take(self, way: Way, claim: Values) -> list[tuple[Lease, str]]:
        return claims.take(way, claim)

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

    def settle_done(self, outcomes: Sequence[Outcome], then: Then) -> set[str]:
        with turn():
            settled = several.settle(outcomes)
            if then:
                then()
        return settled

    def give_back(self, held: Collection[Held], pause_s: float, up: datetime = FREE) -> int:
        lock = LATER.format(pause_s) if pause_s else PAST[up]
        give = GIVE_BACK.format(due=lock if pause_s else "NULL")
        with turn():
            given = [id_ for (id_,) in sql.fetch(give, [json.dumps(list(held))])]
            chosen, ids = self.among("id", given)
            sql.execute(f"UPDATE django_q_ormq SET lock = {lock} WHERE {chosen}", [ids])
            self.vacate(given)
            bell.ring_on_commit()
        return len(given)

    def requeue(self, task_ids: Collection[str], state: str) -> list[tuple[str, str]]:
        """As three statements, which see the same: the transaction is the only one that writes."""
        chosen, ids = self.among("task_id", task_ids)
        chosen = chosen.replace("%s", "%(ids)s")
        ended = sql.ENDED_SO.format(number=NUMBER, chosen=chosen, state=state, order=sql.ORDER)
        numbered = f"({ended}) AS numbered"
        with connection.cursor() as cursor:
            cursor.execute(LAST_ID)
            values = {"ids": ids, "last": cursor.fetchone()[0]}
            cursor.execute(sql.PACKAGES.format(free=NEVER, numbered=numbered), values)
            cursor.execute(sql.REQUEUE.format(now=NOW, numbered=numbered), values)
            requeued = cursor.fetchall()
            chosen, ids = self.among("id", [task_id for task_id, *_ in requeued])
            cursor.execute(sql.RECORDS.format(chosen=chosen), [ids])
            self.open(flow for *_, flow in requeued)
        if requeued:
            bell.ring_on_commit()
        return [(task_id, group) for task_id, group, _ in requeued]

    def size(self) -> int:
        """Without the pages that are free."""
        pages = {}
        for name in ("page_count", "freelist_count", "page_size"):
            ((pages[name],),) = sql.fetch(f"PRAGMA {name}")
        return int((pages["page_count"] - pages["freelist_count"]) * pages["page_size"])

    def among(self, column: str, keys: Keys, numbers: bool = False) -> tuple[str, Any]:
        return f"{column} IN (SELECT value FROM json_each(%s))", json.dumps(list(keys))

    def unfit(self, database: dict[str, Any]) -> tuple[str, str] | None:
        if not database.get("TIME_ZONE"):
            return None
        return (
            f"SQLite keeps times of the zone {database['TIME_ZONE']}: its own clock, by which "
            "leases end, tells those of UTC.",
            "Leave TIME_ZONE out of DATABASES['default'].",
        )

    def careless(self, database: dict[str, Any]) -> tuple[str, str] | None:
        if not database["ENGINE"].endswith(("sqlite3", "spatialite")):
            return None
        options = {**CARELESS, **database.get("OPTIONS", {})}
        patient = options["timeout"] >= PATIENT_S
        immediate = options["transaction_mode"] == "IMMEDIATE"
        if patient and immediate and "WAL" in options["init_command"]:
            return None
        return (
            "SQLite without WAL, IMMEDIATE transactions and some patience loses outcomes to locked "
            "tables.",
            f"Set DATABASES['default']['OPTIONS'] to {CAREFUL}.",
        )
