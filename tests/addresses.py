"""The addresses of the contract, and what has come of asking them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django_q.models import OrmQ

from compute.models import Run
from compute.queue.models import Job

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SUM_ADDRESSES = ["/sum-sync/", "/sum-start/", "/bug-sum-start/", "/split-sum-start/"]
START_ADDRESSES = SUM_ADDRESSES[1:]
CHECK_ADDRESSES = ["/sum-check/", "/split-sum-check/"]
ADDRESSES = ["/", *SUM_ADDRESSES, *CHECK_ADDRESSES]
HEALTH_ADDRESSES = ["/healthz", "/readyz"]


def rows() -> tuple[int, int, int]:
    return Run.objects.count(), Job.objects.count(), OrmQ.objects.count()


@contextmanager
def nothing_started() -> Iterator[None]:
    before = rows()
    yield
    assert rows() == before
