"""A run's result by its address: which output, in which format, for whom, and what is refused."""

from __future__ import annotations

import csv
import datetime
import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from compute.models import Output, Run, RunState
from compute.models.notes import refresh
from compute.queue.contents import Content, remove
from compute.queue.models import Job
from compute.shapes import SVG, File, Picture, Series, Table
from compute.web import parquet
from compute.web.outputs import address_of
from tests.conftest import check, finish_by_hand, run_jobs, run_queued, started
from tests.models.uncombined import CHECK, START, Declare, a_run
from tests.test_shapes import PNG

RESULT = "/compute/odd/result/"


def done(declare: Declare, result: Any, **fields: Any) -> Run:
    run = a_run(declare, combine=lambda results: result, **fields)
    run_queued()
    run.refresh_from_db()
    assert run.state == RunState.DONE, run.trouble
    return run


def ask(run: Run, client: Client | None = None, headers: Any = None, **parameters: Any) -> Any:
    query = {"task_id": run.task_id, **parameters}
    query = {name.rstrip("_"): value for name, value in query.items()}
    return (client or Client()).get(RESULT, query, headers=headers)


def body(reply: Any) -> bytes:
    assert reply.status_code in (200, 206), reply.content
    return b"".join(reply.streaming_content)


def detail(reply: Any, status: int) -> str:
    assert reply.status_code == status
    assert list(reply.json()) == ["detail"]
    return str(reply.json()["detail"])


TABLE = [
    {"n": 10**30, "text": "=Größe"},
    {"n": -5, "text": 'say "no"'},
]


# --- the natural form -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "media_type", "name", "data"),
    [
        (
            TABLE,
            "application/json",
            'inline; filename="primes up to 100.json"',
            '[{"n":1000000000000000000000000000000,"text":"=Größe"},'
            '{"n":-5,"text":"say \\"no\\""}]',
        ),
        ([1, 2.5, 3], "application/json", 'inline; filename="primes up to 100.json"', "[1,2.5,3]"),
        (25, "application/json", 'inline; filename="primes up to 100.json"', "25"),
        ("x" * 70_000, "text/plain; charset=utf-8", "inline", "x" * 70_000),
        (PNG, "image/png", 'inline; filename="primes up to 100.png"', PNG),
        (b"abc", "application/octet-stream", 'attachment; filename="result.bin"', b"abc"),
        (
            File(b"a,b", "Größe.csv", "text/csv"),
            "text/csv",
            "attachment; filename*=utf-8''Gr%C3%B6%C3%9Fe.csv",
            b"a,b",
        ),
    ],
)
def test_without_a_format_it_comes_as_what_it_is(
    db: None, declare: Declare, result: Any, media_type: str, name: str, data: Any
) -> None:
    reply = ask(done(declare, result))
    assert body(reply) == (data if isinstance(data, bytes) else data.encode())
    assert reply["Content-Type"] == media_type
    assert reply["Content-Disposition"].startswith(name)
    assert reply["X-Content-Type-Options"] == "nosniff"


def test_an_svg_runs_nothing(db: None, declare: Declare) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    reply = ask(done(declare, Picture(svg, SVG)))
    assert body(reply) == svg
    assert reply["Content-Type"] == "image/svg+xml"
    assert reply["Content-Security-Policy"] == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'"
    )
    assert reply["X-Content-Type-Options"] == "nosniff"


# --- formats --------------------------------------------------------------------------------


def test_a_table_of_many_rows_is_exact_in_each_format(db: None, declare: Declare) -> None:
    rows = [
        {"n": 10**25 + number, "text": f'=ü "{number}",\n', "none": None, "x": number / 3}
        for number in range(40_000)
    ]
    run = done(declare, rows)
    assert run.result is None
    assert json.loads(body(ask(run, as_="json"))) == rows
    lines = body(ask(run, as_="jsonl")).decode().split("\n")
    assert list(map(json.loads, lines[:-1])) == rows
    text = body(ask(run, as_="csv")).decode("utf-8-sig")
    _, *cells = csv.reader(io.StringIO(text, newline=""))
    assert cells == [[str(row["n"]), f"'{row['text']}", "", repr(row["x"])] for row in rows]
    lines = body(ask(run, as_="file")).decode().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [list(row.values()) for row in rows]


@pytest.mark.parametrize(
    ("result", "format_", "name"),
    [
        (TABLE, "csv", "primes up to 100.csv"),
        (TABLE, "jsonl", "primes up to 100.jsonl"),
        (TABLE, "file", "primes up to 100.jsonl"),
        ([1, 2, 3], "json", "primes up to 100.json"),
        (25, "json", "primes up to 100.json"),
        (25, "file", "primes up to 100.json"),
        (PNG, "file", "primes up to 100.png"),
        ("x" * 70_000, "file", "primes up to 100.txt"),
        ("x" * 70_000, "json", "primes up to 100.json"),
    ],
)
def test_what_is_asked_for_is_kept_under_a_name(
    db: None, declare: Declare, result: Any, format_: str, name: str
) -> None:
    reply = ask(done(declare, result), as_=format_)
    assert reply["Content-Disposition"] == f'attachment; filename="{name}"'
    assert body(reply)


@pytest.mark.parametrize(
    ("result", "format_", "status", "words"),
    [
        (25, "csv", 406, "A value can't be taken as csv; take it as json or file."),
        (PNG, "json", 406, "A picture can't be taken as json; take it as file."),
        (b"x", "jsonl", 406, "A file can't be taken as jsonl; take it as file."),
        (TABLE, "xml", 400, "Give `as` as one of: json, jsonl, csv, parquet, file."),
        (TABLE, "\0", 400, "Give `as` as one of"),
    ],
)
def test_a_format_that_there_is_not(
    db: None, declare: Declare, result: Any, format_: str, status: int, words: str
) -> None:
    assert detail(ask(done(declare, result), as_=format_), status).startswith(words)


def test_parquet_where_pyarrow_is_installed_and_where_not(
    db: None, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = done(declare, TABLE)
    monkeypatch.setattr(parquet, "is_there", lambda: False)
    assert "Parquet needs pyarrow" in detail(ask(run, as_="parquet"), 406)
    monkeypatch.setattr(parquet, "is_there", lambda: True)
    head = Client().head(RESULT, {"task_id": run.task_id, "as": "parquet"})
    assert head["Content-Type"] == "application/vnd.apache.parquet"
    assert head["Content-Disposition"] == 'attachment; filename="primes up to 100.parquet"'


def test_a_download_is_resumed(db: None, declare: Declare) -> None:
    data = bytes(range(256)) * 8_000
    run = done(declare, File(data, "data.bin"))
    first = ask(run, as_="file")
    assert first["Accept-Ranges"] == "bytes"
    assert first["Content-Length"] == str(len(data))
    rest = ask(run, as_="file", headers={"range": "bytes=1000000-", "if-range": first["ETag"]})
    assert rest.status_code == 206
    assert rest["Content-Range"] == f"bytes 1000000-{len(data) - 1}/{len(data)}"
    assert body(rest) == data[1_000_000:]
    assert ask(run, headers={"if-none-match": first["ETag"]}).status_code == 304
    refused = ask(run, headers={"range": f"bytes={len(data)}-"})
    assert "ask for some of these" in detail(refused, 416)
    assert refused["Content-Range"] == f"bytes */{len(data)}"


def test_head_sends_nothing(db: None, declare: Declare) -> None:
    run = done(declare, b"abc")
    reply = Client().head(RESULT, {"task_id": run.task_id})
    assert (reply.status_code, reply["Content-Length"], reply.content) == (200, "3", b"")


# --- several by name ------------------------------------------------------------------------


def test_several_are_listed_and_had_by_name(db: None, declare: Declare) -> None:
    run = done(declare, {"prices & more": TABLE, "line": Series([1, 2]), "raw": b"x"})
    listed = ask(run).json()["outputs"]
    assert [(each["name"], each["kind"], each["rows"]) for each in listed] == [
        ("prices & more", "table", 2),
        ("line", "series", 2),
        ("raw", "file", None),
    ]
    assert listed[0]["columns"] == ["n", "text"]
    assert listed[2]["bytes"] == 1
    reply = Client().get(listed[0]["at"])
    assert json.loads(body(reply)) == TABLE
    assert reply["Content-Disposition"] == (
        'inline; filename="primes up to 100, prices & more.json"'
    )
    assert body(ask(run, name="line", as_="csv")).endswith(b"1,2\r\n")
    assert detail(ask(run, as_="csv"), 400) == (
        "This result has several parts; give as `name` one of: prices & more, line, raw."
    )
    assert detail(ask(run, name="none"), 404).startswith("No part of this result has this name")


def test_one_by_name_needs_none(db: None, declare: Declare) -> None:
    run = done(declare, {"raw": b"x"})
    assert body(ask(run)) == body(ask(run, name="raw")) == b"x"


def test_a_result_without_names_has_none(db: None, declare: Declare) -> None:
    run = done(declare, 5)
    assert body(ask(run, name="")) == b"5"
    assert "leave `name` out" in detail(ask(run, name="x"), 404)


def test_what_is_shown_comes_before_the_value_beside_it(db: None, declare: Declare) -> None:
    run = done(declare, list(range(30_000)), show=lambda _: Picture(PNG))
    assert body(ask(run)) == PNG
    assert json.loads(body(ask(run, name="value"))) == list(range(30_000))


# --- a small result of any age ----------------------------------------------------------------


def test_a_result_without_outputs_is_taken_as_well(db: None, declare: Declare) -> None:
    run = done(declare, 5)
    Run.objects.filter(pk=run.pk).update(result=TABLE)  # as code of the version before has it
    assert json.loads(body(ask(run, as_="json"))) == TABLE
    assert body(ask(run, as_="csv")).decode("utf-8-sig").startswith("n,text\r\n")


# --- not there --------------------------------------------------------------------------------


def test_before_its_end_there_is_none(db: None, declare: Declare) -> None:
    run = a_run(declare)
    assert detail(ask(run), 409).startswith("This run is not done yet")
    run.cancel("boss")
    assert detail(ask(run), 409).startswith("This run ended without a result")


def test_a_note_that_is_out_of_date_is_made(db: None, declare: Declare) -> None:
    declare(name="odd", length=None, cut=None)
    run = started(START, n=10)
    run_queued()
    assert Run.objects.get().state == RunState.IN_PROGRESS
    finish_by_hand(run, 5)
    assert body(ask(run)) == b"5"


def test_one_that_has_been_removed_is_not_there(db: None, declare: Declare) -> None:
    run = done(declare, PNG)
    output = Output.objects.get()
    Content.objects.filter(pk=output.content_id).delete()
    assert "has just been removed" in detail(ask(run), 404)
    remove([output.content_id])
    Run.objects.all().delete()
    assert detail(ask(run), 404).startswith("No run has this task_id")


def test_bad_addresses(db: None, declare: Declare) -> None:
    assert Client().get(RESULT).status_code == 400
    assert Client().get(RESULT, {"task_id": "x"}).status_code == 404
    assert Client().post(RESULT, {"task_id": "x"}).status_code == 405
    run = done(declare, 5)
    html = ask(run, as_="csv", headers={"accept": "text/html"})
    assert html.status_code == 406
    assert "take it as json or file" in html.content.decode()


def test_a_private_run_is_for_its_owner(db: None, declare: Declare, settings: Settings) -> None:
    settings.RUNS_PRIVATE = True
    owner = Client()
    owner.force_login(User.objects.create_user("owner"))
    declare(name="odd", combine=lambda results: PNG)
    run = started(START, owner, n=100, chunk_size=50)
    run_jobs()
    assert body(ask(run, owner)) == PNG
    assert ask(run).status_code == 404


# --- what a check says --------------------------------------------------------------------------


def test_a_check_says_where_it_is(
    db: None, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = done(declare, "x" * 70_000)
    said = check(run, CHECK)
    assert said["result"] is None
    assert said["result_at"] == f"http://testserver{address_of(run)}"
    assert body(Client().get(said["result_at"])) == b"x" * 70_000
    assert check(run, "/sum-check/")["total"] == "x" * 70_000, "the tutorial's have it all"
    monkeypatch.setattr("compute.views.MOST_BYTES", 69_999)
    assert check(run, "/sum-check/")["total"] is None, "but what would fill a web process"
    assert "result_at" not in check(done(declare, 5), CHECK)


def test_results_of_chunks_that_are_long_in_all_are_elsewhere(db: None, declare: Declare) -> None:
    run = a_run(declare)
    assert check(run)["raw"] == [15, 10]
    Job.objects.filter(position=0).update(result="x" * 70_000)
    assert check(run)["raw"] == ["x" * 70_000, 10]
    lines = body(Client().get(address_of(run, chunk="all"))).decode().splitlines()
    first, second = map(json.loads, lines)
    assert (first["chunk"], first["result"]) == (1, None)
    assert "is long, or of a class of its own" in first["error"]
    assert second == {"chunk": 2, "result": 10}


# --- chunks ---------------------------------------------------------------------------------


def chunked(declare: Declare, *results: Any) -> Run:
    run = a_run(declare)
    finish_by_hand(run, *results)
    return run


def test_a_chunks_result_is_taken_like_a_runs(db: None, declare: Declare) -> None:
    run = chunked(declare, TABLE, PNG)
    assert json.loads(body(ask(run, chunk=1))) == TABLE
    reply = ask(run, chunk=1, as_="csv")
    assert reply["Content-Disposition"] == 'attachment; filename="primes up to 100, chunk 1.csv"'
    assert body(reply).decode("utf-8-sig").startswith("n,text\r\n")
    reply = ask(run, chunk=2)
    assert (body(reply), reply["Content-Type"]) == (PNG, "image/png")


def test_parts_of_a_chunks_result_are_listed(db: None, declare: Declare) -> None:
    run = chunked(declare, {"a": b"x", "b": [1, 2, 3]}, 5)
    first, second = ask(run, chunk=1).json()["outputs"]
    assert body(Client().get(first["at"])) == b"x"
    assert body(Client().get(second["at"])) == b"[1,2,3]"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (datetime.date(2026, 11, 26), "The result of chunk 1 is long, or of a class of its own"),
        (Table([[1]]), "The result of chunk 1 is long, or of a class of its own"),
        ("x" * 70_000, "The result of chunk 1 is long, or of a class of its own"),
        ({1: 2}, "The result of chunk 1 is for workers alone: the result has the key 1, an int"),
    ],
)
def test_what_is_for_workers_alone_is_refused(
    db: None, declare: Declare, result: Any, words: str
) -> None:
    run = chunked(declare, result, 5)
    assert detail(ask(run, chunk=1), 406).startswith(words)
    first, second = map(json.loads, body(ask(run, chunk="all")).decode().splitlines())
    assert first["result"] is None
    assert first["error"]
    assert second == {"chunk": 2, "result": 5}


@pytest.mark.parametrize("chunk", ["0", "3", "-1", "x", "", "9" * 30, "١"])
def test_a_chunk_that_there_is_not(db: None, declare: Declare, chunk: str) -> None:
    assert "has chunks 1 to 2" in detail(ask(a_run(declare), chunk=chunk), 404)


def test_a_chunk_that_is_not_done_or_gone(db: None, declare: Declare) -> None:
    declare(name="odd")
    run = started(START, n=100, chunk_size=50)
    assert detail(ask(run, chunk=1), 409) == "Chunk 1 is queued, not done."
    assert body(ask(run, chunk="all")) == b""
    run_queued(1)
    assert [json.loads(body(ask(run, chunk="all")))] == [{"chunk": 1, "result": 15}]
    run.jobs.filter(position=1).delete()
    assert detail(ask(run, chunk=2), 404) == "Chunk 2 has been removed."


def test_all_chunks_come_as_lines(db: None, declare: Declare, monkeypatch: Any) -> None:
    monkeypatch.setattr("compute.queue.results.PAGE", 1)
    run = a_run(declare)
    reply = ask(run, chunk="all", as_="jsonl")
    assert reply["Content-Disposition"] == ('attachment; filename="primes up to 100, chunks.jsonl"')
    assert reply["Content-Type"] == "application/x-ndjson"
    assert body(reply) == b'{"chunk":1,"result":15}\n{"chunk":2,"result":10}\n'
    assert detail(ask(run, chunk="all", as_="csv"), 406)
    head = Client().head(RESULT, {"task_id": run.task_id, "chunk": "all"})
    assert (head.content, head["Content-Type"]) == (b"", "application/x-ndjson")


def test_all_chunks_can_be_resumed_when_the_run_has_ended(db: None, declare: Declare) -> None:
    whole = b'{"chunk":1,"result":15}\n{"chunk":2,"result":10}\n'
    run = a_run(declare)
    run_jobs()
    given = {"task_id": run.task_id, "chunk": "all"}
    reply = Client().get(RESULT, given, headers={"range": "bytes=10-"})
    assert (reply.status_code, body(reply)) == (206, whole[10:])
    again = Client().get(RESULT, given, headers={"if-none-match": reply["ETag"]})
    assert again.status_code == 304
    outside = Client().get(RESULT, given, headers={"range": "bytes=1000-"})
    assert outside["Content-Range"] == f"bytes */{len(whole)}"


def test_an_address_has_what_is_asked(db: None, declare: Declare) -> None:
    run = a_run(declare)
    query = f"task_id={run.task_id}&name=a+b&chunk=1"
    assert address_of(run, name="a b", chunk=1) == f"{RESULT}?{query}"
    assert refresh(run).total == 2
