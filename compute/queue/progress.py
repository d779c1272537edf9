"""How far a task has come, told by the function that runs. No Django in here."""

from __future__ import annotations

from typing import Any

#: The number in shared memory that this worker's sentinel reads; None outside of a worker.
_fraction: Any = None


def report(fraction: float) -> None:
    """Say how much of this call is done, from 0 to 1; it costs less than a microsecond.

    The node writes it down about once a second. Outside of a worker nobody listens.
    """
    if _fraction is not None:
        _fraction.value = fraction


def report_to(fraction: Any) -> None:
    """In a worker: let `report` write there, and nothing be done so far."""
    global _fraction
    _fraction = fraction
    _fraction.value = 0
