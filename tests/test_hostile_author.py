"""Eighty computations of a hostile author hurt nobody but themselves.

Each is started by page, by JSON and in the terminal. Its run ends as `EXPECTED` says, and
everything else answers as it did before.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from compute import computations, retention
from compute.management import terminal
from compute.models import Run
from compute.queue.models import Job
from tests.conftest import run_jobs, started
from tests.odd.computations import odd

pytestmark = pytest.mark.thorough

FOLDER = str(Path(odd.__file__).parent)
#: In the tests' own process nobody may die.
NAMES = [name for name in odd.EXPECTED if name not in odd.DEADLY | odd.OPEN]
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


@pytest.fixture(autouse=True, scope="module")
def declared() -> Iterator[None]:
    """The hostile author's folder is one of the site's."""
    computations.__path__.append(FOLDER)
    computations.loaded.cache_clear()
    yield
    computations.__path__.remove(FOLDER)
    computations.loaded.cache_clear()


def parameters(name: str) -> dict[str, Any]:
    return {"n": 4, "chunk_size": 1} if name in odd.WRONG else {"name": name}


def assert_ends(name: str, run: Run) -> None:
    kind, expected = odd.EXPECTED[name]
    run_jobs()
    run.refresh_from_db()
    assert not run.everything().unsettled().exists()
    if kind == "is":
        assert (run.state, run.result) == (Run.State.DONE, expected)
    elif kind == "apart":
        assert (run.state, run.result) == (Run.State.DONE, None)
        assert run.outputs.all()[0].kind == expected
    else:
        assert run.state == Run.State.ERROR
        assert expected in (run.error() or "")


def pages_of(run: Run) -> list[str]:
    """A page of each kind that shows something of it."""
    name = run.computation
    checks = [f"/compute/{name}/check/", "/sum-check/", "/split-sum-check/"]
    if run.state == Run.State.DONE:
        checks.append(f"/compute/{name}/result/")
    pages = [f"{check}?task_id={run.task_id}" for check in checks]
    pages.append(f"/admin/compute/run/{run.pk}/change/")
    for jobs in run.everything(), run.everything().filter(state=Job.State.FAILED):
        pages += [f"/admin/queue/job/{job.pk}/change/" for job in jobs[:2]]
    kinds = {Job.State.FAILED: "failure", Job.State.DONE: "success"}
    for state, kind in kinds.items():
        jobs = run.everything().filter(state=state)[:2]
        pages += [f"/admin/django_q/{kind}/{job.pk}/change/" for job in jobs]
    return list(dict.fromkeys(pages))


def assert_all_answer(admin: Client, pages: list[str]) -> None:
    for page in pages:
        assert admin.get(page, headers={"accept": "text/html"}).status_code == 200, page


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
    else:
        assert reply.status_code == 200
        run = Run.objects.latest("id")
        assert_ends(name, run)
        said = Client().get(f"/compute/{name}/check/", {"task_id": run.task_id})
        json.loads(said.content, parse_constant=pytest.fail)  # JSON has no NaN
        assert said.json()["status"] == run.status
        assert_all_answer(admin, pages_of(run))
    assert not Job.objects.unsettled().exists()


def test_every_list_answers_with_all_of_them(other: Run, admin: Client, settings: Any) -> None:
    settings.MAX_CLIENT_MB_PER_HOUR = 0
    for name in NAMES:
        Client().get(f"/compute/{name}/start/", parameters(name))
        run_jobs()
    refused = sum(odd.EXPECTED[name][0] == "refused" for name in NAMES)
    assert Run.objects.count() == 1 + len(NAMES) - refused
    ids = Run.objects.values_list("task_id", flat=True)[19::20]
    further = [f"/?page=before-{task_id}" for task_id in ids]
    assert_all_answer(admin, LISTS + further)
    assert sum(retention.steps(days=1, dry=True), Counter()).total() == 0


@pytest.mark.once
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


@pytest.mark.once
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
    if kind == "apart":
        compute()
        assert not re.search(r"[\x00-\x1f]", out.getvalue().replace("\n", ""))
        return
    with pytest.raises(CommandError) as caught:
        compute()
    assert expected in str(caught.value)


def test_all_of_them_have_a_card_on_the_first_page(
    other: Run, browser_client: Client, settings: Any
) -> None:
    settings.HOME_PAGE = ""
    html = browser_client.get("/").content.decode()
    cards = set(re.findall(r'<h3><a href="/compute/([^/"]+)/">', html))
    assert cards >= set(NAMES)
    assert "<script>x" not in html
