"""Who has had how much of the workers: written down by nodes, and read by each claim.

Each row is written for a moment, one after another, by statements of their own: two nodes that
write at once never wait for each other in a ring, and no claim waits for either.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable
from typing import Any

from . import sql
from .values import Held

#: A newcomer begins where the least served of the others is: of those for whom something waits,
#: for the rest are behind until they are lifted; or of all, so that none who is paused has to wait
#: until the newcomer has had as much.
CHARGE = f"""
    UPDATE queue_flow
    SET seconds = seconds + %(seconds)s, served = %(seconds)s / weight + coalesce(served, (
        SELECT coalesce(min(CASE WHEN NOT (paused OR kind_paused) AND (
            {sql.FIRST.format(flow="other.id")}
        ) IS NOT NULL THEN other.served END), min(other.served)) FROM queue_flow AS other
        WHERE other.queue = queue_flow.queue AND other.client = queue_flow.client
            AND other.closed_at IS NULL
    ), 0)
    WHERE id = %(flow)s RETURNING client, %(seconds)s / weight
"""
CHARGE_CLIENT = """
    UPDATE queue_client SET served = served + %(share)s
    WHERE queue = %(queue)s AND name = %(client)s
"""
NEW_CLIENT = f"""
    INSERT INTO queue_client (queue, name, served)
    SELECT %(queue)s, %(client)s, %(share)s + coalesce((
        SELECT coalesce(min(CASE WHEN EXISTS (
            SELECT 1 FROM queue_flow AS flow
            WHERE flow.queue = %(queue)s AND client = name AND closed_at IS NULL
                AND NOT (paused OR kind_paused) AND (
                    {sql.FIRST.format(flow="flow.id")}
                ) IS NOT NULL
        ) THEN other.served END), min(other.served)) FROM queue_client AS other
        WHERE other.queue = %(queue)s
    ), 0) {{source}}
    ON CONFLICT (queue, name) DO NOTHING
"""
#: Of each client what it had, the least that a flow of it had, and how many there are: where a
#: worker could be used.
TAKERS = f"""
    SELECT flow.client, client.served, min(flow.served), count(*)
    FROM queue_flow AS flow LEFT JOIN queue_client AS client
        ON client.queue = flow.queue AND client.name = flow.client
    WHERE flow.queue = %(queue)s AND closed_at IS NULL AND NOT (paused OR kind_paused)
        AND ({sql.FIRST.format(flow="flow.id")}) IS NOT NULL
        AND (at_once IS NULL OR EXISTS ({sql.FREE_SLOT}))
    GROUP BY flow.client, client.served
"""
LIFT_CLIENT = """
    UPDATE queue_client SET served = %(least)s
    WHERE queue = %(queue)s AND name = %(client)s AND served < %(least)s
"""
SERVED = """
    SELECT id, client, served FROM queue_flow
    WHERE queue = %(queue)s AND closed_at IS NULL AND served IS NOT NULL
"""
#: Of a client without a row, as where older code has let a flow change hands.
STRANGERS = """
    SELECT id FROM queue_flow
    WHERE queue = %(queue)s AND closed_at IS NULL AND served IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM queue_client
        WHERE queue_client.queue = queue_flow.queue AND name = queue_flow.client
    )
"""
LIFT_FLOW = "UPDATE queue_flow SET served = %(least)s WHERE id = %(flow)s AND served < %(least)s"
#: Of whom nothing waits, who so need not be remembered, unless they had more than others.
GONE = """
    SELECT name FROM queue_client
    WHERE queue = %(queue)s AND served <= %(least)s AND NOT EXISTS (
        SELECT 1 FROM queue_flow
        WHERE queue_flow.queue = queue_client.queue AND client = name AND closed_at IS NULL
    )
"""
FORGET = "DELETE FROM queue_client WHERE queue = %s AND name = %s"
#: Groups that are through. A function's flow, which may get a task in any transaction, stays open.
THROUGH = """
    SELECT id FROM queue_flow
    WHERE queue = %(queue)s AND closed_at IS NULL AND key <> client AND opened_at < {recently}
        AND NOT EXISTS (
            SELECT 1 FROM queue_job
            WHERE "group" = queue_flow.key AND state IN ('queued', 'running')
        )
        AND NOT EXISTS (SELECT 1 FROM queue_job AS job WHERE job.flow_id = queue_flow.id
            AND state = 'queued' AND due_at IS NULL)
"""
CLOSE = "UPDATE queue_flow SET closed_at = {now} WHERE id = %s AND opened_at < {recently}"
#: From one flow with something that waits to the next, by the index, however much that is.
SHUT_OUT = """
    WITH RECURSIVE waiting (flow_id) AS (
        SELECT min(flow_id) FROM queue_job WHERE state = 'queued' AND due_at IS NULL
        UNION ALL
        SELECT (
            SELECT min(flow_id) FROM queue_job AS job
            WHERE state = 'queued' AND due_at IS NULL AND job.flow_id > waiting.flow_id
        )
        FROM waiting WHERE flow_id IS NOT NULL
    )
    SELECT flow_id FROM waiting JOIN queue_flow ON queue_flow.id = flow_id
    WHERE closed_at IS NOT NULL
"""
#: One that was closed begins anew: what it had then is nothing to what others have had since.
OPEN = """
    UPDATE queue_flow SET closed_at = NULL, opened_at = {now},
        served = CASE WHEN closed_at IS NULL THEN served END
    WHERE {chosen}
"""
RECOVERABLE = """
    SELECT task_id, delivery, package.id, state FROM django_q_ormq AS package
    JOIN queue_job AS job ON job.queue_id = package.id
    WHERE package.key = %s AND lock > '2001-01-01' AND lock <= {now}
        AND (state = 'running' OR (state = 'queued' AND due_at IS NOT NULL))
"""

LIMITED = """
    SELECT 1 FROM queue_flow
    WHERE queue = %s AND closed_at IS NULL AND at_once IS NOT NULL LIMIT 1
"""

#: Seconds until the first of what waits for a time is due, by an index that has nothing else.
DUE = """
    SELECT {due_s} - {now_s} FROM queue_job
    WHERE queue = %s AND state = 'queued' AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
"""

#: Seconds for which a flow stays open after it was opened, whatever it looks like: what is queued
#: in it may not be visible yet.
OPEN_S = 5


class Flows:
    #: The database's clock, in seconds too; so many from now; long ago; and a column's seconds.
    NOW: str
    NOW_S: str
    LATER: str
    NEVER: str
    EPOCH: str
    #: Has a statement about unsettled jobs read the index that has no others.
    BY_HELD = ""
    #: From where a row comes that is made of nothing but values.
    VALUES: str

    @abstractmethod
    def among(self, column: str, keys: Any, numbers: bool = False) -> tuple[str, Any]: ...

    @abstractmethod
    def flow(self, queue: str, share: Any) -> int:
        """The id of the flow of a Share, which is made if there is none of its key."""

    def charge(self, queue: str, flow: int, seconds: float) -> None:
        """Note that workers have spent so many seconds with a flow, and so with its client."""
        spent = {"queue": queue, "flow": flow, "seconds": seconds}
        for client, share in sql.fetch(CHARGE, spent):
            begun = {"queue": queue, "client": client, "share": share}
            ways = CHARGE_CLIENT, NEW_CLIENT.format(source=self.VALUES), CHARGE_CLIENT
            any(sql.execute(way, begun) for way in ways)  # another node may have been quicker

    def lift(self, queue: str) -> int:
        """Have who takes no worker now, though there are, gain nothing by that for later; how many
        flows could take one.

        Clients and flows that had less than the least served of those who could take one are
        raised to that. Of others nobody had more or less than his share.
        """
        takers = sql.fetch(TAKERS.format(now=self.NOW), {"queue": queue})
        known = [served for _, served, *_ in takers if served is not None]
        if known:
            values = {"queue": queue, "least": min(known)}
            lower = "SELECT name FROM queue_client WHERE queue = %(queue)s AND served < %(least)s"
            for (name,) in sql.fetch(lower, values):
                sql.execute(LIFT_CLIENT, {**values, "client": name})
        leasts = {client: least for client, _, least, _ in takers if least is not None}
        for flow, client, served in sql.fetch(SERVED, {"queue": queue}) if leasts else []:
            if served < leasts.get(client, served):
                sql.execute(LIFT_FLOW, {"flow": flow, "least": leasts[client]})
        for (flow,) in sql.fetch(STRANGERS, {"queue": queue}):  # it begins anew
            sql.execute("UPDATE queue_flow SET served = NULL WHERE id = %s", [flow])
        least = min(known) if known else 1e300
        for (name,) in sql.fetch(GONE, {"queue": queue, "least": least}):
            sql.execute(FORGET, [queue, name])
        return sum(count for *_, count in takers)

    def tidy(self, queue: str) -> None:
        """Close flows that are through, and open those in which something waits."""
        recently = self.LATER.format(-OPEN_S)
        for (flow,) in sql.fetch(THROUGH.format(recently=recently), {"queue": queue}):
            sql.execute(CLOSE.format(now=self.NOW, recently=recently), [flow])
        self.open(flow for (flow,) in sql.fetch(SHUT_OUT))

    def open(self, flows: Iterable[int]) -> None:
        """Note that something waits in these flows again."""
        ids = sorted(set(flows))
        if ids:
            chosen, keys = self.among("id", ids, numbers=True)
            sql.execute(OPEN.format(now=self.NOW, chosen=chosen), [keys])

    def recoverable(self, queue: str, held: Collection[int]) -> tuple[list[Held], list[Held]]:
        """Jobs whose lease has ended, and such whose pause has; none whose packages are `held`."""
        found = sql.fetch(RECOVERABLE.format(now=self.NOW), [queue])
        lost: list[Held] = []
        due: list[Held] = []
        for task_id, delivery, queue_id, state in found:
            if queue_id not in held:
                (lost if state == "running" else due).append((task_id, delivery))
        return lost, due

    def has_limits(self, queue: str) -> bool:
        """Whether there is an open flow of which not all that waits may run at once."""
        return bool(sql.fetch(LIMITED, [queue]))

    def due_in(self, queue: str) -> float | None:
        """Seconds until the next is due that waits for a time, below 0 if it is; None if none
        does."""
        due = DUE.format(due_s=self.EPOCH.format("due_at"), now_s=self.NOW_S)
        found = sql.fetch(due, [queue])
        return float(found[0][0]) if found else None

    def orphans(self, queue: str, limit: int) -> list[str]:
        """The ids of unsettled jobs whose package is gone. Reads all that are unsettled."""
        orphans = sql.ORPHANS.format(by=self.BY_HELD)
        return [task_id for (task_id,) in sql.fetch(orphans, [queue, limit])]

    def vacate(self, queue_ids: Collection[int]) -> None:
        """Free the slots of these packages, those that have one."""
        chosen, ids = self.among("queue_id", queue_ids, numbers=True)
        sql.execute(sql.VACATE.format(free=self.NEVER, which=f"WHERE {chosen}"), [ids])

    def hold(self, queue_ids: Collection[int], seconds: float) -> None:
        """Renew the slots of these packages, as long as their leases are."""
        chosen, ids = self.among("queue_id", queue_ids, numbers=True)
        until = self.LATER.format(float(seconds))
        sql.execute(f"UPDATE queue_slot SET until = {until} WHERE {chosen}", [ids])
