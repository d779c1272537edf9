"""Runs that have come to something with a shape, written as a worker writes it."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable
from typing import Any

from compute.models import Run
from compute.models.combining import Noted, note
from compute.models.keeping import Keeper, in_short
from compute.models.output import Output
from compute.shapes import Shape, Table, Value


def png(width: int, height: int, size: int = 100) -> bytes:
    """As much of a PNG as tells its size, and some more bytes."""
    header = struct.pack(">II", width, height)
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + header + b"\0" * size


def run_with(
    shapes: Shape | Value | dict[str, Shape | Value], result: Any = None, shown: str = ""
) -> Run:
    """A run that is done, with these outputs."""
    run = Run.objects.create(
        task_id=uuid.uuid4().hex, computation="primes", parameters={}, title="shapes", chunks=1
    )
    keeper = Keeper(run)
    keeper.keep(shapes if isinstance(shapes, dict) else {"": shapes})
    note(run, Noted(result, shown or in_short(keeper.outputs)), keeper.outputs)
    run.refresh_from_db()
    return run


def output_with(shape: Shape | Value) -> Output:
    return run_with(shape).outputs.get()


def table_of(count: int, width: int = 3) -> Table:
    """Rows of numbers: of row 7, counted from nought, 7, 8 and 9."""
    rows: Iterable[list[int]] = (list(range(n, n + width)) for n in range(count))
    return Table(rows, [f"column {number}" for number in range(1, width + 1)])
