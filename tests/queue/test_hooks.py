"""The hook of a task whose own worker could not call it."""

from __future__ import annotations

from django.contrib.auth.models import User
from django_q.models import Failure
from django_q.tasks import async_task

from compute.queue.models import Job, JobState
from tests.queue.conftest import LocalNode, the_job

ADD = "tests.queue.functions.add"


def test_a_hook_is_called_by_a_task_of_its_own_where_no_worker_can(node: LocalNode) -> None:
    task_id = async_task(ADD, 1, task_name="sum", hook="tests.queue.functions.note")
    the_job().fail("its worker died", "WorkerDied")
    node.run()
    assert User.objects.get().username == "sum: False, its worker died"
    hook = Job.objects.exclude(pk=task_id).get()
    assert (hook.name, hook.state) == ("hook of sum", JobState.DONE)


def test_a_hook_whose_record_is_gone_is_not_called(node: LocalNode) -> None:
    async_task(ADD, 1, hook="tests.queue.functions.note")
    the_job().fail("its worker died", "WorkerDied")
    Failure.objects.all().delete()
    node.run()
    assert not User.objects.exists()
