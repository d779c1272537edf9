"""Whose turn it is: of the client that was served least the flow that was.

Who was not served yet, as far as nodes have written it down, comes first, and is charged soon.
"""

HAD, SERVED = "coalesce(client.served, -1)", "coalesce(flow.served, -1)"
#: The same with what the claim's own node has not written down: by the rows alone a flow of short
#: tasks would have all workers until it is. A newcomer begins just below the least of the others.
HAD_BY_NOW = """
    coalesce(client.served, (
        SELECT min(served) FROM queue_client WHERE queue = %(queue)s
    ) - 0.000001, 0) + coalesce(share, 0)
"""
SERVED_BY_NOW = """
    coalesce(flow.served, (
        SELECT min(other.served) FROM queue_flow AS other WHERE other.queue = %(queue)s
            AND other.client = flow.client AND other.closed_at IS NULL
    ) - 0.000001, 0) + coalesce(uncharged.seconds / flow.weight, 0)
"""
#: What that comes to for clients.
SHARES = """
    SELECT its.client, sum(uncharged.seconds / its.weight) AS share
    FROM ({seconds}) AS uncharged JOIN queue_flow AS its ON its.id = uncharged.flow
    GROUP BY its.client
"""
