"""Takes the results of every shape away, in each format, and holds them to what they have to be."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from http.client import IncompleteRead
from importlib import import_module
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from tests.chaos.computations import shapes


def wrong(site: str, task_id: str, n: int) -> Iterator[str]:
    """What is not exact in the downloads of a run of `shapes` that is done."""

    def taken(name: str, form: str) -> bytes:
        query = urlencode({"task_id": task_id, "name": name, "as": form})
        return download(f"{site}/compute/shapes/result/?{query}")

    rows = shapes.rows(1, n)
    records = [dict(zip(shapes.COLUMNS, row, strict=True)) for row in rows]
    halves = [number / 2 for number in range(1, n + 1)]
    expected: dict[tuple[str, str], Any] = {
        ("table", "json"): records,
        ("table", "jsonl"): records,
        ("table", "csv"): [list(map(as_text, row)) for row in rows],
        ("table", "parquet"): list(range(1, n + 1)),
        ("series", "csv"): [[str(x), str(y)] for x, y in enumerate(halves)],
        ("file", "file"): b"".join(map(shapes.piece, range(1, n + 1))),
        ("picture", "file"): shapes.picture(),
        ("count", "json"): [{"what": "rows", "large": 10**40}],
    }
    for (name, form), value in expected.items():
        found = read(taken(name, form), form)
        if found != value:
            yield f"{task_id}: its {name} as {form} is {str(found)[:200]}"


def download(address: str) -> bytes:
    """All of it, as people's tools take it: what is broken off goes on where it was."""
    data, headers = b"", {"X-Forwarded-Proto": "https"}
    while True:
        request = Request(address, headers=headers)
        try:
            with urlopen(request, timeout=60) as reply:
                tag = reply.headers["ETag"]
                return data + bytes(reply.read())
        except IncompleteRead as broken:
            data += broken.partial
            headers |= {"Range": f"bytes={len(data)}-", "If-Range": tag}


def read(data: bytes, form: str) -> Any:
    if form == "json":
        return json.loads(data)
    if form == "jsonl":
        return [json.loads(line) for line in data.decode().splitlines()]
    if form == "csv":
        return list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))[1:]
    if form == "parquet":
        read_table = import_module("pyarrow.parquet").read_table  # it has no types
        return read_table(io.BytesIO(data)).column("number").to_pylist()
    return data


def as_text(cell: Any) -> str:
    """A cell as CSV has it: a formula behind an apostrophe, nothing as nothing."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith("=") else text
