"""django-q2's door: what it queues goes in, what its commands ask is answered, and no more."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.utils import timezone
from django_q import monitor_terminal
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.status import Stat
from django_q.tasks import async_task, queue_size

from compute.queue.broker import DatabaseBroker, set_apart, sharing
from compute.queue.engines import Lease, Share
from compute.queue.models import Flow, Job
from compute.queue.node.board import Board
from compute.queue.node.sign import Sign
from compute.queue.transitions import enter
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import LocalNode

ADD = "tests.queue.functions.add"


def test_it_is_the_broker_that_django_q_uses(db: None) -> None:
    assert isinstance(get_broker(), DatabaseBroker)
    assert get_broker().list_key == "sumsite"
    assert get_broker("other").list_key == "other"


# --- into the queue -----------------------------------------------------------------------


def test_nothing_is_queued_when_the_job_cannot_be_written(transactional_db: None) -> None:
    twice = {"id": recipes.job.make().pk, "name": "twice", "started": timezone.now()}
    with pytest.raises(DatabaseError):
        enter("sumsite", "package", twice, Share("f", "f"))
    assert not OrmQ.objects.exists()


def test_a_package_that_went_past_async_task_has_no_job(db: None) -> None:
    get_broker().enqueue("a package")
    assert OrmQ.objects.get().payload == "a package"
    assert not Job.objects.exists()


def test_a_task_that_could_not_be_queued_leaves_nothing_to_the_next_package(db: None) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        async_task(ADD, lambda: None)
    get_broker().enqueue("a package")
    assert not Job.objects.exists()


# --- out of it ----------------------------------------------------------------------------


def test_deleting_a_package_removes_it(db: None) -> None:
    """As django-q2's admin and commands do."""
    keys = [get_broker().enqueue(f"package {number}") for number in range(3)]
    get_broker().delete(keys[0])
    get_broker().delete(Lease(keys[1], 5))
    get_broker().delete(keys[1])
    assert OrmQ.objects.get().pk == keys[2]


@pytest.mark.parametrize(
    "ask",
    [
        lambda broker: broker.dequeue(),
        lambda broker: broker.acknowledge(1),
        lambda broker: broker.fail(1),
        lambda broker: broker.set_stat("key", "value", 3),
    ],
    ids=["dequeue", "acknowledge", "fail", "set_stat"],
)
def test_a_cluster_of_django_q_is_told_that_the_node_is_another(
    db: None, ask: Callable[..., Any]
) -> None:
    broker = get_broker()
    broker.enqueue("a package")
    with pytest.raises(NotImplementedError, match=r"`manage\.py qcluster`, which is a node"):
        ask(broker)
    assert OrmQ.objects.exists()


def test_there_is_no_cache_and_what_asks_for_one_is_told_why(db: None) -> None:
    broker = get_broker()
    assert broker.get_cache() is None
    with pytest.raises(TypeError, match=r"call compute\.queue\.fanout\.async_iter"):
        broker.cache.get("key")


def test_a_broker_can_be_sent_to_another_process(db: None) -> None:
    sent = pickle.loads(pickle.dumps(get_broker("other")))
    assert (type(sent), sent.list_key) == (DatabaseBroker, "other")


# --- django-q2's own tools ----------------------------------------------------------------


def give_sign(node: LocalNode, workers: int = 3) -> None:
    pids = list(range(11, 11 + workers))
    Sign(node.row.pk, 1, timezone.now()).give(Conf.IDLE, pids, Board(workers), restarts=7)


def test_the_statistics_of_a_node_are_found_by_their_key(node: LocalNode) -> None:
    give_sign(node)
    stat = Stat.get(1, uuid.UUID(node.row.pk))
    assert (stat.cluster_id.hex, stat.reincarnations) == (node.row.pk, 7)
    assert get_broker().get_stat(Stat.get_key(uuid.uuid4())) is None


@pytest.fixture
def busy_node(node: LocalNode) -> LocalNode:
    """Alive, with one task done, one failed, one running and two waiting."""
    give_sign(node)
    async_task(ADD, 1)
    async_task(functions.fail)
    node.run()
    for i in range(3):
        async_task(ADD, i)
    node.claim_one()
    return node


def test_qinfo_counts_nodes_and_tasks(
    busy_node: LocalNode, capsys: pytest.CaptureFixture[str]
) -> None:
    assert monitor_terminal.info() is True
    shown = capsys.readouterr().out
    assert "Sumsite" in shown
    for label, number in (("Clusters", 1), ("Workers", 3), ("Queued", 2), ("Failures", 1)):
        assert f"{label}{number}" in shown.replace(" ", "").replace("\x1b", "")


def test_the_qinfo_command(busy_node: LocalNode, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("qinfo")
    assert "Clusters" in capsys.readouterr().out


def test_qmonitor_shows_the_nodes(busy_node: LocalNode, capsys: pytest.CaptureFixture[str]) -> None:
    (stat,) = monitor_terminal.monitor(run_once=True)
    assert stat.cluster_id.hex == busy_node.row.pk
    assert str(stat.cluster_id)[-8:] in capsys.readouterr().out


def test_the_qmonitor_command(busy_node: LocalNode, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("qmonitor", run_once=True)
    assert str(uuid.UUID(busy_node.row.pk))[-8:] in capsys.readouterr().out


def test_the_size_of_the_queue(busy_node: LocalNode) -> None:
    assert queue_size() == 2
    assert get_broker().lock_size() == 1


# --- set apart ----------------------------------------------------------------------------


@pytest.mark.parametrize("of_ann", [True, False])
def test_a_task_that_waits_is_moved_to_a_line_of_its_own(db: None, of_ann: bool) -> None:
    task_id, other = async_task(ADD, 1), async_task(ADD, 2)
    set_apart(task_id, sharing("ann", priority="urgent") if of_ann else DatabaseBroker())
    flow = Flow.objects.get(key=task_id)
    assert (flow.client, flow.priority) == (("ann", "urgent") if of_ann else (ADD, "normal"))
    assert [job.pk for job in flow.jobs.all()] == [task_id]
    assert list(Flow.objects.filter(jobs=other).values_list("key", flat=True)) == [ADD]


def test_what_runs_already_and_what_there_is_not_stay_where_they_are(node: LocalNode) -> None:
    task_id = async_task(ADD, 1)
    node.claim_one()
    set_apart(task_id, DatabaseBroker())
    set_apart("nothing", DatabaseBroker())
    assert Flow.objects.get().key == ADD
