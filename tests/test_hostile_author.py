"""Eighty computations of a hostile author hurt nobody but themselves.

Each is started by page, by JSON and in the terminal. Its run ends as `EXPECTED` says, and
everything else answers as it did before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from compute import computations
from compute.management import terminal
from compute.models import Run
from compute.queue.models import Job
from tests.conftest import run_jobs, started
from tests.odd.computations import odd

pytestmark = pytest.mark.thorough

FOLDER = str(Path(odd.__file__).parent)
#: In the tests' own process nobody may die.
NAMES = [name for name in odd.EXPECTED if name not in odd.DEADLY]
LISTS = [
    "/",
    "/nodes/",
    "/metrics",
    "/admin/",
    "/admin/compute/run/",
    "/admin/queue/job/",
    "/admin/django_q/failure/",
    "/admin/django_q/success/",
    "/admin/django_q/ormq/",
]


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    """The hostile author's folder is one of the site's."""
    computations.__path__.append(FOLDER)
    computations.loaded.cache_clear()
    yield
    computations.__path__.remove(FOLDER)
    computations.loaded.cache_clear()


def parameters(name: str) -> dict[str, object]:
    return {"n": 4, "chunk_size": 1} if name in odd.WRONG else {"name": name}


def assert_ends(name: str, run: Run) -> None:
    kind, expected = odd.EXPECTED[name]
    run_jobs()
    run.refresh_from_db()
    assert not run.everything().unsettled().exists()
    if kind == "is":
        assert (run.state, run.result) == (Run.State.DONE, expected)
    else:
        assert run.state == Run.State.ERROR
        assert expected in (run.error() or "")


def assert_all_answers(name: str, admin: Client, run: Run | None) -> None:
    addresses = list(LISTS)
    if run:
        for check in (f"/compute/{name}/check/", "/sum-check/", "/split-sum-check/"):
            addresses.append(f"{check}?task_id={run.task_id}")
        addresses.append(f"/admin/compute/run/{run.pk}/change/")
        jobs = run.everything()
        addresses += [f"/admin/queue/job/{job.pk}/change/" for job in jobs]
        failed = jobs.filter(state=Job.State.FAILED)
        addresses += [f"/admin/django_q/failure/{job.pk}/change/" for job in failed]
        done = jobs.filter(state=Job.State.DONE)
        addresses += [f"/admin/django_q/success/{job.pk}/change/" for job in done]
    for accept in ("text/html", "application/json"):
        for address in addresses:
            assert admin.get(address, headers={"accept": accept}).status_code == 200, address
    call_command("prune", days=1, dry_run=True, stdout=StringIO())


@pytest.fixture
def other(db: None) -> Iterator[Run]:
    """Somebody else's run, which stays as it is."""
    run = started("/split-sum-start/", n=10, chunk_size=5)
    run_jobs()
    run.refresh_from_db()
    before = vars(run).copy()
    yield run
    run.refresh_from_db()
    after = vars(run)
    assert {**before, "_state": None} == {**after, "_state": None}
    assert (run.state, run.result) == (Run.State.DONE, 55)


@pytest.mark.parametrize("name", NAMES)
def test_a_program_starts_it(other: Run, admin: Client, name: str) -> None:
    kind, expected = odd.EXPECTED[name]
    reply = Client().get(f"/compute/{name}/start/", parameters(name))
    if kind == "refused":
        assert reply.status_code == 422
        assert list(reply.json()) == ["detail"]
        assert Run.objects.count() == 1  # and nothing of the author's insides is told
        assert expected not in reply.json()["detail"]
        told = admin.get(f"/compute/{name}/start/", parameters(name))
        assert (told.status_code, expected in told.json()["detail"]) == (422, True)
        assert name in told.json()["detail"]
        run = None
    else:
        assert reply.status_code == 200
        run = Run.objects.latest("id")
        assert_ends(name, run)
        said = Client().get(f"/compute/{name}/check/", {"task_id": run.task_id})
        json.loads(said.content, parse_constant=pytest.fail)  # JSON has no NaN
        assert said.json()["status"] == run.status
    assert not Job.objects.unsettled().exists()
    assert_all_answers(name, admin, run)


@pytest.mark.parametrize("name", NAMES)
def test_a_browser_starts_it(other: Run, admin: Client, browser_client: Client, name: str) -> None:
    assert browser_client.get(f"/compute/{name}/").status_code == 200
    reply = browser_client.post(f"/compute/{name}/start/", parameters(name))
    if odd.EXPECTED[name][0] == "refused":
        assert reply.status_code == 422
        assert Run.objects.count() == 1
        return
    assert reply.status_code == 303
    run = Run.objects.latest("id")
    assert_ends(name, run)
    page = browser_client.get(reply["Location"])
    assert page.status_code == 200
    assert "<script>x" not in page.content.decode()
    again = browser_client.post(f"/compute/{name}/again/", {"task_id": run.task_id})
    assert again.status_code == 303
    assert_ends(name, Run.objects.latest("id"))
    assert browser_client.get("/").status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_starts_it(other: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def follow(run: Run) -> None:
        run_jobs()
        run.refresh_from_db()

    monkeypatch.setattr(terminal, "follow", follow)
    out = StringIO()
    values = {key: value for key, value in parameters(name).items() if key != "chunk_size"}
    options = {"chunk_size": "1"} if name in odd.WRONG else {}

    def compute() -> Any:
        call_command("compute", name, *map(str, values.values()), stdout=out, **options)

    kind, expected = odd.EXPECTED[name]
    if kind == "is":
        compute()
        assert json.loads(out.getvalue(), parse_constant=pytest.fail) == expected
        return
    with pytest.raises(CommandError) as caught:
        compute()
    assert expected in str(caught.value)
