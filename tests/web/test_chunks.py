"""A chunk's address, and the list of all of a run's."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client

from compute.models import Run
from compute.queue.models import Job, JobState, Node
from tests.conftest import run_jobs, started

CHUNK, CHUNKS = "/compute/sum/chunk/", "/compute/sum/chunks/"
STATES = "queued, running, done, failed, cancelled"
NO_PAGES = ("", "0", "00", "-1", "1.5", "x", "٣", "\0", "1 2", "+1", "9" * 10)


def ask(run: Run, number: Any = None, client: Client | None = None, **headers: str) -> Any:
    given = {"task_id": run.task_id} | ({} if number is None else {"number": number})
    return (client or Client()).get(CHUNK, given, headers=headers)


def ask_all(run: Run, headers: Any = None, **given: Any) -> Any:
    return Client().get(CHUNKS, {"task_id": run.task_id, **given}, headers=headers)


def listed(run: Run, query: str = "as=jsonl", client: Client | None = None) -> str:
    reply = (client or Client()).get(f"{CHUNKS}?task_id={run.task_id}&{query}")
    assert reply.status_code == 200
    return b"".join(reply).decode()


@pytest.fixture
def run(db: None) -> Run:
    """Chunk 1 and 2 are done, the others wait."""
    run = started("/split-sum-start/", n=1000, chunk_size=250)
    run_jobs()
    return run


# --- one -----------------------------------------------------------------------------------


def test_a_chunk_is_told_to_programs(run: Run) -> None:
    data = ask(run, 2).json()
    assert data.pop("queued_at") <= data.pop("started_at") <= data.pop("finished_at")
    assert data.pop("seconds") >= 0
    assert data == {
        "number": 2,
        "state": "done",
        "arguments": "251, 500",
        "tries": 1,
        "node": None,
        "worker": None,
        "progress": 1.0,
        "error": None,
        "result": sum(range(251, 501)),
        "result_at": None,
    }


def test_a_browser_gets_a_page(run: Run) -> None:
    reply = ask(run, "4", accept="text/html")
    assert reply.status_code == 200
    assert b"<h1>Chunk 4 of 4</h1>" in reply.content
    assert reply["Cache-Control"] == "no-store"
    assert "Accept" in reply["Vary"]


def test_a_number_may_have_commas(run: Run) -> None:
    assert ask(run, "0,002").json()["number"] == 2


@pytest.mark.parametrize("number", [None, "", "x", "-1", "1.5", "٣", "\0", "9" * 10, "1 2"])
def test_what_is_no_number_is_refused(run: Run, number: Any) -> None:
    reply = ask(run, number)
    assert (reply.status_code, list(reply.json())) == (400, ["detail"])


@pytest.mark.parametrize("number", ["0", "5", "999999999"])
def test_a_number_of_no_chunk_is_not_found(run: Run, number: str) -> None:
    reply = ask(run, number)
    assert reply.status_code == 404
    assert "a number from 1 to 4" in reply.json()["detail"]


def test_a_run_without_chunks_has_none(db: None) -> None:
    run = started("/split-sum-start/", n=0)
    assert "no chunks" in ask(run, 1).json()["detail"]
    assert ask_all(run).json() == {"chunks": [], "count": 0, "page": 1, "pages": 1}
    assert listed(run) == ""
    assert len(listed(run, "as=csv").splitlines()) == 1


@pytest.mark.parametrize("address", [CHUNK, CHUNKS])
def test_a_run_is_needed(db: None, address: str) -> None:
    assert Client().get(address).status_code == 400
    assert Client().get(address, {"task_id": "0" * 32, "number": "1"}).status_code == 404
    assert Client().post(address).status_code == 405
    assert Client().head(address).status_code == 400


@pytest.mark.parametrize("address", [CHUNK, CHUNKS])
def test_where_runs_are_private_they_are_for_those_who_may_see_the_run(
    run: Run, settings: Any, admin: Client, address: str
) -> None:
    settings.RUNS_PRIVATE = True
    given = {"task_id": run.task_id, "number": "1"}
    assert Client().get(address, given).status_code == 404
    assert admin.get(address, given).status_code == 200
    Run.objects.update(shared=True)
    assert Client().get(address, given).status_code == 200


# --- a page of all -------------------------------------------------------------------------


def test_chunks_are_told_to_programs_a_page_at_a_time(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compute.web.pages.chunks.PER_PAGE", 3)
    first = ask_all(run).json()
    assert [each["number"] for each in first["chunks"]] == [1, 2, 3]
    assert first["chunks"][0]["arguments"] == "1, 250"
    assert (first["count"], first["page"], first["pages"]) == (4, 1, 2)
    assert first["next"] == f"http://testserver{CHUNKS}?task_id={run.task_id}&page=2"
    second = Client().get(first["next"]).json()
    assert [each["number"] for each in second["chunks"]] == [4]
    assert second.keys() == {"chunks", "count", "page", "pages"}
    reply = ask_all(run, page="7")
    assert reply.json() == {"chunks": [], "count": 4, "page": 7, "pages": 2}
    assert reply["Cache-Control"] == "no-store"
    assert "Accept" in reply["Vary"]


def test_a_page_may_be_of_a_state(run_with_a_failure: Run) -> None:
    data = ask_all(run_with_a_failure, state="failed").json()
    assert ([each["number"] for each in data["chunks"]], data["count"]) == ([2], 1)
    assert ask_all(run_with_a_failure, state="").json()["count"] == run_with_a_failure.chunks
    none = ask_all(run_with_a_failure, state="queued").json()
    assert none == {"chunks": [], "count": 0, "page": 1, "pages": 1}


def test_a_browser_gets_the_list_as_a_page(run: Run) -> None:
    reply = ask_all(run, headers={"Accept": "text/html"})
    assert reply.status_code == 200
    assert b"<h1>Chunks</h1>" in reply.content
    assert reply["Cache-Control"] == "no-store"
    reply = ask_all(run, headers={"Accept": "text/html"}, page="x")
    assert reply.status_code == 400
    assert b"Give page as a whole number, from 1." in reply.content


def test_a_chunk_leads_to_its_page_of_the_list(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compute.web.pages.chunks.PER_PAGE", 3)
    for number, more in ((3, ""), (4, "&amp;page=2")):
        html = ask(run, number, accept="text/html").content.decode()
        assert f'<a href="{CHUNKS}?task_id={run.task_id}{more}">List of chunks</a>' in html


# --- all -----------------------------------------------------------------------------------


def test_all_chunks_are_a_line_each(run: Run) -> None:
    lines = [json.loads(line) for line in listed(run).splitlines()]
    assert [line["number"] for line in lines] == [1, 2, 3, 4]
    assert {line["state"] for line in lines} == {"done"}
    assert lines[3]["arguments"] == "751, 1000"
    assert "result" not in lines[0]


def test_all_chunks_are_a_table(run: Run) -> None:
    text = listed(run, "as=csv")
    assert text.startswith("\ufeffnumber,arguments,state,tries,")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0]["arguments"] == "1, 250"
    assert rows[0]["node"] == rows[0]["error"] == ""
    assert float(rows[0]["seconds"]) >= 0


def test_a_list_is_a_file_of_its_own(run: Run) -> None:
    for kind, media_type in (("csv", "text/csv; charset=utf-8"), ("jsonl", "application/x-ndjson")):
        reply = Client().get(CHUNKS, {"task_id": run.task_id, "as": kind})
        assert reply["Content-Type"] == media_type
        assert "list%20of%20chunks." in reply["Content-Disposition"]
        assert reply["Content-Disposition"].startswith("attachment")
        assert reply.streaming
        head = Client().head(CHUNKS, {"task_id": run.task_id, "as": kind})
        assert (head.content, head["Content-Type"]) == (b"", media_type)
        assert head["Content-Length"] == str(len(b"".join(reply)))
        kept = {"If-None-Match": reply["ETag"]}
        assert ask_all(run, headers=kept, **{"as": kind}).status_code == 304


def test_a_broken_off_list_goes_on_with_the_rest(run: Run) -> None:
    """Whatever a retry has changed meanwhile: then it is another, and begins anew."""
    whole = listed(run).encode()
    reply = ask_all(run, headers={"Range": "bytes=100-"}, **{"as": "jsonl"})
    assert (reply.status_code, b"".join(reply)) == (206, whole[100:])
    headers = {"Range": "bytes=100-", "If-Range": reply["ETag"]}
    assert ask_all(run, headers=headers, **{"as": "jsonl"}).status_code == 206
    run.jobs.filter(position=1).update(delivery=F("delivery") + 1, error="another")
    reply = ask_all(run, headers=headers, **{"as": "jsonl"})
    assert reply.status_code == 200
    assert b"another" in b"".join(reply)
    reply = ask_all(run, headers={"Range": "bytes=999999-"}, **{"as": "jsonl"})
    assert (reply.status_code, list(reply.json())) == (416, ["detail"])


def test_who_may_read_more_is_given_more(
    run_with_a_failure: Run, missing_file: Any, admin: Client
) -> None:
    """One after another, of the same process, which keeps the last list."""
    assert str(missing_file) in listed(run_with_a_failure, client=admin)
    assert str(missing_file) not in listed(run_with_a_failure)
    assert str(missing_file) in listed(run_with_a_failure, client=admin)


def test_a_list_may_be_of_a_state(run_with_a_failure: Run) -> None:
    (line,) = listed(run_with_a_failure, "as=jsonl&state=failed").splitlines()
    assert json.loads(line)["number"] == 2
    assert listed(run_with_a_failure, "as=jsonl&state=cancelled") == ""


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ({"as": "xlsx"}, "Give as=csv or as=jsonl."),
        ({"as": ""}, "Give as=csv or as=jsonl."),
        ({"as": "csv", "state": "x"}, f"Give as state one of {STATES}."),
        ({"state": "x"}, f"Give as state one of {STATES}."),
        ({"state": "Done"}, f"Give as state one of {STATES}."),
        ({"state": "\0"}, f"Give as state one of {STATES}."),
        *(({"page": page}, "Give page as a whole number, from 1.") for page in NO_PAGES),
    ],
)
def test_another_form_or_state_is_refused(run: Run, given: Any, detail: str) -> None:
    reply = Client().get(CHUNKS, {"task_id": run.task_id, **given})
    assert (reply.status_code, reply.json()) == (400, {"detail": detail})


def test_no_cell_is_a_formula(run: Run) -> None:
    run.jobs.filter(position=0).update(state=JobState.FAILED, error="=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO(listed(run, "as=csv"))))
    assert rows[0]["error"] == "'=HYPERLINK(1)"


def test_others_read_errors_and_arguments_without_paths(
    run_with_a_failure: Run, missing_file: Any, admin: Client
) -> None:
    for text in (listed(run_with_a_failure), json.dumps(ask(run_with_a_failure, 2).json())):
        assert str(missing_file) not in text
        assert "[…]" in text.replace("\\u2026", "…")
    assert str(missing_file) in listed(run_with_a_failure, client=admin)


def test_names_of_nodes_are_for_owner_and_staff_where_runs_are_private(
    run: Run, settings: Any, queue_server: Node, admin: Client
) -> None:
    Job.objects.update(node=queue_server, worker=77)
    assert (ask(run, 1).json()["node"], ask(run, 1).json()["worker"]) == ("tests", 77)
    settings.RUNS_PRIVATE = True
    ann = Client()
    ann.force_login(user := User.objects.create_user("ann"))
    Run.objects.update(shared=True)
    assert (ask(run, 1).json()["node"], ask(run, 1).json()["worker"]) == (None, None)
    assert '"node":null' in listed(run)
    Run.objects.update(account=user)
    for client in (ann, admin):
        assert ask(run, 1, client).json()["node"] == "tests"
        assert '"node":"tests"' in listed(run, client=client)
