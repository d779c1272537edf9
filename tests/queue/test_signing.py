"""What is not signed with this site's key is never unpickled: a pickle can run anything."""

from __future__ import annotations

import base64
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.signing import TimestampSigner
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure, OrmQ
from django_q.signing import PickleSerializer, SignedPackage
from django_q.status import Stat
from django_q.tasks import async_task
from pytest_django import Settings

from compute.models import Run
from compute.queue.engines import UP
from compute.queue.models import Job, JobState
from compute.queue.node.reading import FOREIGN_LIMIT, FOREIGN_PAUSE
from tests import recipes
from tests.processes import Processes, wait_until
from tests.queue.admin.pages import FAILURES, QUEUE
from tests.queue.conftest import LocalNode, the_job
from tests.queue.node.test_reading import read_next

ADD = "tests.queue.functions.add"


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.fixture
def crater(tmp_path: Path) -> Path:
    """The file that is there if a bomb has gone off."""
    return tmp_path / "crater"


def unsigned(bomb: Bomb) -> str:
    return base64.urlsafe_b64encode(pickle.dumps(bomb)).decode()


def with_a_made_up_signature(bomb: Bomb) -> str:
    return f"{unsigned(bomb)}:1tAbCd:{'A' * 43}"


def compressed(bomb: Bomb) -> str:
    packed = base64.urlsafe_b64encode(zlib.compress(pickle.dumps(bomb))).decode()
    return f".{packed}:1tAbCd:{'A' * 43}"


def with_another_key(value: Any) -> str:
    signer = TimestampSigner(key="another-key", salt=Conf.PREFIX)
    return signer.sign_object(value, PickleSerializer)


def for_another_purpose(bomb: Bomb) -> str:
    """With this site's key, as something else of it might be signed: a cookie, a link."""
    return TimestampSigner(key=Conf.SECRET_KEY, salt="elsewhere").sign_object(
        bomb, PickleSerializer
    )


def with_a_real_ones_signature(bomb: Bomb) -> str:
    return f"{unsigned(bomb)}:{SignedPackage.dumps({'id': 'x'}).partition(':')[2]}"


@pytest.fixture(
    params=[
        unsigned,
        with_a_made_up_signature,
        compressed,
        with_another_key,
        for_another_purpose,
        with_a_real_ones_signature,
    ]
)
def forged(request: pytest.FixtureRequest, crater: Path) -> str:
    return str(request.param(Bomb(crater)))


def test_such_a_pickle_would_do_harm(crater: Path) -> None:
    SignedPackage.loads(SignedPackage.dumps(Bomb(crater)))
    assert crater.exists()


def wait_a_day() -> None:
    """What is signed with another key is left to nodes that have it, for so long."""
    Job.objects.update(queued_at=Now() - FOREIGN_LIMIT - FOREIGN_PAUSE)
    OrmQ.objects.update(lock=UP)


def test_a_worker_gives_it_up_unread(node: LocalNode, forged: str, crater: Path) -> None:
    async_task(ADD, 1)
    OrmQ.objects.update(payload=forged)
    wait_a_day()
    assert read_next(node) is None
    assert not crater.exists()
    job = the_job()
    assert job.state == JobState.FAILED
    assert job.error_class in ("BadSignature", "ForeignError")
    assert job.error.startswith(f"the queued task can't be read: {job.error_class}")
    assert Failure.objects.get().pk == job.pk
    assert not OrmQ.objects.exists()


def test_a_retry_is_given_up_unread_as_well(
    node: LocalNode, forged: str, crater: Path, admin: Client
) -> None:
    async_task(ADD, "x")
    node.run()
    Job.objects.update(payload=forged)
    assert the_job().retry()
    wait_a_day()
    assert read_next(node) is None
    assert the_job().error_class in ("BadSignature", "ForeignError")
    Job.objects.update(payload=forged)
    rows = list(Failure.objects.values_list("pk", flat=True))
    admin.post(FAILURES, {"action": "resubmit", "_selected_action": rows})
    assert the_job().state == JobState.QUEUED
    assert read_next(node) is None
    assert not crater.exists()


@pytest.mark.thorough
@pytest.mark.parametrize("attempts", [1, 100])
def test_what_another_key_has_signed_is_left_to_others_without_counting(
    node: LocalNode, attempts: int
) -> None:
    task_id = async_task(ADD, 1)
    package = OrmQ.objects.get().payload
    OrmQ.objects.update(payload=with_another_key({"id": task_id}))
    for _ in range(attempts):
        assert read_next(node) is None
        assert not Job.objects.filter(attempt__gt=0).exists()
        assert OrmQ.objects.filter(lock__gt=Now()).exists(), "others are not kept from it for long"
        OrmQ.objects.update(lock=UP)
    assert the_job().state == JobState.QUEUED
    OrmQ.objects.update(payload=package)
    assert (read := read_next(node))
    assert read["id"] == task_id


def test_what_nobody_here_has_signed_and_has_no_job_is_left(node: LocalNode) -> None:
    get_broker().enqueue(with_another_key({"id": "x"}))
    assert read_next(node) is None
    assert OrmQ.objects.filter(lock__gt=Now()).count() == 1


def test_a_key_that_was_changed_still_reads_what_was_queued(
    node: LocalNode, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = async_task(ADD, 1)
    settings.SECRET_KEY_FALLBACKS = ["one before", Conf.SECRET_KEY]
    monkeypatch.setattr(Conf, "SECRET_KEY", "the new one")
    assert (read := read_next(node))
    assert read["id"] == task_id


@pytest.mark.thorough
def test_the_admin_shows_it_unread(
    node: LocalNode, forged: str, crater: Path, admin: Client
) -> None:
    async_task(ADD, 1)
    OrmQ.objects.update(payload=forged)
    row = OrmQ.objects.get()
    change = reverse("admin:django_q_ormq_change", args=[row.pk])
    for page in (QUEUE, change, reverse("admin:django_q_ormq_delete", args=[row.pk])):
        assert admin.get(page).status_code == 200
    assert "*BadSignature" in admin.get(change).content.decode()
    the_job().fail("it had to be", "Ended")
    failure = reverse("admin:django_q_failure_change", args=[the_job().pk])
    for page in (FAILURES, failure, reverse("admin:queue_job_change", args=[the_job().pk])):
        assert admin.get(page).status_code == 200
    assert not crater.exists()


def test_the_pages_of_a_run_show_it_unread(
    node: LocalNode, forged: str, crater: Path, client: Client
) -> None:
    async_task(ADD, 1)
    OrmQ.objects.update(payload=forged)
    job = the_job()
    Run.objects.create(task_id=job.group, computation="sum", parameters={"n": 1}, title="a run")
    read_next(node)
    for address in ("/", "/nodes/", f"/sum-check/?task_id={job.group}"):
        for accept in ("text/html", "*/*"):
            assert client.get(address, headers={"accept": accept}).status_code == 200
    assert not crater.exists()


def test_it_is_cancelled_and_deleted_unread(
    node: LocalNode, forged: str, crater: Path, admin: Client
) -> None:
    for _ in range(2):
        async_task(ADD, 1)
    OrmQ.objects.update(payload=forged)
    first, second = OrmQ.objects.order_by("pk")
    Job.objects.filter(queue_id=first.pk).cancel("by somebody")
    admin.post(QUEUE, {"action": "delete_selected", "_selected_action": [second.pk], "post": "1"})
    assert not OrmQ.objects.exists()
    assert not crater.exists()


def test_a_signature_for_the_queue_is_not_taken_from_whoever_enqueues(
    db: None, forged: str, crater: Path
) -> None:
    get_broker().enqueue(forged)
    assert not Job.objects.exists()
    assert not crater.exists()


def test_a_nodes_statistics_are_passed_over_unread(
    node: LocalNode, forged: str, crater: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    liar = recipes.node.make(stat=forged)
    assert Stat.get_all() == []
    assert Stat.get(1, liar.pk) is None
    call_command("qmonitor", run_once=True)
    call_command("qinfo")
    assert not crater.exists()


def test_a_real_node_gives_it_up_and_goes_on(processes: Processes, crater: Path) -> None:
    async_task(ADD, 1)
    OrmQ.objects.update(payload=unsigned(Bomb(crater)))
    async_task(ADD, 2)
    processes.node()
    wait_until(lambda: not Job.objects.unsettled().exists(), what="both have ended")
    bad, good = Job.objects.order_by("queued_at")
    assert (bad.state, bad.error_class) == (JobState.FAILED, "BadSignature")
    assert good.state == JobState.DONE
    assert not crater.exists()
