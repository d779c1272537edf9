"""What a run came to, in the terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management.base import OutputWrapper

from compute.management.printing import ROWS, print_result, readable
from compute.models import Run
from compute.shapes import File, Picture, Series, Table
from compute.web.outputs import address_of
from tests.conftest import run_queued
from tests.models.uncombined import Declare, a_run
from tests.test_shapes import PNG


def done(declare: Declare, result: Any, **fields: Any) -> Run:
    run = a_run(declare, combine=lambda results: result, **fields)
    run_queued()
    run.refresh_from_db()
    return run


def printed(run: Run, in_json: bool = False) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    print_result(run, OutputWrapper(out), OutputWrapper(err), in_json)
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    "result", [25, "ü", [1, 2, 3], [{"a": 1}], "x" * 70_000, ["ü" * 70_000], {"a": 10**30}, None]
)
@pytest.mark.parametrize("in_json", [True, False])
def test_a_value_is_json_of_any_size(
    db: None, declare: Declare, result: Any, in_json: bool
) -> None:
    out, err = printed(done(declare, result), in_json)
    assert json.loads(out) == result
    assert out.endswith("\n")
    assert err == ""


def test_of_a_table_the_first_rows_are_printed(db: None, declare: Declare) -> None:
    rows = [[number, f"\x1b[31mü{number}"] for number in range(40_000)]
    run = done(declare, Table(rows, ["n", "text"]))
    out, err = printed(run)
    first, *lines = out.splitlines()
    assert first.split() == ["n", "text"]
    assert [line.split()[0] for line in lines] == [*map(str, range(ROWS)), "…"]
    assert lines[-1] == "… and 39,990 rows more"
    assert "\x1b" not in out
    assert err == f"table, 40,000 rows × 2 columns; the whole is in the site at {address_of(run)}\n"
    out, err = printed(run, in_json=True)
    assert json.loads(out) == [{"n": n, "text": text} for n, text in rows]
    assert err == ""


def test_a_short_table_is_printed_whole(db: None, declare: Declare) -> None:
    out, _ = printed(done(declare, Series([1, 2], name="speed")))
    assert out.split() == ["x", "speed", "0", "1", "1", "2"]


@pytest.mark.parametrize("result", [PNG, File(b"abc", "a.bin")])
def test_a_picture_or_a_file_is_told_of(db: None, declare: Declare, result: Any) -> None:
    run = done(declare, result)
    (output,) = run.outputs.all()
    out, err = printed(run)
    assert out == f"{output}\n"
    assert address_of(run) in err
    out, _ = printed(run, in_json=True)
    assert json.loads(out) == {
        "filename": output.filename,
        "media_type": output.media_type,
        "bytes": output.size,
    }


def test_several_are_printed_by_name(db: None, declare: Declare) -> None:
    run = done(declare, {"t": Table([[1]], ["a"]), "p": Picture(PNG), "why": "text", "n": 10**30})
    out, err = printed(run)
    assert out.split() == f"t: a 1 p: p, 12 bytes why: text n: {10**30}".split()
    assert address_of(run, name="why") in err
    out, _ = printed(run, in_json=True)
    assert json.loads(out) == {
        "t": [{"a": 1}],
        "p": {"filename": "picture.png", "media_type": "image/png", "bytes": 12},
        "why": "text",
        "n": 10**30,
    }


def test_a_cell_is_short_and_obeys_nothing() -> None:
    assert readable("a\x1b[2Jb\n") == "a [2Jb "
    assert readable("x" * 50) == "x" * 39 + "…"
