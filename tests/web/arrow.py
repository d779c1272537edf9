"""What stands for pyarrow, which is no requirement: it writes what it is told as JSON lines."""

from __future__ import annotations

import json
import types
from itertools import chain
from typing import Any


def of_type(name: str) -> Any:
    return lambda *args: " ".join([name, *map(str, args)])


class ParquetWriter:
    def __init__(self, sink: Any, schema: Any) -> None:
        self.sink, self.schema = sink, schema

    def __enter__(self) -> ParquetWriter:
        self.sink.write(json.dumps(self.schema).encode() + b"\n")
        return self

    def __exit__(self, *error: object) -> None:
        self.sink.write(b"end")
        self.sink.flush()

    def write_table(self, table: Any) -> None:
        self.sink.write(memoryview(json.dumps(table, default=repr).encode() + b"\n"))


def joined(tables: list[list[list[Any]]]) -> list[list[Any]]:
    return [list(chain(*columns)) for columns in zip(*tables, strict=True)]


def modules() -> dict[str, Any]:
    arrow: Any = types.ModuleType("pyarrow")
    for name in ("bool_", "int64", "decimal128", "decimal256", "float64", "string"):
        setattr(arrow, name, of_type(name))
    arrow.schema = list
    arrow.table = lambda cells, schema: cells
    arrow.concat_tables = joined
    parquet: Any = types.ModuleType("pyarrow.parquet")
    parquet.ParquetWriter = ParquetWriter
    return {"pyarrow": arrow, "pyarrow.parquet": parquet}
