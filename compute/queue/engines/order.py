"""Whose turn it is: of the client that was served least the flow that was.

Who was not served yet, as far as nodes have written it down, comes first, and is charged soon.
"""

#: Worker seconds that are next to none: a newcomer begins by so much before the least served.
LITTLE = 0.000001
#: Open flows in their turn.
FLOWS = """
    SELECT flow.id {columns} FROM queue_flow AS flow LEFT JOIN queue_client AS client
        ON client.queue = flow.queue AND client.name = flow.client {uncharged}
    WHERE flow.queue = %(queue)s AND closed_at IS NULL AND NOT (paused OR kind_paused) {which}
    ORDER BY {turn}, flow.id
"""
AS_CHARGED = {
    "uncharged": "",
    "turn": "coalesce(client.served, -1), coalesce(flow.served, -1)",
}


def by_now(seconds: str) -> dict[str, str]:
    """The same with what the claim's own node has not written down (`seconds` by `flow`, as a
    SELECT): by the rows alone a flow of short tasks would have all workers until it is.

    A newcomer begins just below the least of the others.
    """
    return {
        "uncharged": f"""
            LEFT JOIN ({seconds}) AS uncharged ON uncharged.flow = flow.id
            LEFT JOIN (
                SELECT its.client, sum(uncharged.seconds / its.weight) AS share
                FROM ({seconds}) AS uncharged JOIN queue_flow AS its ON its.id = uncharged.flow
                GROUP BY its.client
            ) AS its ON its.client = flow.client
        """,
        "turn": f"""
            coalesce(client.served, (
                SELECT min(served) FROM queue_client WHERE queue = %(queue)s
            ) - {LITTLE}, 0) + coalesce(share, 0),
            coalesce(flow.served, (
                SELECT min(other.served) FROM queue_flow AS other WHERE other.queue = %(queue)s
                    AND other.client = flow.client AND other.closed_at IS NULL
            ) - {LITTLE}, 0) + coalesce(uncharged.seconds / flow.weight, 0)
        """,
    }
