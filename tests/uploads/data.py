"""CSV files of which the sums are known, and how tests declare what adds them up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from io import BytesIO
from typing import Any

from compute.files import StoredFile
from compute.models.upload import keep
from tests.uploads.computations.columns import COLUMNS

LINE = b"%d,%d,12345678901234567890123456789012345678901234567890\n"


def csv(rows: int) -> bytes:
    return b"a,b,c\n" + b"".join(LINE % (number, 2 * number) for number in range(rows))


def totals(rows: int) -> list[int]:
    total = rows * (rows - 1) // 2
    return [total, 2 * total, rows * 12345678901234567890123456789012345678901234567890]


def declared(declare: Callable[..., None], **more: Any) -> None:
    """Have the site know the computation `columns`."""
    every = {field.name: getattr(COLUMNS, field.name) for field in fields(COLUMNS)}
    declare(**{**every, **more})


def stored(data: bytes, name: str = "data.csv", **whose: Any) -> StoredFile:
    return keep(BytesIO(data), name, "text/csv", **whose).stored
