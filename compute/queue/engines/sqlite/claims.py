"""The statements of claims on SQLite: one finds what is next in each way, others take it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from django.db import connection

from .. import order, sql
from ..values import Lease, Values, Way
from . import front
from .clock import LATER, NOW, NOW_S, UP_AGAIN, UP_NEXT
from .turns import turn

WAITING = sql.WAITING.format(flow="flow.id")
FAIR = f"""
    SELECT package.id, lock = {UP_AGAIN}, {{slot}}
    FROM ({{flows}}) AS flow CROSS JOIN queue_job AS job INDEXED BY job_waiting ON {WAITING}
    CROSS JOIN django_q_ormq AS package ON package.id = job.queue_id
    WHERE {{slot}} IS NOT NULL LIMIT %(limit)s
"""
#: (Without a limit a subquery's order would be nobody's.)
ALL = -1
FREE_SLOT = f"""
    CASE WHEN at_once IS NULL THEN 0 ELSE ({sql.FREE_SLOT.format(now=NOW)}) END
"""
AGAIN = sql.AGAIN.format(
    now=NOW,
    lost=UP_AGAIN,
    next=UP_NEXT,
    others="",
    waiting=sql.WAITING.format(flow="0"),
    lock_package="",
    lock_job="",
)
BY_NOW = order.by_now(
    "SELECT CAST(key AS INTEGER) AS flow, value AS seconds FROM json_each(%(uncharged)s)"
)


def in_turn(few: str, turn: dict[str, str]) -> dict[Way, list[str]]:
    """Of each way the statements that are tried until there is enough: the first reads little."""
    without = order.FLOWS.format(which="AND at_once IS NULL", columns="", **turn)
    limited = order.FLOWS.format(which="", columns=", at_once, pool", **turn)
    return {
        Way.FAIR: [
            FAIR.format(flows=few, slot="0"),
            FAIR.format(flows=f"{without} LIMIT {ALL}", slot="0"),
        ],
        Way.LIMITED: [
            FAIR.format(flows=f"{limited} LIMIT {count}", slot=FREE_SLOT)
            for count in (front.FEW, ALL)
        ],
    }


WAYS = {
    **in_turn(front.AS_CHARGED, order.AS_CHARGED),
    Way.MORE: [f"SELECT queue_id, false, 0 FROM ({sql.MORE.format(place='')})"],
    Way.INTERRUPTED: [
        sql.INTERRUPTED.format(
            columns=f"package.id, lock = {UP_AGAIN}, {FREE_SLOT}",
            locked="",
            next=UP_NEXT,
            which=f"AND {FREE_SLOT} IS NOT NULL ORDER BY package.id",
        )
    ],
    Way.AGAIN: [f"SELECT *, 0 FROM ({AGAIN})"],
}
WAYS_BY_NOW = {**WAYS, **in_turn(front.BY_NOW, BY_NOW)}
#: Whether it is worth a look, which takes longer, and the right to write.
ANY = f"""
    SELECT 1 FROM queue_flow AS flow CROSS JOIN queue_job AS job ON {WAITING}
    WHERE flow.queue = %(queue)s AND closed_at IS NULL AND NOT (paused OR kind_paused) {{which}}
    LIMIT 1
"""
ANY_WAYS = {
    Way.FAIR: ANY.format(which="AND at_once IS NULL"),
    Way.LIMITED: ANY.format(which=""),
}
LEASE = sql.LEASE.format(end=LATER.format("%(lease_s)s"), ids="{ids}")
TAKE = sql.TAKE.format(now=NOW, ids="{ids}", trial=sql.TRIAL.format(now_s=NOW_S))
HOLD = f"""
    UPDATE queue_slot SET until = {LATER.format("%(lease_s)s")}, queue_id = %(queue_id)s
    WHERE id = %(slot)s
"""


class Found(NamedTuple):
    """A free package, whether somebody has lost it, and the slot that it needs, or 0."""

    queue_id: int
    lost: bool
    slot: int


def claimable(way: Way, claim: Values, others: Collection[int]) -> list[Found]:
    """Free packages, of each slot one. Those that the node has are passed over here: the statement
    would cost more with them."""
    limit, ways = claim["limit"], WAYS_BY_NOW if claim.get("uncharged") else WAYS
    found: dict[int, Found] = {}
    asked = {**claim, "limit": limit + len(others)}
    for statement in ways[way]:
        for row in map(Found._make, sql.fetch(statement, asked)):
            if row.queue_id not in others:
                found.setdefault(-row.slot or row.queue_id, row)
        if len(found) >= limit:
            break
    return list(found.values())[:limit]


def take(way: Way, claim: Values) -> list[tuple[Lease, str]]:
    """Claim what is found in one way, without the right to write if nothing is."""
    others = claim.pop("held")
    # An idle node takes no write lock, unless it has that already.
    if not connection.in_atomic_block:
        any_ = ANY_WAYS.get(way)
        if not (sql.fetch(any_, claim) if any_ else claimable(way, claim, others)):
            return []
    with turn(), connection.cursor() as cursor:
        found = {each.queue_id: each for each in claimable(way, claim, others)}
        if not found:
            return []
        ids = ", ".join(map(str, found))
        cursor.execute(LEASE.format(ids=ids), claim)
        payloads = cursor.fetchall()
        cursor.execute(TAKE.format(ids=ids), claim)
        taken = {queue_id: rest for queue_id, *rest in cursor.fetchall()}
        for each in found.values():
            if each.slot:
                cursor.execute(HOLD, {**claim, **each._asdict()})
    return [
        (
            Lease(queue_id, *taken.get(queue_id, ()))._replace(
                expired=bool(found[queue_id].lost), is_limited=found[queue_id].slot > 0
            ),
            payload,
        )
        for queue_id, payload in payloads
    ]
