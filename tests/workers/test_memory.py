"""What a node's processes have in memory: each import counts, and what is not shared once each."""

from __future__ import annotations

import psutil
import pytest
from django_q.tasks import async_task

from compute.queue.models import Job
from tests.processes import Processes, wait_until
from tests.queue import functions

#: What is for pages, for tests or for a terminal: neither this nor anything below it.
FOR_OTHERS = (
    *("compute.urls", "compute.views", "compute.web.pages", "compute.web.runs", "sumsite.urls"),
    *("compute.web.metrics", "compute.web.middleware", "compute.management"),
    "compute.queue.metrics",
    *(
        "django.contrib.admin.views.main",
        "django.contrib.auth.middleware",
    ),
    *("axes.middleware", "csp.middleware", "django_htmx.middleware", "whitenoise.middleware"),
    *("django.template.loaders", "django.test", "gunicorn", "IPython", "rich", "sentry_sdk"),
)


@pytest.mark.main_path
def test_a_worker_has_imported_no_page(processes: Processes) -> None:
    processes.node()
    task_id = async_task(functions.imported)
    wait_until(Job.objects.filter(pk=task_id, state=Job.State.DONE).exists, 30)
    imported = Job.objects.get(pk=task_id).result
    assert "compute.models.run" in imported
    found = [
        name
        for name in imported
        if any(name == other or name.startswith(f"{other}.") for other in FOR_OTHERS)
    ]
    assert not found


@pytest.mark.skipif(not psutil.LINUX, reason="Linux tells what processes share")
def test_the_processes_share_most_of_it(processes: Processes) -> None:
    """A collection that writes to everything has each of them have it all."""
    node = processes.node()
    task_id = async_task(functions.give, 1)
    wait_until(Job.objects.filter(pk=task_id, state=Job.State.DONE).exists, 30)
    memory = [process.memory_full_info() for process in node.family()]
    assert len(memory) >= 7
    assert sum(each.pss for each in memory) < 0.5 * sum(each.rss for each in memory)
