"""A whole group in a statement, however many jobs it has."""

from __future__ import annotations

from collections.abc import Collection

from .sql import Rows, fetch


class Groups:
    """The questions of `overview` and of a node's reports. Times are seconds since 1970."""

    #: The database's clock, in a statement with parameters: as a time, and in seconds.
    NOW: str
    NOW_S: str
    #: A column's time in seconds, and the whole numbers below others, each for one of its own.
    EPOCH: str
    FLOOR: str
    #: The letters of all rows in one text, in their order, from `letter` and `place`.
    LETTERS: str

    def states(self, group: str) -> str:
        """The first letter of each job's state, in the order of the group."""
        ((found,),) = fetch(
            f"""
            SELECT {self.LETTERS} FROM (
                SELECT substr(state, 1, 1) AS letter, position AS place FROM queue_job
                WHERE "group" = %s ORDER BY position
            ) AS jobs
            """,
            [group],
        )
        return found or ""

    def pace(self, group: str) -> Rows:
        """Of each state: itself, how many jobs, first start, last end, time taken, now."""
        begin, end = self.span()
        return fetch(
            f"""
            SELECT state, count(*), min({begin}), max({end}), sum({end} - {begin}), {self.NOW_S}
            FROM queue_job WHERE "group" = %s GROUP BY state
            """,
            [group],
        )

    def running(self, group: str) -> Rows:
        """Of each job at work: how much it says is done, and for how long it has run."""
        return fetch(
            f"""
            SELECT progress, {self.NOW_S} - {self.span()[0]} FROM queue_job
            WHERE "group" = %s AND state = 'running'
            """,
            [group],
        )

    def spans(self, group: str, grain_s: float) -> Rows:
        """When each worker ran what, oldest first: node, worker, start, end, state, how many,
        first position, highest attempt. What started within the same grain is taken together."""
        begin, end = self.span()
        bucket = self.FLOOR.format(f"{begin} / {float(grain_s)}") if grain_s else "position"
        return fetch(
            f"""
            SELECT node_id, worker, min({begin}), max(coalesce({end}, {self.NOW_S})),
                state, count(*), min(position), max(attempt)
            FROM queue_job
            WHERE "group" = %s AND node_id IS NOT NULL AND started_at IS NOT NULL
                AND state <> 'queued'
            GROUP BY node_id, worker, state, {bucket} ORDER BY 3
            """,
            [group],
        )

    def uses(self, groups: Collection[str]) -> Rows:
        """Of each group: itself, how many jobs, how many have settled, what those at work
        report, and how long workers had them, up to now, and had those that have settled,
        added up."""
        begin, end = self.span()
        return fetch(
            f"""
            SELECT "group", count(*),
                sum(CASE WHEN state IN ('queued', 'running') THEN 0 ELSE 1 END),
                sum(CASE WHEN state = 'running' THEN progress ELSE 0 END),
                sum(CASE WHEN state = 'queued' OR started_at IS NULL THEN 0
                    ELSE coalesce({end}, {self.NOW_S}) - {begin} END),
                sum(CASE WHEN state IN ('queued', 'running') THEN 0
                    ELSE coalesce({end} - {begin}, 0) END)
            FROM queue_job WHERE "group" IN ({placeholders(groups)}) GROUP BY "group"
            """,
            [*groups],
        )

    def through(self, task_ids: Collection[str]) -> set[str]:
        """The groups of these tasks of which nothing waits or runs any more."""
        found = fetch(
            f"""
            SELECT "group" FROM queue_job AS ended
            WHERE task_id IN ({placeholders(task_ids)}) AND NOT EXISTS (
                SELECT 1 FROM queue_job
                WHERE "group" = ended."group" AND state IN ('queued', 'running')
            )
            """,
            [*task_ids],
        )
        return {group for (group,) in found}

    def span(self) -> tuple[str, str]:
        return self.EPOCH.format("started_at"), self.EPOCH.format("finished_at")


def placeholders(values: Collection[str]) -> str:
    return ", ".join(["%s"] * len(values))
