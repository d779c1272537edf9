"""How far a task has come, told by the function that runs. No Django in here."""

from __future__ import annotations

from typing import Any

#: A part of a task that is smaller tells nothing of how long the rest takes.
LEAST = 0.0001

#: Where this worker's guard reads it, as `progress`; None outside of a worker.
_slot: Any = None


def report(fraction: float) -> None:
    """Say how much of this call is done, from 0 to 1; it costs less than a microsecond.

    Less than LEAST counts as nothing. The node writes it down about once a second. Outside of a
    worker nobody listens.
    """
    if _slot is not None:
        _slot.progress = fraction


def report_to(slot: Any) -> None:
    """In a worker: let `report` write there, and nothing be done so far."""
    global _slot
    _slot = slot
    _slot.progress = 0
