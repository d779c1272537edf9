"""The first few flows in their turn, found by indexes that have them in this order.

The order is `order`'s, whose statement sorts all flows. Here two hundred that are open cost as
much as two: few are looked at, and those without a task that waits are passed by. A flow that was
served, of a client without a row, is not found here; the next lift makes a newcomer of it.
"""

from __future__ import annotations

from .. import sql
from ..order import LITTLE

#: How many flows are looked at before all are: to sort two hundred takes as long as all the rest.
FEW = 4
OPEN = f"""
    {{flow}}.queue = %(queue)s AND {{flow}}.closed_at IS NULL AND {{flow}}.at_once IS NULL
    AND NOT ({{flow}}.paused OR {{flow}}.kind_paused) AND EXISTS (
        SELECT 1 FROM queue_job AS job INDEXED BY job_waiting
        WHERE {sql.WAITING.format(flow="{flow}.id")}
    )
"""
#: Nobody of their clients was served.
NEW = f"""
    SELECT flow.id AS id, {{client_turn}} AS client_turn, 0.0 AS turn
    FROM queue_flow AS flow INDEXED BY flow_new
    WHERE served IS NULL AND NOT EXISTS (
        SELECT 1 FROM queue_client WHERE queue_client.queue = %(queue)s AND name = flow.client
    ) {{but}} AND {OPEN.format(flow="flow")}
    ORDER BY flow.id LIMIT {FEW}
"""
#: (Nothing comes before null. Of clients that are equal the one that was there first.)
KNOWN = f"""
    SELECT flow.id, client.served, coalesce(flow.served, -1)
    FROM queue_client AS client INDEXED BY client_turn
    CROSS JOIN queue_flow AS flow INDEXED BY flow_turn ON flow.client = client.name
    WHERE client.queue = %(queue)s AND {OPEN.format(flow="flow")} {{but}}
    ORDER BY client.served, client.id, flow.served, flow.id LIMIT {FEW}
"""
AS_CHARGED = f"""
    SELECT id FROM (
        SELECT * FROM ({NEW.format(client_turn=-1, but="")})
        UNION ALL SELECT * FROM ({KNOWN.format(but="")})
    ) ORDER BY client_turn, turn, id LIMIT {FEW}
"""

OTHERS = "AND flow.client NOT IN (SELECT client FROM its)"
LEAST = f"(SELECT min(served) FROM queue_client WHERE queue = %(queue)s) - {LITTLE}"
CLIENT_TURN = f"coalesce(client.served, {LEAST}, 0) + its.share"
TURN = f"""
    coalesce(flow.served, (
        SELECT min(other.served) FROM queue_flow AS other INDEXED BY flow_turn
        WHERE other.queue = %(queue)s AND other.client = flow.client AND other.closed_at IS NULL
    ) - {LITTLE}, 0)
"""
CLIENT = """
    LEFT JOIN queue_client AS client ON client.queue = %(queue)s AND client.name = flow.client
"""
#: Of each client of which something is not charged the first of its other flows, and each of which
#: it is.
BY_NOW = f"""
    WITH uncharged AS MATERIALIZED (
        SELECT CAST(key AS INTEGER) AS flow, value AS seconds FROM json_each(%(uncharged)s)
    ), its AS MATERIALIZED (
        SELECT flow.client, sum(uncharged.seconds / flow.weight) AS share
        FROM uncharged CROSS JOIN queue_flow AS flow ON flow.id = uncharged.flow GROUP BY 1
    )
    SELECT id FROM (
        SELECT * FROM ({NEW.format(client_turn=f"coalesce({LEAST}, 0)", but=OTHERS)})
        UNION ALL SELECT * FROM ({KNOWN.format(but=OTHERS)})
        UNION ALL SELECT flow.id, {CLIENT_TURN}, {TURN}
        FROM its CROSS JOIN queue_flow AS flow ON flow.id = (
            SELECT one.id FROM queue_flow AS one INDEXED BY flow_turn
            WHERE one.client = its.client AND {OPEN.format(flow="one")}
                AND one.id NOT IN (SELECT flow FROM uncharged)
            ORDER BY one.served, one.id LIMIT 1
        ) {CLIENT}
        UNION ALL SELECT flow.id, {CLIENT_TURN}, {TURN} + uncharged.seconds / flow.weight
        FROM uncharged CROSS JOIN queue_flow AS flow ON flow.id = uncharged.flow
        JOIN its ON its.client = flow.client {CLIENT}
        WHERE {OPEN.format(flow="flow")}
    ) ORDER BY client_turn, turn, id LIMIT {FEW}
"""
