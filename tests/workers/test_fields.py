"""Every field of Django's on a real node: workers get what the form has cleaned."""

from __future__ import annotations

import json
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from compute.models import Run
from tests.conftest import database_url
from tests.every.computations.every import KINDS, option, texts
from tests.management.calling import manage
from tests.processes import Processes, wait_until

EVERY = {"DJANGO_SETTINGS_MODULE": "tests.every.settings"}


def words(name: str) -> list[str]:
    return [f"{option(name)}={word}" for word in KINDS[name].in_terminal()]


@pytest.mark.thorough
def test_a_worker_gets_each_value_as_it_is(processes: Processes) -> None:
    _, site = processes.web(**EVERY)
    processes.node(**EVERY)
    expected = [repr(kind.value) for kind in KINDS.values()]
    body = urlencode(texts(), doseq=True).encode()
    with urlopen(Request(f"{site}/compute/every/start/", body), timeout=60) as reply:
        task_id = json.load(reply)["task_progress"].rpartition("=")[2]

    def result(task_id: str) -> object:
        return wait_until(lambda: Run.objects.filter(task_id=task_id, state="done").first(), 60)

    assert result(task_id).result == expected  # type: ignore[attr-defined]
    done = manage(
        *("compute", "every", *(word for name in KINDS for word in words(name))),
        DATABASE_URL=database_url(),
        **EVERY,
    )
    assert json.loads(done.stdout) == expected, done.stderr
