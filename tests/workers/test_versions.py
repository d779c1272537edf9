"""Two versions at once: a node of either runs what the other has queued (docs/operations.md)."""

from __future__ import annotations

import json
import sys
import tarfile
from base64 import b85decode
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.signing import TimestampSigner
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.tasks import async_chain, async_task

from compute.queue import packages, transitions
from compute.queue.engines import Share
from compute.queue.fanout import async_iter, results
from compute.queue.models import Job
from tests.processes import ROOT, Processes, wait_until
from tests.workers.test_node import wait_for_state

#: Tasks as the version before (8351a5e) has pickled them, by what is particular to each. Its code
#: is before.tar.xz: `git archive 8351a5e compute sumsite manage.py | xz -9`.
PACKAGES = json.loads((ROOT / "tests/queue/packages_of_before.json").read_text())


class AsIs:
    """In the place of a serializer: what is to be signed is pickled already."""

    @staticmethod
    def dumps(pickled: bytes) -> bytes:
        return pickled


def queue(name: str) -> str:
    """Queue one of the packages of before; the task's id."""
    signer = TimestampSigner(key=Conf.SECRET_KEY, salt=Conf.PREFIX)
    payload = str(signer.sign_object(b85decode(PACKAGES[name]), AsIs))  # type: ignore[arg-type]
    task = packages.read(payload)
    transitions.enter(Conf.CLUSTER_NAME, payload, task, Share("before", "before"))
    return str(task["id"])


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("a path", 55),
        ("a function", 55),
        ("an object", (3, 1)),
        ("a chain", 2),
        ("a chunk", 40),
    ],
)
def test_a_node_runs_what_the_version_before_has_queued(
    processes: Processes, name: str, result: Any
) -> None:
    task_id = queue(name)
    node = processes.node()
    assert wait_for_state(task_id, Job.State.DONE).result == result
    if name == "a chain":
        wait_until(lambda: Task.objects.filter(func="builtins.min", success=True).exists())
    assert node.stop() == 0


def test_and_keeps_its_options(processes: Processes) -> None:
    """A limit of half a second, a hook, and no record."""
    task_id = queue("options")
    processes.node()
    wait_for_state(task_id, Job.State.DONE)
    wait_until(lambda: User.objects.filter(username__endswith=": True, 2").exists())
    assert not Task.objects.filter(pk=task_id).exists()


def test_a_function_that_is_gone_is_left_to_others(processes: Processes) -> None:
    task_id = queue("a function that is gone")
    node = processes.node()
    failed = wait_for_state(task_id, Job.State.FAILED)
    assert "Function compute.tasks.gone_by_now is not defined" in failed.error
    assert node.stop() == 0


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before, which is kept here: not each copy has the history."""
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(Path(__file__).with_name("before.tar.xz")) as files:
        # Debian's 3.11 has no filters yet, and 3.12 warns of whoever names none.
        how: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        files.extractall(folder, **how)  # noqa: S202 - it is our own
    return folder


def test_a_node_of_the_version_before_runs_what_is_queued_now(
    processes: Processes, before: Path
) -> None:
    alone = async_task("math.factorial", 5)
    failing = async_task("math.sqrt", -1)
    quick = async_task("time.sleep", 60, timeout=0.5)
    async_chain([("builtins.max", (1, 2)), ("builtins.min", (1, 2))])
    group = async_iter("compute.tasks.get_sum_range", [(1, 5), (6, 10)])
    node = processes.start(sys.executable, "manage.py", "qcluster", cwd=before)
    node.wait_for_output("Q Cluster .* running")
    assert wait_for_state(alone, Job.State.DONE).result == 120
    assert wait_for_state(failing, Job.State.FAILED).error == "ValueError: math domain error"
    assert wait_for_state(quick, Job.State.FAILED).error_class == "TimeoutException"
    wait_until(lambda: Task.objects.filter(func="builtins.min", success=True).exists())
    assert wait_until(lambda: results(group)) == [15, 40]
    assert not OrmQ.objects.exists()
    assert node.stop() == 0


def test_nodes_of_both_versions_share_a_group_and_a_retry(
    processes: Processes, before: Path
) -> None:
    old = processes.start(sys.executable, "manage.py", "qcluster", cwd=before)
    old.wait_for_output("Q Cluster .* running")
    new = processes.node()
    group = async_iter("time.sleep", [0.2] * 20)
    wait_until(lambda: results(group))
    jobs = Job.objects.in_group(group)
    assert len({job.node_id for job in jobs}) == 2
    assert {job.attempt for job in jobs} == {1}
    failing = async_task("math.sqrt", -1)
    wait_for_state(failing, Job.State.FAILED)
    for node in (old, new):
        assert Job.objects.get(pk=failing).retry()
        wait_for_state(failing, Job.State.FAILED)
        assert node.stop() == 0
