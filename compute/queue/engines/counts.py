"""The running counts of what nodes have done, by function and kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

from .sql import Rows, execute, fetch

ADD = """
    INSERT INTO queue_tally (func, kind, value) VALUES {rows}
    ON CONFLICT (func, kind) DO UPDATE SET value = queue_tally.value + excluded.value
"""


class Counts:
    @abstractmethod
    def turn(self) -> AbstractContextManager[None]: ...

    def add_counts(self, counts: Sequence[tuple[str, str, float]]) -> None:
        """Add to the running counts: of each the function, the kind, and how much."""
        add = ADD.format(rows=", ".join(["(%s, %s, %s)"] * len(counts)))
        with self.turn():
            execute(add, [value for count in counts for value in count])

    def counts(self) -> Rows:
        return fetch("SELECT func, kind, value FROM queue_tally ORDER BY func, kind")
