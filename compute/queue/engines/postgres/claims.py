"""The statements of claims on Postgres: one for each way in which a task is found."""

from __future__ import annotations

import time

from django.db import connection

from .. import order, sql
from ..values import Lease, Values, Way
from . import prepared
from .clock import LATER, NOW, NOW_S, UP_AGAIN, UP_NEXT
from .places import OF_FLOW, OF_LOCK, Places

BY_NOW = order.by_now(
    "SELECT key::bigint AS flow, value::float8 AS seconds FROM json_each_text(%(uncharged)s::json)"
)
#: A flow at a time, in their order, until one has something: LATERAL goes by that. What is not
#: needed is not there, for a plan takes long to find: the package's lock, for one.
FAIR = f"""
    SELECT job.queue_id, {{slot_id}} FROM ({order.FLOWS}) AS flow {{slots}}
    CROSS JOIN LATERAL (
        SELECT queue_id FROM queue_job AS job
        WHERE {sql.WAITING.format(flow="flow.id")} {{place}}
        ORDER BY flow_id, queue_id LIMIT {{limit}} FOR UPDATE SKIP LOCKED
    ) AS job
    {{where}} LIMIT %(limit)s
"""
SLOTS_TAKEN = f"""
    LEFT JOIN LATERAL ({sql.FREE_SLOT.format(now=NOW)} FOR UPDATE SKIP LOCKED) AS slot
    ON at_once IS NOT NULL
"""
INTERRUPTED = sql.INTERRUPTED.format(
    columns="job.queue_id, slot.id",
    locked=f"""
        CROSS JOIN LATERAL ({sql.FREE_SLOT.format(now=NOW)} FOR UPDATE SKIP LOCKED) AS slot
        CROSS JOIN LATERAL (
            SELECT queue_id FROM queue_job AS job WHERE job.task_id = waiting.task_id
                AND state = 'queued' AND due_at IS NULL FOR UPDATE SKIP LOCKED
        ) AS job
    """,
    next=UP_NEXT,
    which="",
)
#: A subquery sees a package as it was before.
CLAIM = f"""
    WITH free ({{columns}}) AS MATERIALIZED ({{found}}),
    leased AS ({sql.LEASE.format(end=LATER.format("%(lease_s)s"), ids="SELECT id FROM free")}),
    taken AS ({
    sql.TAKE.format(now=NOW, ids="SELECT id FROM free", trial=sql.TRIAL.format(now_s=NOW_S))
}) {{slotted}}
    SELECT leased.id, payload, coalesce(delivery, 0), coalesce(attempt, 0), coalesce(starts, 0),
        coalesce(flow_id, 0), {{lost}}, {{slot}},
        CASE WHEN %(lazy)s THEN set_config('synchronous_commit', 'off', true) END
    FROM leased JOIN free USING (id) LEFT JOIN taken ON queue_id = leased.id
"""
RECOVERED = f"(SELECT lock = {UP_AGAIN} FROM django_q_ormq AS before WHERE before.id = leased.id)"


def ways(turn: dict[str, str], of_flow: str = "", of_lock: str = "") -> dict[Way, str]:
    """The statements of claims that begin at the beginning, or at a place."""
    place = of_flow.format(flow="flow.id")
    again = sql.AGAIN.format(
        now=NOW,
        lost=UP_AGAIN,
        next=UP_NEXT,
        others=f"AND package.id <> ALL(%(held)s::bigint[]) {of_lock}",
        waiting=sql.WAITING.format(flow="0") + of_flow.format(flow="0"),
        lock_package="FOR UPDATE OF package SKIP LOCKED",
        lock_job="FOR UPDATE SKIP LOCKED",
    )
    fair = FAIR.format(
        **turn,
        which="AND at_once IS NULL",
        columns="",
        slots="",
        slot_id="0",
        place=place,
        limit="%(limit)s",
        where="",
    )
    with_slots = {
        "columns": "id, slot",
        "lost": RECOVERED,
        "slot": "slot IS NOT NULL",
        "slotted": f""", slotted AS (
            UPDATE queue_slot SET until = {LATER.format("%(lease_s)s")}, queue_id = free.id
            FROM free WHERE slot = queue_slot.id
        )""",
    }
    limited = FAIR.format(
        **turn,
        which="",
        columns=", at_once, pool",
        slots=SLOTS_TAKEN,
        slot_id="slot.id",
        place=place,
        limit="CASE WHEN at_once IS NULL THEN %(limit)s ELSE 1 END",
        where="WHERE at_once IS NULL OR slot.id IS NOT NULL",
    )
    return {
        Way.FAIR: CLAIM.format(
            found=fair, columns="id, slot", slotted="", lost=RECOVERED, slot="false"
        ),
        Way.LIMITED: CLAIM.format(found=limited, **with_slots),
        Way.INTERRUPTED: CLAIM.format(found=INTERRUPTED, **with_slots),
        Way.MORE: CLAIM.format(
            found=sql.MORE.format(place=of_flow.format(flow="%(flow)s")) + "FOR UPDATE SKIP LOCKED",
            columns="id",
            slotted="",
            lost=RECOVERED,
            slot="false",
        ),
        Way.AGAIN: CLAIM.format(
            found=again, columns="id, lost", slotted="", lost="lost", slot="false"
        ),
    }


#: By whether it begins at a place, and whether its node has something that is not charged.
WAYS = {
    (from_a_place, uncharged): ways(
        BY_NOW if uncharged else order.AS_CHARGED, *((OF_FLOW, OF_LOCK) if from_a_place else ())
    )
    for from_a_place in (False, True)
    for uncharged in (False, True)
}


def take(way: Way, claim: Values, places: Places) -> list[tuple[Lease, str]]:
    """Claim what is found in one way; from a place that is known, and without waiting for the
    server's disk, if the claim stands alone.

    A server that crashes less than a second later may have lost the claim, but never a part of it:
    lease, state and delivery are of one transaction. The task then waits as before, and is claimed
    again. Who had claimed it may still run it: the first outcome of that delivery counts, and no
    other. The log is written in order, so an outcome, which waits for the disk, has its claim
    before it. A slot waits, too: else two tasks might be at work where one may be.
    """
    alone = not connection.in_atomic_block
    place = places.get() if alone else None
    ways = WAYS[place is not None, bool(claim.get("uncharged"))]
    statement = ways[way].replace("%(limit)s", str(claim["limit"]))  # which decides its plan
    values = {
        **claim,
        "held": f"{{{','.join(map(str, claim['held']))}}}",  # of one type, however large they are
        "lazy": alone and way not in (Way.LIMITED, Way.INTERRUPTED),
        **(place._asdict() if place else {}),
    }
    began = time.monotonic()
    found = prepared.fetch(statement, values)
    places.took(time.monotonic() - began)
    return [(Lease(queue_id, *rest), payload) for queue_id, payload, *rest, _ in found]
