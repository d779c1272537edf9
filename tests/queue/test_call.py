from __future__ import annotations

import pickle
import signal
from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ, Success, Task
from django_q.tasks import Chain, Iter, async_chain, async_iter, async_task, fetch, result
from hypothesis import given
from hypothesis import strategies as st

from compute.queue import call, fanout
from compute.queue.call import PAUSES, Call, Delivery, persistently
from compute.queue.models import Job, JobState
from compute.queue.text import one_line
from compute.queue.transitions import UNKNOWN_PAUSE, UNKNOWN_TRIES, enter
from tests import recipes
from tests.queue import functions
from tests.queue.conftest import expire_leases, failing, leases, the_job

ADD = "tests.queue.functions.add"


# --- queueing: every task has its job ----------------------------------------------


@pytest.mark.parametrize(
    ("func", "args", "expected"),
    [
        (functions.add, (1, 2), 3),
        (ADD, (1, 2), 3),
        (functions.Adder(1), (2,), 3),
        (partial(functions.add, 1), (2,), 3),
        (functions.Adder.make, (3,), 3),
        (functions.Adder.give, (3,), "Adder gives 3"),
        (max, (1, 3), 3),
    ],
    ids=["function", "path", "object", "partial", "class method", "static method", "builtin"],
)
def test_whatever_can_be_called_has_its_job_and_runs(node, func, args, expected):
    task_id = async_task(func, *args)
    job = the_job()
    assert (job.pk, job.group, job.position, job.state) == (task_id, task_id, 0, JobState.QUEUED)
    assert job.queue_id == OrmQ.objects.get().pk
    assert job.queue == "sumsite"
    node.run()
    job.refresh_from_db()
    assert (job.state, job.result, job.error) == (JobState.DONE, expected, "")


def test_a_function_travels_as_its_path(node):
    async_task(functions.add, 1)
    assert OrmQ.objects.get().func() == ADD
    node.run()
    assert Success.objects.get().func == ADD


def test_queueing_and_job_commit_together_or_not_at_all(db):
    with transaction.atomic():
        async_task(ADD, 1)
        assert (OrmQ.objects.count(), Job.objects.count()) == (1, 1)
        transaction.set_rollback(True)
    assert (OrmQ.objects.count(), Job.objects.count()) == (0, 0)


def test_nothing_is_queued_when_the_job_cannot_be_written(transactional_db):
    twice = {"id": recipes.job.make().pk, "name": "twice", "started": timezone.now()}
    with pytest.raises(DatabaseError):
        enter("sumsite", "package", twice)
    assert not OrmQ.objects.exists()


def test_a_package_that_went_past_async_task_has_no_job(db):
    get_broker().enqueue("a package")
    assert OrmQ.objects.get().payload == "a package"
    assert not Job.objects.exists()


def test_a_task_that_could_not_be_queued_leaves_nothing_to_the_next_package(db):
    with pytest.raises((AttributeError, pickle.PicklingError)):
        async_task(ADD, lambda: None)
    get_broker().enqueue("a package")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("args", "kwargs", "name"),
    [
        ((1, "two"), {}, "echo(1, 'two')"),
        ((), {"b": [3]}, "echo(b=[3])"),
        ((1,), {"b": None}, "echo(1, b=None)"),
        ((), {}, "echo()"),
        (("a\0b",), {}, r"echo('a\x00b')"),
    ],
)
def test_a_task_without_a_name_is_called_as_it_is_called(db, args, kwargs, name):
    async_task(functions.echo, *args, **kwargs)
    assert the_job().name == name


@pytest.mark.parametrize("argument", [10**5000, functions.Unreadable()], ids=["huge", "unreadable"])
def test_arguments_that_cannot_be_shown_can_be_queued(node, argument):
    async_task(functions.give, argument)
    assert the_job().name.startswith("give(")
    node.run()
    assert the_job().state == JobState.DONE


def test_a_given_name_is_kept(node):
    async_task(ADD, 1, task_name="sum 1-9")
    assert the_job().name == OrmQ.objects.get().name() == "sum 1-9"
    node.run()
    assert Success.objects.get().name == "sum 1-9"


def test_a_name_in_q_options_is_kept(db):
    async_task(ADD, 1, q_options={"task_name": "sum 1-9"})
    assert the_job().name == "sum 1-9"


@pytest.mark.parametrize("name", ["x" * 101, "x" * 100_000])
def test_a_long_name_is_shortened(node, name):
    async_task(ADD, 1, task_name=name)
    node.run()
    assert the_job().name == Success.objects.get().name == "x" * 99 + "…"


def test_a_name_of_100_characters_is_whole(db):
    async_task(ADD, 1, task_name="x" * 100)
    assert the_job().name == "x" * 100


def test_a_long_list_of_arguments_is_shortened_in_the_name_alone(node):
    async_task(functions.give, list(range(1000)))
    node.run()
    assert len(the_job().name) == 100
    assert the_job().result == list(range(1000))


def test_a_nul_character_in_a_name_is_left_out(node):
    async_task(ADD, 1, task_name="a\0b")
    node.run()
    assert the_job().name == Success.objects.get().name == "ab"


def test_a_group_label_joins_no_fan_out(node):
    ids = [async_task(ADD, i, group="my label") for i in range(2)]
    assert list(Job.objects.in_group(ids[0]).values_list("pk", flat=True)) == [ids[0]]
    assert not Job.objects.in_group("my label").exists()
    node.run()
    assert sorted(Success.objects.values_list("group", "id")) == sorted(
        ("my label", task_id) for task_id in ids
    )


def test_cached_has_no_effect(node):
    task_id = async_task(ADD, 1, cached=60)
    assert OrmQ.objects.get().task["cached"] is False
    node.run()
    assert result(task_id) == the_job().result == 1


@pytest.mark.parametrize("arguments", [[1, 2], []])
def test_stock_async_iter_is_refused_by_name_of_ours(db, arguments):
    with pytest.raises(TypeError, match=r"compute\.queue\.fanout\.async_iter"):
        async_iter(ADD, arguments)
    assert not OrmQ.objects.exists()


def test_stock_iter_is_refused_by_name_of_ours(db):
    with pytest.raises(TypeError, match=r"compute\.queue\.fanout\.async_iter"):
        Iter(ADD, [1, 2]).run()
    assert not OrmQ.objects.exists()


def test_a_task_that_says_it_is_one_of_an_iteration_is_refused(db):
    with pytest.raises(TypeError, match=r"compute\.queue\.fanout\.async_iter"):
        async_task(ADD, 1, iter_count=2)


def test_a_call_is_shown_as_its_function_and_leaves_its_task_at_home():
    shown = Call(functions.add)
    shown.task = {"id": "1"}
    travelled = pickle.loads(pickle.dumps(shown))
    assert (str(travelled), travelled.func, travelled.task) == (ADD, ADD, {})


# --- in place, with sync=True ------------------------------------------------------


def test_sync_runs_in_place(db):
    task_id = async_task(functions.add, 1, 2, sync=True)
    job = the_job()
    assert (job.pk, job.state, job.result, job.attempt) == (task_id, JobState.DONE, 3, 1)
    assert job.queue_id is None
    assert result(task_id) == 3
    assert fetch(task_id).attempt_count == 1
    assert not OrmQ.objects.exists()
    assert functions.ran == [(1, 2)]


def test_sync_passes_the_error_on_with_its_traceback(db):
    with pytest.raises(ValueError, match="no luck") as caught:
        async_task(functions.fail, sync=True)
    assert caught.traceback[-1].name == "fail"
    job = the_job()
    assert (job.state, job.error) == (JobState.FAILED, "ValueError: no luck")
    assert "in fail" in Failure.objects.get().result


def test_sync_passes_an_exit_on(db):
    with pytest.raises(SystemExit):
        async_task(functions.leave, 3, sync=True)
    assert the_job().state == JobState.FAILED
    assert the_job().error_class == "SystemExit"


def test_a_failed_sync_job_can_be_retried(node):
    with pytest.raises(ValueError, match="no luck"):
        async_task(functions.fail_once, sync=True)
    assert the_job().retry()
    assert not Failure.objects.exists()
    node.run()
    job = the_job()
    assert (job.state, job.result, job.attempt) == (JobState.DONE, "luck", 2)
    assert Success.objects.get().attempt_count == 2


def test_a_sync_job_that_fails_again_can_be_retried_again(node):
    with pytest.raises(ValueError, match="no luck"):
        async_task(functions.fail, sync=True)
    for _ in range(2):
        assert the_job().retry()
        node.run()
    assert (the_job().state, the_job().attempt) == (JobState.FAILED, 3)


def test_a_sync_chain_runs_step_by_step_in_place(db):
    group = async_chain([(ADD, (1,)), (ADD, (2,), {"b": 3}), (ADD, (4,))], sync=True)
    assert functions.ran == [(1, 0), (2, 3), (4, 0)]
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.DONE}
    assert sorted(Success.objects.filter(group=group).values_list("result", flat=True)) == [1, 4, 5]
    assert not OrmQ.objects.exists()


def test_a_sync_chain_ends_where_it_fails(db):
    with pytest.raises(ValueError, match="no luck"):
        async_chain([(functions.fail,), (ADD, (1,))], sync=True)
    assert functions.ran == ["no luck"]
    assert Job.objects.count() == 1


# --- what becomes of a job ---------------------------------------------------------


def test_a_job_that_is_done_says_so_everywhere(node):
    task_id = async_task(functions.add, 1, b=2)
    (ended,) = node.run()
    job = the_job()
    assert (job.state, job.result, job.error, job.error_class) == (JobState.DONE, 3, "", "")
    assert (job.attempt, job.delivery, job.node_id) == (1, 1, node.row.pk)
    assert job.worker is not None
    millisecond = timedelta(milliseconds=1)  # SQLite's clock has no smaller
    assert job.queued_at - millisecond < job.started_at <= job.finished_at
    assert (ended["success"], ended["result"]) == (True, 3)
    record = Success.objects.get()
    assert (record.pk, record.name, record.func) == (task_id, "add(1, b=2)", ADD)
    assert (record.args, record.kwargs) == ((1,), {"b": 2})
    assert (record.result, record.attempt_count) == (3, 1)
    assert not OrmQ.objects.exists()


def test_a_job_that_failed_says_why_in_one_line_and_the_record_tells_all(node):
    task_id = async_task(functions.fail, "first\nsecond\0")
    (ended,) = node.run()
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "ValueError")
    assert job.error == "ValueError: first second"
    assert job.result is None
    assert job.payload
    assert ended["success"] is False
    failure = Failure.objects.get()
    assert failure.pk == task_id
    assert failure.args == ("first\nsecond\0",)
    assert "Traceback (most recent call last)" in failure.result
    assert "raise ValueError(message)" in failure.result
    assert not OrmQ.objects.exists()


@pytest.mark.parametrize("message", ["\udcff", "x" * 100_000, "", "\0", "é–…\u2028 end"])
def test_any_message_can_be_that_of_an_error(node, message):
    async_task(functions.fail, message)
    node.run()
    job = the_job()
    assert job.state == JobState.FAILED
    assert job.error.startswith("ValueError")
    assert len(job.error) <= 500
    assert Failure.objects.filter(pk=job.pk).exists()


def test_a_task_that_exits_has_failed_and_its_worker_lives(node):
    async_task(functions.leave, 3)
    (ended,) = node.run()
    assert ended["success"] is False
    job = the_job()
    assert (job.state, job.error, job.error_class) == (
        JobState.FAILED,
        "SystemExit: 3",
        "SystemExit",
    )
    assert "SystemExit" in Failure.objects.get().result


def test_a_task_that_exceeds_its_time_has_failed(node):
    async_task(functions.exceed_its_time, timeout=60)
    (ended,) = node.run()
    assert ended["success"] is False
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "TimeoutException")
    assert "maximum timeout value (60 seconds)" in job.error


@pytest.mark.parametrize(
    ("func", "settling"), [(functions.give, "finish"), (functions.fail, "fail")]
)
def test_the_time_limit_is_the_functions_alone(node, monkeypatch, func, settling):
    left = []
    settle = getattr(Delivery, settling)

    def settle_and_look(*args):
        left.append(signal.getitimer(signal.ITIMER_REAL)[0])
        return settle(*args)

    monkeypatch.setattr(Delivery, settling, settle_and_look)
    async_task(func, "x", timeout=60)
    node.run()
    assert left == [0]


@pytest.mark.parametrize("func", [functions.unpicklable, functions.picklable_one_way])
def test_a_result_that_cannot_be_stored_and_read_has_failed(node, func):
    async_task(func)
    (ended,) = node.run()
    assert ended["success"] is False
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "TypeError")
    assert job.error.startswith("TypeError: the result can't be pickled: ")
    assert Failure.objects.exists()


@pytest.mark.parametrize("path", ["tests.queue.functions.gone", "gone", "tests.queue.functions"])
def test_a_function_that_is_gone_has_failed(node, path):
    async_task(path, 1)
    node.run()
    job = the_job()
    assert (job.state, job.error) == (
        JobState.FAILED,
        f"ValueError: Function {path} is not defined",
    )
    assert Failure.objects.get().args == (1,)


@pytest.mark.parametrize(
    "queue", [async_task, lambda func, value: fanout.async_iter(func, [value])]
)
def test_a_function_of_other_code_is_left_to_nodes_of_that_code(node, monkeypatch, queue):
    """Whoever queued it had it, so this node is the one that is out of date."""
    queue(functions.give, 1)
    with monkeypatch.context() as old:
        old.delattr(functions, "give")
        (ended,) = node.run()
    assert ended["dropped"]
    assert (the_job().state, the_job().node) == (JobState.QUEUED, None)
    assert 0 < leases()[0] <= UNKNOWN_PAUSE.total_seconds()
    expire_leases()
    node.run()
    assert (the_job().state, the_job().result, the_job().attempt) == (JobState.DONE, 1, 2)


def test_a_function_of_other_code_that_no_node_knows_has_failed(node, monkeypatch):
    async_task(functions.give, 1)
    monkeypatch.delattr(functions, "give")
    Job.objects.update(attempt=UNKNOWN_TRIES - 1)
    node.run()
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "UnknownHereError")
    assert "give is not defined: this node's code is not what queued it" in the_job().error
    assert Failure.objects.get().args == (1,)


@pytest.mark.parametrize(
    "value",
    [None, 0, False, "", [], (1, {"a": {2}}), 2**63, 0.1, b"\0", "\0", "text", int, functions.add],
    ids=lambda value: type(value).__name__,
)
def test_any_result_is_kept_as_it_is(node, value):
    task_id = async_task(functions.give, value)
    node.run()
    assert the_job().state == JobState.DONE
    assert the_job().result == value
    assert result(task_id) == value


def test_a_huge_number_is_kept_as_a_result(node):
    task_id = async_task(functions.power, 10, 5000)
    node.run()
    assert the_job().result == result(task_id) == 10**5000


def test_a_model_is_kept_as_a_result(node):
    user = User.objects.create(username="ann")
    async_task(functions.give, user)
    node.run()
    assert the_job().result == user


def test_a_query_is_kept_as_its_rows(node):
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    task_id = async_task(functions.users)
    node.run()
    assert the_job().state == JobState.DONE
    assert list(the_job().result) == [ann, bob]
    assert list(result(task_id)) == [ann, bob]


def test_an_expression_is_kept_and_not_evaluated(node):
    async_task(functions.expression)
    node.run()
    assert the_job().state == JobState.DONE
    assert the_job().result == functions.expression()


@pytest.mark.parametrize(
    "labels", [{"group": "x" * 101}, {"hook": "x" * 257}], ids=["group", "hook"]
)
def test_a_label_that_is_too_long_is_refused_before_a_result_can_be_lost(db, labels):
    with pytest.raises(ValueError, match="characters, more than a task keeps"):
        async_task(ADD, 1, **labels)
    assert not OrmQ.objects.exists()
    assert not Job.objects.exists()


def test_arguments_without_a_record_are_gone_with_save_false(node):
    task_id = async_task(ADD, 1, save=False)
    node.run()
    assert (the_job().state, the_job().result) == (JobState.DONE, 1)
    assert not Task.objects.filter(pk=task_id).exists()


def test_a_failure_is_recorded_with_save_false_too(node):
    async_task(functions.fail, save=False)
    node.run()
    assert Failure.objects.filter(pk=the_job().pk).exists()


def test_time_taken_is_the_time_it_ran_and_not_the_time_it_waited(node, monkeypatch):
    earlier = timezone.now() - timedelta(hours=1)
    with monkeypatch.context() as context:
        context.setattr(timezone, "now", lambda: earlier)
        async_task(ADD, 1)
    node.run()
    record, job = Success.objects.get(), the_job()
    assert job.queued_at == earlier
    assert record.started - earlier >= timedelta(hours=1)
    assert 0 <= record.time_taken() < 60
    assert abs(record.started - job.started_at) < timedelta(seconds=60)


# --- deliveries --------------------------------------------------------------------


def test_a_late_delivery_changes_nothing(node, other_node):
    async_task(ADD, 1)
    late = node.claim_one()
    expire_leases()
    assert other_node.work(other_node.claim_one())["success"]
    before = Job.objects.values().get()
    node.work(late)
    assert Job.objects.values().get() == before
    assert Success.objects.get().attempt_count == 2


@pytest.mark.parametrize("newer", [JobState.QUEUED, JobState.RUNNING])
@pytest.mark.parametrize("error", [None, ValueError("too late")], ids=["result", "error"])
def test_the_outcome_of_a_delivery_that_lost_its_lease_is_dropped(
    node, other_node, caplog, error, newer
):
    def lose_the_lease():
        expire_leases()
        other_node.claim_one()
        if newer == JobState.QUEUED:
            Job.objects.all().give_back()
        if error:
            raise error

    functions.interruption.append(lose_the_lease)
    async_task(functions.interrupted, 1)
    node.work(node.claim_one())
    job = the_job()
    assert job.state == newer
    assert job.delivery > 1
    assert (job.result, job.error, job.finished_at) == (None, "", None)
    assert OrmQ.objects.filter(pk=job.queue_id).exists()
    assert not Task.objects.exists()
    assert "its lease was lost, the outcome is dropped" in caplog.text


def test_a_task_given_back_while_it_ran_counts_once(node, other_node):
    functions.interruption.append(lambda: Job.objects.all().give_back())
    async_task(functions.interrupted, "a")
    node.work(node.claim_one())
    functions.interruption[:] = [lambda: None]
    other_node.run()
    job = the_job()
    assert (job.state, job.result, job.attempt) == (JobState.DONE, "a", 2)
    assert Success.objects.get().attempt_count == 2
    assert not OrmQ.objects.exists()


def test_a_cancelled_job_is_not_run(node):
    async_task(ADD, 1)
    Job.objects.update(state=JobState.CANCELLED)
    node.run()
    assert functions.ran == []
    assert not OrmQ.objects.exists()
    assert (the_job().state, the_job().attempt) == (JobState.CANCELLED, 0)
    assert not Task.objects.exists()


def test_a_job_cancelled_while_it_ran_stays_cancelled(node):
    functions.interruption.append(lambda: Job.objects.update(state=JobState.CANCELLED))
    async_task(functions.interrupted, 1)
    node.work(node.claim_one())
    assert (the_job().state, the_job().result) == (JobState.CANCELLED, None)
    assert not Task.objects.exists()


def test_a_task_whose_job_is_gone_runs_not_and_leaves_the_queue(node):
    async_task(ADD, 1)
    Job.objects.all().delete()
    node.run()
    assert functions.ran == []
    assert not OrmQ.objects.exists()


def test_a_retried_failure_that_fails_again_is_one_record(node):
    async_task(functions.fail)
    node.run()
    assert the_job().retry()
    node.run()
    assert (the_job().state, the_job().attempt) == (JobState.FAILED, 2)
    assert Failure.objects.get().attempt_count == 2


# --- chains ------------------------------------------------------------------------


def test_a_chain_goes_on_after_each_step_that_is_done(node):
    group = async_chain([(ADD, (1,)), (functions.give, (2,)), (functions.add, (3,))])
    assert OrmQ.objects.count() == 1
    for step in ([(1, 0)], [(1, 0), 2], [(1, 0), 2, (3, 0)]):
        node.work(node.claim_one())
        assert functions.ran == step
    assert node.claim() == []
    assert sorted(Success.objects.filter(group=group).values_list("result", flat=True)) == [1, 2, 3]
    assert Job.objects.counts()[JobState.DONE] == 3


def test_the_chain_class_works_too(node):
    chain = Chain()
    chain.append(ADD, 1)
    chain.append(ADD, 2)
    chain.run()
    node.run()
    assert sorted(chain.result()) == [1, 2]
    assert chain.current() == 2


def test_a_chain_stops_at_a_failure_and_goes_on_after_its_retry(node):
    async_chain([(functions.fail_once,), (ADD, (1,))])
    node.run()
    assert functions.ran == ["no luck"]
    assert the_job().retry()
    node.run()
    assert functions.ran == ["no luck", "no luck", (1, 0)]
    assert Job.objects.counts()[JobState.DONE] == 2


def test_a_late_delivery_does_not_go_on_with_its_chain(node):
    functions.interruption.append(lambda: Job.objects.all().give_back())
    async_chain([(functions.interrupted, (1,)), (ADD, (1,))])
    node.work(node.claim_one())
    assert Job.objects.count() == 1


def test_no_step_of_a_chain_is_lost_with_the_database(transactional_db, node, monkeypatch, pauses):
    async_chain([(ADD, (1,)), (ADD, (2,)), (ADD, (3,))])
    monkeypatch.setattr(call, "async_chain", failing(1, async_chain))
    node.run()
    assert functions.ran == [(1, 0), (2, 0), (3, 0)]
    assert pauses == [PAUSES[0]]


# --- hooks -------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["tests.queue.functions.hook", functions.hook])
@pytest.mark.parametrize(("func", "success"), [(functions.give, True), (functions.fail, False)])
def test_a_hook_runs_once_after_the_commit(
    node, django_capture_on_commit_callbacks, func, success, hook
):
    task_id = async_task(func, "x", hook=hook)
    with django_capture_on_commit_callbacks(execute=True):
        node.run()
        assert functions.ran == ["x"]
    assert functions.ran == ["x", ("hook", task_id, success)]


@pytest.mark.parametrize(
    "hook", ["tests.queue.functions.failing_hook", "tests.queue.functions.gone"]
)
def test_a_failing_hook_loses_nothing(node, django_capture_on_commit_callbacks, hook):
    async_task(ADD, 1, hook=hook)
    with django_capture_on_commit_callbacks(execute=True):
        node.run()
    assert the_job().state == JobState.DONE
    assert Success.objects.get().result == 1


def test_a_failing_receiver_of_the_record_loses_nothing(
    node, django_capture_on_commit_callbacks, caplog
):
    def receiver(sender, instance, **kwargs):
        raise ValueError("the receiver is broken")

    post_save.connect(receiver, sender=Task)
    try:
        async_task(ADD, 1)
        with django_capture_on_commit_callbacks(execute=True):
            (ended,) = node.run()
    finally:
        post_save.disconnect(receiver, sender=Task)
    assert ended["success"] is True
    assert the_job().state == JobState.DONE
    assert "the receiver is broken" in caplog.text


def test_a_hook_runs_in_place_with_sync(db, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        task_id = async_task(ADD, 1, hook=functions.hook, sync=True)
    assert functions.ran == [(1, 0), ("hook", task_id, True)]


# --- a database that is away -------------------------------------------------------


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_write_is_tried_again_after_growing_pauses(transactional_db, pauses, caplog, error):
    write = failing(3, lambda: True, error("the server\nis gone"))
    assert persistently(write) is True
    assert pauses == list(PAUSES[:3])
    assert f"next try in {PAUSES[0]} s: {error.__name__}: the server is gone" in caplog.text


def test_each_try_has_a_connection_of_its_own(transactional_db, pauses):
    used = []

    def write():
        connection.ensure_connection()
        used.append(connection.connection)
        if len(used) < 3:
            raise OperationalError
        return True

    persistently(write)
    assert len({id(one) for one in used}) == 3


def test_a_write_is_given_up_in_the_end(transactional_db, pauses):
    write = failing(1000, lambda: True)
    with pytest.raises(OperationalError):
        persistently(write)
    assert pauses == list(PAUSES)
    assert pauses == sorted(pauses)
    assert 55 <= sum(pauses) <= 65


def test_another_error_is_not_tried_again(transactional_db, pauses):
    with pytest.raises(IntegrityError):
        persistently(failing(1, lambda: True, IntegrityError("no")))
    assert pauses == []


def test_inside_a_transaction_there_is_one_try(db, pauses):
    with pytest.raises(OperationalError):
        persistently(failing(1, lambda: True))
    assert pauses == []


@pytest.mark.parametrize("step", ["start", "finish"])
def test_a_job_is_done_once_the_database_is_back(transactional_db, node, monkeypatch, pauses, step):
    async_task(ADD, 1)
    monkeypatch.setattr(Delivery, step, failing(3, getattr(Delivery, step)))
    (ended,) = node.run()
    assert ended["success"] is True
    assert (the_job().state, the_job().attempt) == (JobState.DONE, 1)
    assert functions.ran == [(1, 0)]


def test_a_commit_whose_answer_was_lost_counts_once(transactional_db, node, monkeypatch, pauses):
    lost = []
    settle = Delivery.settle

    def settle_and_lose_the_answer(*args):
        answer = settle(*args)
        if not lost:
            lost.append(answer)
            raise OperationalError
        return answer

    monkeypatch.setattr(Delivery, "settle", settle_and_lose_the_answer)
    async_task(ADD, 1)
    node.run()
    assert (the_job().state, the_job().result, the_job().attempt) == (JobState.DONE, 1, 1)
    assert Success.objects.get().attempt_count == 1


@pytest.mark.parametrize("step", ["start", "finish"])
def test_a_job_whose_outcome_could_not_be_written_is_not_held_for_ever(
    transactional_db, node, other_node, monkeypatch, pauses, step
):
    """The database was away for longer than the tries, and the node still lives."""
    async_task(ADD, 1)
    task = node.claim_one()
    with monkeypatch.context() as context:
        context.setattr(Delivery, step, failing(1000, None))
        with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever ends the worker
            raise_unless_succeeded(node.work(task))
    expire_leases()  # it was away for longer than the lease
    node.broker.renew([])  # the worker runs something else by now
    other_node.run()
    assert the_job().state == JobState.DONE


def raise_unless_succeeded(task):
    assert task["success"], task["result"]


# --- one line ----------------------------------------------------------------------


@given(message=st.text(max_size=2000))
def test_an_error_in_one_line(message):
    line = one_line(ValueError(message))
    assert line.startswith("ValueError")
    assert len(line) <= 500
    assert "\0" not in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a\n  b\tc\0"), "ValueError: a b c"),
        (ValueError(), "ValueError"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_some_errors_in_one_line(error, line):
    assert one_line(error) == line


# --- what nobody expects -------------------------------------------------------------


def test_an_error_that_cannot_say_what_it_is_fails_its_task_all_the_same(node):
    async_task(functions.fail_without_words)
    node.run()
    assert (the_job().state, the_job().error) == (JobState.FAILED, "SpeechlessError")
    assert "fail_without_words" in Failure.objects.get().result


def test_an_outcome_that_the_database_refuses_is_a_failure_and_not_a_job_held_for_ever(
    node, monkeypatch
):
    refusal = DataError("value out of range")

    def refuse(self, result, stored):
        raise refusal

    monkeypatch.setattr(Delivery, "finish", refuse)
    async_task(ADD, 1)
    node.run()
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "DataError")
    assert Failure.objects.filter(pk=the_job().pk).exists()
    assert not OrmQ.objects.exists()


# --- what it costs --------------------------------------------------------------------


@pytest.mark.parametrize("func", [functions.give, functions.fail])
def test_claim_and_outcome_are_one_write_each(transactional_db, node, func):
    """On Postgres in no transaction, where a process that freezes would leave rows locked."""
    async_task(func, "x")
    with CaptureQueriesContext(connection) as queries:
        node.work(node.claim_one())
    steps = [query["sql"].split()[0] for query in queries]
    writes = [step for step in steps if step != "SELECT"]
    if connection.vendor == "postgresql":
        assert writes == ["WITH", "WITH"]
    else:
        claim = ["BEGIN", "UPDATE", "UPDATE", "COMMIT"]
        assert writes == [*claim, "BEGIN", "UPDATE", "DELETE", "INSERT", "COMMIT"]
