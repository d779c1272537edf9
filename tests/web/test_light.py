"""Lists, the first page and other runs' pages are the same however large the results are."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute.models import Output, Run
from compute.models.keeping import Keeper
from compute.queue.contents import PART_BYTES, Part
from compute.shapes import File, Table
from tests.addresses import BROWSER
from tests.conftest import run_jobs, started

CHECK = "/compute/primes/check/"


@pytest.fixture
def runs(db: None) -> tuple[Run, list[Run]]:
    """A run that is done, and others."""
    first, *others = (started("/compute/primes/start/", n=100) for _ in range(9))
    run_jobs()
    return first, others


def keep_large(runs: list[Run]) -> None:
    """Results of which each has several parts."""
    for number, run in enumerate(runs):
        keeper = Keeper(run)
        rows = ([row, "x" * 90] for row in range(12_000))
        shape = File(b"x" * 5 * PART_BYTES) if number == 0 else Table(rows, ["n", "text"])
        keeper.keep({"": shape})
        Output.objects.bulk_create(keeper.outputs)
        Run.objects.filter(pk=run.pk).update(result=None)


def asked(address: str, accept: str) -> tuple[int, list[str]]:
    """How many bytes come, and by which statements."""
    Client().get(address, headers={"accept": accept})
    with CaptureQueriesContext(connection) as queries:
        reply = Client().get(address, headers={"accept": accept})
    assert reply.status_code == 200
    return len(reply.content), [query["sql"] for query in queries]


def test_large_results_of_others_cost_nothing(runs: tuple[Run, list[Run]]) -> None:
    run, others = runs
    check = f"{CHECK}?task_id={run.task_id}"
    pages = [("/", BROWSER), ("/compute/primes/", BROWSER), (check, BROWSER), (check, "*/*")]
    before = [asked(*page) for page in pages]
    keep_large(others)
    assert Part.objects.count() > 5 * len(others) / 2
    after = [asked(*page) for page in pages]
    for page, (size, statements), (size_now, statements_now) in zip(
        pages, before, after, strict=True
    ):
        assert len(statements_now) == len(statements), page
        assert abs(size_now - size) < 100, page  # the digits of a time
        assert not any(Part._meta.db_table in sql for sql in statements_now), page
