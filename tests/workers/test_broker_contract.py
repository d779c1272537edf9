"""What django-q2's ORM broker promises about claims, and ours promises as well."""

from __future__ import annotations

import sys

import pytest
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from compute.queue.engines import FREE
from tests.processes import Processes

CLAIMERS = 8


@pytest.mark.parametrize(
    ("broker", "count"),
    [
        ("compute.queue.broker.DatabaseBroker", 1_000),
        ("django_q.brokers.orm.ORM", 200),
        pytest.param("compute.queue.broker.DatabaseBroker", 10_000, marks=pytest.mark.long),
        pytest.param("django_q.brokers.orm.ORM", 10_000, marks=pytest.mark.long),
    ],
)
def test_eight_processes_claim_each_task_once_and_in_order(
    processes: Processes, broker: str, count: int
) -> None:
    task = {"name": "", "func": "", "args": (), "kwargs": {}}
    payloads = [SignedPackage.dumps({"id": number, **task}) for number in range(count)]
    OrmQ.objects.bulk_create(
        OrmQ(key="sumsite", payload=payload, lock=FREE) for payload in payloads
    )
    claimers = [
        processes.start(
            sys.executable,
            *("-W", "ignore", "-m", "tests.queue.claimer", broker),
            DJANGO_SETTINGS_MODULE="sumsite.settings",
        )
        for _ in range(CLAIMERS)
    ]
    claimed = []
    for claimer in claimers:
        assert claimer.popen.wait(300) == 0, claimer.text()
        numbers = [SignedPackage.loads(line)["id"] for line in claimer.text().split()]
        assert numbers == sorted(numbers), "each claimer gets them in order"
        claimed += numbers
    assert sorted(claimed) == list(range(count)), "each is claimed once, none is left"
    assert not OrmQ.objects.exists()
