"""What django-q2's ORM broker promises about claims, and our engines promise as well; and more."""

from __future__ import annotations

import sys

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from compute.queue.engines import UP
from tests.processes import Processes

CLAIMERS = 8


@pytest.mark.parametrize(
    ("claimer", "count"),
    [
        ("ours", 1_000),
        ("django_q.brokers.orm.ORM", 200),
        pytest.param("ours", 10_000, marks=pytest.mark.long),
        pytest.param("django_q.brokers.orm.ORM", 10_000, marks=pytest.mark.long),
    ],
)
def test_eight_processes_claim_each_task_once_and_ours_in_order(
    processes: Processes, claimer: str, count: int
) -> None:
    task = {"name": "", "func": "", "args": (), "kwargs": {}}
    payloads = [SignedPackage.dumps({"id": number, **task}) for number in range(count)]
    OrmQ.objects.bulk_create(OrmQ(key="sumsite", payload=payload, lock=UP) for payload in payloads)
    started = [
        processes.start(
            sys.executable,
            *("-W", "ignore", "-m", "tests.queue.claimer", claimer),
            DJANGO_SETTINGS_MODULE="sumsite.settings",
        )
        for _ in range(CLAIMERS)
    ]
    claimed = []
    for each in started:
        assert each.popen.wait(300) == 0, each.text()
        numbers = [SignedPackage.loads(line)["id"] for line in each.text().split()]
        if claimer == "ours":  # django-q2 asks for no order, and Postgres has none by itself
            assert numbers == sorted(numbers), "each claimer gets them in order"
        claimed += numbers
    assert sorted(claimed) == list(range(count)), "each is claimed once, none is left"
    assert not OrmQ.objects.exists()
