from __future__ import annotations

import os
import queue
import sys
import uuid
from datetime import timedelta
from types import ModuleType, SimpleNamespace

import pytest
from django.core.management import call_command
from django.db import InterfaceError, OperationalError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q import monitor_terminal
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import Failure, OrmQ
from django_q.pusher import pusher
from django_q.signing import SignedPackage
from django_q.status import Stat
from django_q.tasks import async_task, queue_size

from compute.queue import broker as broker_module
from compute.queue.broker import DatabaseBroker, node_id, node_name
from compute.queue.engines import Lease
from compute.queue.models import Job, JobState, Node
from compute.queue.sentinel import Flag
from compute.queue.signals import groups_changed
from compute.queue.transitions import UNKNOWN_PAUSE, UNKNOWN_TRIES
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import expire_leases, failing, leases, received, sentinel, the_job

ADD = "tests.queue.functions.add"


@pytest.fixture
def clock(monkeypatch):
    """The broker's own clock, which goes on when it is told or when the broker pauses."""
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(broker_module, "time", clock)
    return clock


def push(node):
    """One turn of django-q2's pusher; what it hands to the workers."""
    tasks, stop = queue.Queue(), Flag()
    stop.set()
    pusher(tasks, stop, node.broker)
    return list(tasks.queue)


def test_it_is_the_broker_that_django_q_uses(db):
    assert isinstance(get_broker(), DatabaseBroker)
    assert get_broker().list_key == "sumsite"
    assert get_broker().node is None


# --- claims ------------------------------------------------------------------------


def test_tasks_are_claimed_in_the_order_they_were_queued(node):
    ids = [async_task(ADD, i) for i in range(5)]
    assert [task["id"] for task in node.claim(2)] == ids[:2]
    assert [node.claim_one()["id"] for _ in range(3)] == ids[2:]
    assert node.claim() == []


def test_a_task_is_claimed_once(node, other_node):
    async_task(ADD, 1)
    assert len(node.claim(10)) == 1
    assert other_node.claim(10) == []
    assert node.claim(10) == []


def test_a_claim_says_who_has_it_and_how_often_it_was_handed_out(node):
    async_task(ADD, 1)
    task = node.claim_one()
    job = the_job()
    assert task["ack_id"] == Lease(job.queue_id, delivery=1, attempt=1)
    assert (job.state, job.delivery, job.node) == (JobState.RUNNING, 1, node.row)
    assert (job.attempt, job.worker) == (1, os.getpid())
    assert abs(job.started_at - timezone.now()) < timedelta(seconds=60)


def test_a_claim_takes_the_tasks_of_its_own_queue_alone(node):
    async_task(ADD, 1, cluster="other")
    assert node.claim() == []
    assert get_broker("other").claim(1)[0][0][1] == 1


def test_a_claim_is_a_lease(node, settings):
    settings.Q_LEASE = 15
    async_task(ADD, 1)
    assert leases()[0] < 0
    node.claim_one()
    assert 10 < leases()[0] <= 15


@pytest.mark.parametrize("wrong", [-1, 1])
def test_leases_go_by_the_databases_clock(node, monkeypatch, wrong):
    true_now = timezone.now()
    with monkeypatch.context() as context:
        context.setattr(timezone, "now", lambda: true_now + timedelta(days=wrong))
        async_task(ADD, 1)
        node.claim_one()
        assert node.claim() == []
    assert 0 < leases()[0] < 60


def test_a_lease_that_has_run_out_is_claimed_again(node, other_node):
    async_task(ADD, 1)
    first = node.claim_one()
    Job.objects.update(worker=1)
    expire_leases()
    second = other_node.claim_one()
    assert second["id"] == first["id"]
    assert [first["ack_id"][1], second["ack_id"][1]] == [1, 2]
    job = the_job()
    assert (job.state, job.delivery, job.attempt) == (JobState.RUNNING, 2, 2)
    assert (job.node, job.worker) == (other_node.row, os.getpid())


def test_a_lease_that_ran_out_comes_before_younger_tasks(node, other_node):
    old, young = async_task(ADD, 1), async_task(ADD, 2)
    node.claim_one()
    expire_leases()
    assert [task["id"] for task in other_node.claim(2)] == [old, young]


def test_a_claim_does_not_bring_a_cancelled_job_back(node):
    async_task(ADD, 1)
    Job.objects.update(state=JobState.CANCELLED)
    node.run()
    assert the_job().state == JobState.CANCELLED
    assert functions.ran == []


def test_an_idle_node_takes_no_write_lock(node):
    with CaptureQueriesContext(connection) as queries:
        assert node.claim() == []
    (query,) = queries
    if connection.vendor == "sqlite":  # Postgres locks rows, of which there are none
        assert query["sql"].split()[0] == "SELECT"


def test_a_claim_of_many_takes_as_many_statements_as_of_one(node):
    for i in range(20):
        async_task(ADD, i)
    with CaptureQueriesContext(connection) as one:
        node.claim(1)
    with CaptureQueriesContext(connection) as many:
        assert len(node.claim(19)) == 19
    assert len(many) == len(one)


def test_a_package_without_a_job_is_claimed_too(node):
    pk = get_broker().enqueue("a package")
    assert node.broker.claim(1) == [(Lease(pk), "a package")]


def test_a_task_given_back_can_be_claimed_at_once(node, other_node):
    async_task(ADD, 1)
    first = node.claim_one()
    assert Job.objects.filter(node=node.row).give_back() == 1
    assert leases()[0] <= 0
    second = other_node.claim_one()
    assert second["ack_id"][1] > first["ack_id"][1]


# --- dequeue -----------------------------------------------------------------------


def test_dequeue_hands_out_what_it_claims_and_does_not_wait(node, clock):
    async_task(ADD, 1)
    ((ack_id, package),) = node.broker.dequeue()
    assert ack_id == Lease(the_job().queue_id, 1, 1)
    assert SignedPackage.loads(package)["args"] == (1,)
    assert clock.now == 1000


def test_dequeue_waits_a_moment_when_there_is_nothing(node, clock):
    assert node.broker.dequeue() is None
    assert clock.now == 1000 + Conf.POLL
    assert Conf.POLL <= 0.5  # so that a stop is soon seen


def test_dequeue_waits_for_a_database_that_is_away(transactional_db, node, clock, caplog, request):
    request.getfixturevalue("database_away")
    assert node.broker.dequeue() is None
    assert clock.now == 1000 + Conf.POLL
    assert "the database is away: OperationalError" in caplog.text


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("gone")])
def test_dequeue_goes_on_with_a_new_connection(transactional_db, node, clock, monkeypatch, error):
    async_task(ADD, 1)
    connection.ensure_connection()
    broken = connection.connection
    monkeypatch.setattr(node.broker, "claim", failing(1, node.broker.claim, error))
    assert node.broker.dequeue() is None
    assert len(node.broker.dequeue()) == 1
    assert connection.connection is not broken


def test_the_pusher_hands_over_what_is_queued(node):
    async_task(ADD, 1)
    (task,) = push(node)
    assert (task["ack_id"], task["cluster"]) == (Lease(the_job().queue_id, 1, 1), "sumsite")
    assert node.work(task)["success"]
    assert the_job().state == JobState.DONE


# --- the end of a delivery ---------------------------------------------------------


def test_acknowledging_a_package_removes_it(node):
    keys = [get_broker().enqueue(f"package {i}") for i in range(3)]
    node.broker.acknowledge(Lease(keys[0]))
    node.broker.acknowledge(Lease(keys[1], 5))
    assert OrmQ.objects.get().pk == keys[2]
    node.broker.acknowledge(keys[2])
    assert not OrmQ.objects.exists()


def test_acknowledging_twice_does_no_harm(node):
    key = get_broker().enqueue("a package")
    node.broker.acknowledge(Lease(key))
    node.broker.acknowledge(Lease(key))
    assert not OrmQ.objects.exists()


def test_an_unreadable_package_fails_its_job(node):
    async_task(ADD, 1)
    OrmQ.objects.update(payload="signed by somebody else")
    assert push(node) == []
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "BadSignature")
    assert "can't be read" in job.error
    assert job.finished_at
    assert not OrmQ.objects.exists()


def test_an_unreadable_package_can_be_retried_once_the_key_is_back(node):
    async_task(ADD, 1)
    package = OrmQ.objects.get().payload
    OrmQ.objects.update(payload="signed by somebody else")
    push(node)
    assert the_job().payload == "signed by somebody else"
    assert the_job().retry()
    OrmQ.objects.update(payload=package)
    node.run()
    assert the_job().state == JobState.DONE


def test_an_unreadable_package_is_told_of_as_other_failures_are(node):
    async_task(ADD, 1)
    OrmQ.objects.update(payload="signed by somebody else")
    with received(groups_changed) as changes:
        push(node)
    assert [change["groups"] for change in changes] == [{the_job().group}]
    assert Failure.objects.filter(pk=the_job().pk).exists()


def test_an_unreadable_package_without_a_job_is_removed(node):
    get_broker().enqueue("signed by somebody else")
    assert push(node) == []
    assert not OrmQ.objects.exists()


def test_a_settled_job_is_not_failed_by_its_package(node):
    async_task(ADD, 1)
    task = node.claim_one()
    Job.objects.update(state=JobState.CANCELLED)
    node.broker.fail(task["ack_id"])
    assert the_job().state == JobState.CANCELLED
    assert not OrmQ.objects.exists()


def test_a_package_whose_class_is_gone_does_not_block_the_queue(node, monkeypatch):
    """Deployed away between queueing and running. The pusher must not die of it."""
    module = ModuleType("deployed_away")
    module.Thing = type("Thing", (), {"__module__": "deployed_away"})
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "deployed_away", module)
        bad = async_task(functions.give, module.Thing())
    good = async_task(ADD, 1)
    handed_over = push(node) + push(node)
    assert [task["id"] for task in handed_over] == [good]
    left = Job.objects.get(pk=bad)
    assert (left.state, left.node) == (JobState.QUEUED, None), "a newer node may know it"
    assert 0 < leases()[0] <= UNKNOWN_PAUSE.total_seconds()
    Job.objects.filter(pk=bad).update(attempt=UNKNOWN_TRIES - 1)
    expire_leases()
    push(node)
    failed = Job.objects.get(pk=bad)
    assert failed.state == JobState.FAILED, "none does"
    assert "the queued task can't be read: ModuleNotFoundError" in failed.error
    assert [row.pk for row in OrmQ.objects.all()] == [handed_over[0]["ack_id"].queue_id]


@pytest.mark.parametrize(
    "change",
    [
        lambda task: [task],
        lambda task: None,
        lambda task: {key: value for key, value in task.items() if key != "func"},
        lambda task: {**task, "args": 7},
        lambda task: {**task, "kwargs": ["a"]},
    ],
)
def test_a_package_of_no_known_shape_fails_with_the_reason(node, change):
    async_task(ADD, 1)
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    OrmQ.objects.update(payload=SignedPackage.dumps(change(task)))
    assert push(node) == []
    assert (the_job().state, the_job().error) == (
        JobState.FAILED,
        "the queued task can't be read: TypeError: it has not the shape of a task",
    )
    assert not OrmQ.objects.exists()


def test_what_a_package_holds_beyond_that_is_let_be(node):
    async_task(ADD, 1, b=2)
    task = SignedPackage.loads(OrmQ.objects.get().payload)
    OrmQ.objects.update(payload=SignedPackage.dumps({**task, "colour": "green"}))
    node.run()
    assert (the_job().state, the_job().result) == (JobState.DONE, 3)


# --- leases are renewed ------------------------------------------------------------


def test_a_node_renews_its_own_leases_alone(node, other_node, settings):
    settings.Q_LEASE = 5
    for i in range(4):
        async_task(ADD, i)
    node.claim(2)
    other_node.claim_one()
    Job.objects.filter(pk=Job.objects.earliest("queue_id").pk).update(state=JobState.RUNNING)
    settings.Q_LEASE = 100
    node.broker.renew(list(OrmQ.objects.values_list("pk", flat=True)))
    mine_running, mine_queued, the_others, nobodys = leases()
    assert 90 < mine_running <= 100
    assert 90 < mine_queued <= 100
    assert 0 < the_others <= 5
    assert nobodys <= 0


def test_the_lease_of_a_settled_job_is_not_renewed(node, settings):
    settings.Q_LEASE = 5
    async_task(ADD, 1)
    node.claim_one()
    Job.objects.update(state=JobState.CANCELLED)
    settings.Q_LEASE = 100
    node.broker.renew([the_job().queue_id])
    assert leases()[0] <= 5


def test_a_node_is_told_which_of_its_own_tasks_have_been_cancelled(node, other_node):
    groups = [async_task("tests.queue.functions.give", n) for n in range(3)]
    mine = [lease.queue_id for lease, _ in node.broker.claim(2)]
    others = [lease.queue_id for lease, _ in other_node.broker.claim(1)]
    assert node.broker.cancelled(mine) == []
    Job.objects.filter(pk__in=[groups[0], groups[2]]).cancel("cancelled by boss")
    assert node.broker.cancelled([*mine, *others]) == [mine[0]]


def test_what_no_worker_runs_any_more_is_not_renewed(node, settings):
    settings.Q_LEASE = 5
    async_task(ADD, 1)
    node.claim_one()
    settings.Q_LEASE = 100
    node.broker.renew([])
    assert leases()[0] <= 5


# --- signs of life -----------------------------------------------------------------


def test_a_sign_of_life_writes_a_row(node):
    started = timezone.now() - timedelta(hours=1)
    stat = Stat(sentinel(node, reincarnations=7, tob=started))
    stat.save()
    row = Node.objects.get(pk=node.row.pk)
    assert (row.host, row.pid, row.workers, row.restarts) == (stat.host, 1, 3, 7)
    assert (row.started_at, row.stopped_at) == (started, None)
    assert row.name.count("-") == 3
    assert abs(row.seen_at - timezone.now()) < timedelta(seconds=60)


def test_a_new_node_writes_a_new_row(node):
    other = uuid.uuid4()
    Stat(sentinel(node, cluster_id=other)).save()
    assert Node.objects.filter(pk=other.hex).exists()


def test_signs_of_life_are_written_once_a_second(node, clock):
    with CaptureQueriesContext(connection) as first:
        Stat(sentinel(node)).save()
    for _ in range(9):
        clock.sleep(0.1)
        with CaptureQueriesContext(connection) as soon:
            Stat(sentinel(node)).save()
        assert len(soon) == 0
    clock.sleep(0.2)
    with CaptureQueriesContext(connection) as later:
        Stat(sentinel(node)).save()
    assert len(first) >= len(later) >= 1


def test_a_new_status_is_written_at_once(node, clock):
    statuses = []
    for status in (Conf.STARTING, Conf.IDLE, Conf.IDLE, Conf.WORKING, Conf.STOPPING, Conf.STOPPED):
        Stat(sentinel(node, status)).save()
        statuses += [str(stat.status) for stat in Stat.get_all(node.broker)]
    assert statuses == ["Starting", "Idle", "Idle", "Working", "Stopping"]


def test_a_stopped_node_is_not_alive(node):
    Stat(sentinel(node)).save()
    assert list(Node.objects.alive()) == [node.row]
    Stat(sentinel(node, Conf.STOPPED)).save()
    assert not Node.objects.alive().exists()
    assert Node.objects.get().stopped_at
    assert Stat.get_all(node.broker) == []


def test_a_node_that_starts_again_is_alive_again(node):
    Stat(sentinel(node, Conf.STOPPED)).save()
    Stat(sentinel(node, Conf.STARTING)).save()
    assert list(Node.objects.alive()) == [node.row]


def test_a_silent_node_is_not_alive(node):
    Stat(sentinel(node)).save()
    Node.objects.update(seen_at=Now() - Node.DEAD_AFTER)
    assert Stat.get_all(node.broker) == []


def test_the_statistics_of_one_node(node):
    Stat(sentinel(node, reincarnations=7)).save()
    stat = Stat.get(pid=1, cluster_id=str(uuid.UUID(node.row.pk)), broker=node.broker)
    assert (stat.reincarnations, str(stat.status)) == (7, "Idle")
    assert len(stat.workers) == 3


def test_a_node_that_is_unknown_has_stopped(node):
    stat = Stat.get(pid=1, cluster_id=str(uuid.uuid4()), broker=node.broker)
    assert str(stat.status) == "Stopped"


def test_the_statistics_of_all_nodes(node, other_node):
    for one in (node, other_node):
        Stat(sentinel(one)).save()
    assert {stat.cluster_id.hex for stat in Stat.get_all()} == {node.row.pk, other_node.row.pk}


def test_the_id_of_a_node_in_the_key_of_its_statistics():
    cluster = uuid.uuid4()
    assert node_id(Stat.get_key(cluster)) == cluster.hex


def test_a_nodes_database_away_is_survived_by_its_sign_of_life(node, monkeypatch, caplog):
    monkeypatch.setattr(node.broker, "set_stat", failing(1, node.broker.set_stat))
    Stat(sentinel(node)).save()
    assert "is gone" in caplog.text


# --- django-q2's own tools ---------------------------------------------------------


@pytest.fixture
def busy_node(node):
    """Alive, with one task done, one failed, one running and two waiting."""
    Stat(sentinel(node)).save()
    async_task(ADD, 1)
    async_task(functions.fail)
    node.run()
    for i in range(3):
        async_task(ADD, i)
    node.claim_one()
    return node


def test_qinfo_counts_nodes_and_tasks(busy_node, capsys):
    assert monitor_terminal.info() is True
    shown = capsys.readouterr().out
    assert "Sumsite" in shown
    for label, number in (("Clusters", 1), ("Workers", 3), ("Queued", 2), ("Failures", 1)):
        assert f"{label}{number}" in shown.replace(" ", "").replace("\x1b", "")


def test_the_qinfo_command(busy_node, capsys):
    call_command("qinfo")
    assert "Clusters" in capsys.readouterr().out


def test_qmonitor_shows_the_nodes(busy_node, capsys):
    (stat,) = monitor_terminal.monitor(run_once=True)
    assert stat.cluster_id.hex == busy_node.row.pk
    assert str(stat.cluster_id)[-8:] in capsys.readouterr().out


def test_the_qmonitor_command(busy_node, capsys):
    call_command("qmonitor", run_once=True)
    assert str(uuid.UUID(busy_node.row.pk))[-8:] in capsys.readouterr().out


def test_the_size_of_the_queue(busy_node):
    assert queue_size() == 2
    assert busy_node.broker.lock_size() == 1


def test_a_statistic_signed_with_another_key_is_passed_over(node):
    recipes.node.make(stat="signed by somebody else")
    Stat(sentinel(node)).save()
    assert [stat.cluster_id.hex for stat in Stat.get_all()] == [node.row.pk]


def test_a_node_of_another_queue_has_its_name_beside_its_own(monkeypatch):
    usual = node_name("0" * 32)
    monkeypatch.setattr("compute.queue.broker.Conf.CLUSTER_NAME", "slow")
    assert node_name("0" * 32) == f"{usual} (slow)"
