"""What comes of a task is written once and whole, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connection
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, OrmQ, Success, Task
from django_q.tasks import Chain, async_chain, async_task, result
from pytest_django import DjangoCaptureOnCommitCallbacks

from compute.queue import delivery, fanout, transitions
from compute.queue.away import PAUSES_S
from compute.queue.contents import Content, Part, Writer, remove
from compute.queue.models import Job, JobState
from compute.queue.transitions import UNKNOWN_PAUSE, UNKNOWN_TRIES
from tests.queue import functions
from tests.queue.conftest import LocalNode, expire_leases, failing, leases, the_job

ADD = "tests.queue.functions.add"
MB = 1_000_000


# --- what becomes of a job -----------------------------------------------------------------------


def test_a_job_that_is_done_says_so_everywhere(node: LocalNode) -> None:
    task_id = async_task(functions.add, 1, b=2)
    (ended,) = node.run()
    job = the_job()
    assert (job.state, job.result, job.error, job.error_class) == (JobState.DONE, 3, "", "")
    assert (job.attempt, job.delivery, job.node_id) == (1, 1, node.row.pk)
    assert job.worker is not None
    millisecond = timedelta(milliseconds=1)  # SQLite's clock has no smaller
    assert job.started_at
    assert job.finished_at
    assert job.queued_at - millisecond < job.started_at <= job.finished_at
    assert (ended["success"], ended["result"]) == (True, 3)
    record = Success.objects.get()
    assert (record.pk, record.name, record.func) == (task_id, "add(1, b=2)", ADD)
    assert (record.args, record.kwargs) == ((1,), {"b": 2})
    assert (record.result, record.attempt_count) == (3, 1)
    assert not OrmQ.objects.exists()


def test_a_job_that_failed_says_why_in_one_line_and_the_record_tells_all(node: LocalNode) -> None:
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
def test_any_message_can_be_that_of_an_error(node: LocalNode, message: str) -> None:
    async_task(functions.fail, message)
    node.run()
    job = the_job()
    assert job.state == JobState.FAILED
    assert job.error.startswith("ValueError")
    assert len(job.error) <= 500
    assert Failure.objects.filter(pk=job.pk).exists()


def test_an_error_that_cannot_say_what_it_is_fails_its_task_all_the_same(node: LocalNode) -> None:
    async_task(functions.fail_without_words)
    node.run()
    assert (the_job().state, the_job().error) == (JobState.FAILED, "SpeechlessError")
    assert "fail_without_words" in Failure.objects.get().result


#: Where a syntax error says to be; its text is none.
ODD_PLACE: Any = ("file", 1, 1, 5)


@pytest.mark.thorough
@pytest.mark.parametrize("error", [SyntaxError("odd", ODD_PLACE), ValueError("x" * 3_000_000)])
def test_an_error_whose_report_cannot_be_made_or_kept_fails_its_task_once(
    node: LocalNode, error: Exception
) -> None:
    async_task(raise_it, error)
    node.run()
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, type(error).__name__)
    assert len(Failure.objects.get().result) < 1_100_000


def raise_it(error: Exception) -> None:
    raise error


def test_a_task_that_exits_has_failed_and_its_worker_lives(node: LocalNode) -> None:
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


@pytest.mark.parametrize("func", [functions.unpicklable, functions.picklable_one_way])
def test_a_result_that_cannot_be_stored_and_read_has_failed(node: LocalNode, func: Any) -> None:
    async_task(func)
    (ended,) = node.run()
    assert ended["success"] is False
    job = the_job()
    assert (job.state, job.error_class) == (JobState.FAILED, "TypeError")
    assert job.error.startswith("TypeError: the result can't be pickled: ")
    assert Failure.objects.exists()


@pytest.mark.parametrize("path", ["tests.queue.functions.gone", "gone", "tests.queue.functions"])
def test_a_function_that_is_gone_has_failed(node: LocalNode, path: str) -> None:
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
def test_a_function_of_other_code_is_left_to_nodes_of_that_code(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, queue: Any
) -> None:
    """Whoever queued it had it, so this node is the one that is out of date."""
    queue(functions.give, 1)
    with monkeypatch.context() as old:
        old.delattr(functions, "give")
        (ended,) = node.run()
    assert "success" not in ended, "there is no outcome to tell of"
    assert (the_job().state, the_job().node) == (JobState.QUEUED, None)
    assert 0 < leases()[0] <= UNKNOWN_PAUSE.total_seconds()
    expire_leases()
    node.run()
    assert (the_job().state, the_job().result, the_job().attempt) == (JobState.DONE, 1, 2)


def test_a_function_of_other_code_that_no_node_knows_has_failed(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    async_task(functions.give, 1)
    monkeypatch.delattr(functions, "give")
    Job.objects.update(starts=UNKNOWN_TRIES - 1)
    node.run()
    assert (the_job().state, the_job().error_class) == (JobState.FAILED, "UnknownHereError")
    assert "give is not defined: this node's code is not what queued it" in the_job().error
    assert Failure.objects.get().args == (1,)


@pytest.mark.parametrize(
    "value",
    [None, 0, False, "", [], (1, {"a": {2}}), 2**63, 0.1, b"\0", "\0", "text", int, functions.add],
    ids=lambda value: type(value).__name__,
)
def test_any_result_is_kept_as_it_is(node: LocalNode, value: Any) -> None:
    task_id = async_task(functions.give, value)
    node.run()
    assert the_job().state == JobState.DONE
    assert the_job().result == value
    assert result(task_id) == value


def test_a_huge_number_is_kept_as_a_result(node: LocalNode) -> None:
    task_id = async_task(functions.power, 10, 5000)
    node.run()
    assert the_job().result == result(task_id) == 10**5000


def test_a_model_is_kept_as_a_result(node: LocalNode) -> None:
    user = User.objects.create(username="ann")
    async_task(functions.give, user)
    node.run()
    assert the_job().result == user


def test_a_query_is_kept_as_its_rows(node: LocalNode) -> None:
    ann, bob = (User.objects.create(username=name) for name in ("ann", "bob"))
    task_id = async_task(functions.users)
    node.run()
    assert the_job().state == JobState.DONE
    assert list(the_job().result) == [ann, bob]
    assert list(result(task_id)) == [ann, bob]


def test_an_expression_is_kept_and_not_evaluated(node: LocalNode) -> None:
    async_task(functions.expression)
    node.run()
    assert the_job().state == JobState.DONE
    assert the_job().result == functions.expression()


def test_arguments_without_a_record_are_gone_with_save_false(node: LocalNode) -> None:
    task_id = async_task(ADD, 1, save=False)
    node.run()
    assert (the_job().state, the_job().result) == (JobState.DONE, 1)
    assert not Task.objects.filter(pk=task_id).exists()


def test_a_failure_is_recorded_with_save_false_too(node: LocalNode) -> None:
    async_task(functions.fail, save=False)
    node.run()
    assert Failure.objects.filter(pk=the_job().pk).exists()


def test_time_taken_is_the_time_it_ran_and_not_the_time_it_waited(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
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


# --- deliveries ----------------------------------------------------------------------------------


def test_a_late_delivery_changes_nothing(node: LocalNode, other_node: LocalNode) -> None:
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
    node: LocalNode,
    other_node: LocalNode,
    caplog: pytest.LogCaptureFixture,
    error: Exception | None,
    newer: JobState,
) -> None:
    def lose_the_lease() -> None:
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


def test_a_task_given_back_while_it_ran_counts_once(node: LocalNode, other_node: LocalNode) -> None:
    functions.interruption.append(lambda: Job.objects.all().give_back())
    async_task(functions.interrupted, "a")
    node.work(node.claim_one())
    functions.interruption[:] = [lambda: None]
    other_node.run()
    job = the_job()
    assert (job.state, job.result, job.attempt) == (JobState.DONE, "a", 2)
    assert Success.objects.get().attempt_count == 2
    assert not OrmQ.objects.exists()


def test_a_job_cancelled_while_it_ran_stays_cancelled(node: LocalNode) -> None:
    functions.interruption.append(lambda: Job.objects.update(state=JobState.CANCELLED))
    async_task(functions.interrupted, 1)
    node.work(node.claim_one())
    assert (the_job().state, the_job().result) == (JobState.CANCELLED, None)
    assert not Task.objects.exists()


def test_a_retried_failure_that_fails_again_is_one_record(node: LocalNode) -> None:
    async_task(functions.fail)
    node.run()
    assert the_job().retry()
    node.run()
    assert (the_job().state, the_job().attempt) == (JobState.FAILED, 2)
    assert Failure.objects.get().attempt_count == 2


# --- chains --------------------------------------------------------------------------------------


def test_a_chain_goes_on_after_each_step_that_is_done(node: LocalNode) -> None:
    group = async_chain([(ADD, (1,)), (functions.give, (2,)), (functions.add, (3,))])
    assert OrmQ.objects.count() == 1
    for step in ([(1, 0)], [(1, 0), 2], [(1, 0), 2, (3, 0)]):
        node.work(node.claim_one())
        assert functions.ran == step
    assert node.claim() == []
    assert sorted(Success.objects.filter(group=group).values_list("result", flat=True)) == [1, 2, 3]
    assert Job.objects.counts()[JobState.DONE] == 3


def test_the_chain_class_works_too(node: LocalNode) -> None:
    chain = Chain()
    chain.append(ADD, 1)
    chain.append(ADD, 2)
    chain.run()
    node.run()
    assert sorted(chain.result()) == [1, 2]
    assert chain.current() == 2


def test_a_chain_stops_at_a_failure_and_goes_on_after_its_retry(node: LocalNode) -> None:
    async_chain([(functions.fail_once,), (ADD, (1,))])
    node.run()
    assert functions.ran == ["no luck"]
    assert the_job().retry()
    node.run()
    assert functions.ran == ["no luck", "no luck", (1, 0)]
    assert Job.objects.counts()[JobState.DONE] == 2


def test_a_late_delivery_does_not_go_on_with_its_chain(node: LocalNode) -> None:
    functions.interruption.append(lambda: Job.objects.all().give_back())
    async_chain([(functions.interrupted, (1,)), (ADD, (1,))])
    node.work(node.claim_one())
    assert Job.objects.count() == 1


def test_no_step_of_a_chain_is_lost_with_the_database(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    async_chain([(ADD, (1,)), (ADD, (2,)), (ADD, (3,))])
    monkeypatch.setattr(delivery, "async_chain", failing(1, async_chain))
    node.run()
    assert functions.ran == [(1, 0), (2, 0), (3, 0)]
    assert pauses == [PAUSES_S[0]]


# --- hooks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["tests.queue.functions.hook", functions.hook])
@pytest.mark.parametrize(("func", "success"), [(functions.give, True), (functions.fail, False)])
def test_a_hook_runs_once_after_the_commit(
    node: LocalNode,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    func: Any,
    success: bool,
    hook: Any,
) -> None:
    task_id = async_task(func, "x", hook=hook)
    with django_capture_on_commit_callbacks(execute=True):
        node.run()
        assert functions.ran == ["x"]
    assert functions.ran == ["x", ("hook", task_id, success)]


@pytest.mark.parametrize(
    "hook", ["tests.queue.functions.failing_hook", "tests.queue.functions.gone"]
)
def test_a_failing_hook_loses_nothing(
    node: LocalNode, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks, hook: str
) -> None:
    async_task(ADD, 1, hook=hook)
    with django_capture_on_commit_callbacks(execute=True):
        node.run()
    assert the_job().state == JobState.DONE
    assert Success.objects.get().result == 1


def test_a_failing_receiver_of_the_record_loses_nothing(
    node: LocalNode,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def receiver(sender: Any, instance: Any, **kwargs: Any) -> None:
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


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize("func", [functions.give, functions.fail])
def test_claim_and_outcome_are_one_write_each(
    transactional_db: None, node: LocalNode, func: Any
) -> None:
    """On Postgres in no transaction, where a process that freezes would leave rows locked."""
    async_task(func, "x")
    with CaptureQueriesContext(connection) as queries:
        node.work(node.claim_one())
    steps = [query["sql"].split()[0] for query in queries]
    writes = [step for step in steps if step != "SELECT"]
    if connection.vendor == "postgresql":
        assert writes == ["WITH", "WITH", "WITH"]  # a claim asks twice if nothing is up again
    else:
        claim = ["BEGIN", "UPDATE", "UPDATE", "COMMIT"]
        assert writes == [*claim, "BEGIN", "UPDATE", "DELETE", "INSERT", "COMMIT"]


# --- large results whose outcome does not count --------------------------------------------------


def nothing_is_left_over() -> bool:
    """Whether each part is of a content that is complete."""
    complete = Content.objects.exclude(digest="").values_list("pk", flat=True)
    return {*complete} == {*Part.objects.values_list("content", flat=True)}


def test_the_loser_of_a_race_removes_its_own(node: LocalNode, other_node: LocalNode) -> None:
    def lose_the_lease() -> None:
        functions.interruption[:] = [lambda: None]
        expire_leases()
        other_node.work(other_node.claim_one())

    functions.interruption.append(lose_the_lease)
    task_id = async_task(functions.large_and_interrupted, MB)
    node.work(node.claim_one())
    assert functions.ran == [MB, MB]
    assert (the_job().attempt, Content.objects.count()) == (2, 1)
    assert result(task_id) == functions.large(MB)
    assert nothing_is_left_over()


def test_one_whose_job_was_cancelled_meanwhile_leaves_nothing(node: LocalNode) -> None:
    functions.interruption.append(lambda: Job.objects.update(state=JobState.CANCELLED))
    async_task(functions.large_and_interrupted, MB)
    node.work(node.claim_one())
    assert (the_job().state, the_job().result) == (JobState.CANCELLED, None)
    assert not Content.objects.exists()
    assert not Part.objects.exists()


@pytest.mark.parametrize("is_complete", [True, False])
@pytest.mark.parametrize("size", [10, MB])
def test_a_later_attempt_removes_what_a_dead_worker_has_left(
    node: LocalNode, other_node: LocalNode, is_complete: bool, size: int
) -> None:
    task_id = async_task(functions.large, size)
    node.claim_one()
    writer = Writer(task_id)
    writer.write(functions.large(MB))
    if is_complete:
        writer.done()
    expire_leases()
    other_node.run()
    assert (the_job().attempt, the_job().result) == (2, functions.large(size))
    assert Content.objects.count() == int(size == MB)
    assert nothing_is_left_over()
    if not is_complete:
        with pytest.raises(LookupError):  # it was frozen, and not dead
            writer.done()


def test_a_failure_removes_what_attempts_before_have_left(node: LocalNode) -> None:
    task_id = async_task(functions.fail)
    with Writer(task_id) as writer:
        writer.done()
    node.run()
    assert Content.objects.exists(), "the first attempt looks for nothing"
    assert the_job().retry()
    node.run()
    assert the_job().state == JobState.FAILED
    assert not Content.objects.exists()


def test_what_cannot_be_removed_now_harms_no_outcome(
    node: LocalNode,
    other_node: LocalNode,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    task_id = async_task(functions.large, MB)
    node.claim_one()
    with Writer(task_id) as writer:
        writer.done()
    expire_leases()
    lost = failing(1, remove, OperationalError("away"))
    monkeypatch.setattr(delivery, "remove", lost)
    other_node.run()
    assert the_job().state == JobState.DONE
    assert the_job().result == functions.large(MB)
    assert "what it wrote is left: OperationalError: away" in caplog.text


def test_an_outcome_that_is_refused_leaves_no_content(
    transactional_db: None, node: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database takes everything but this outcome, twice; the failure it takes."""
    refused = failing(2, transitions.settle, DatabaseError("refused"))
    async_task(functions.large, MB)
    task = node.claim_one()
    monkeypatch.setattr(transitions, "settle", refused)
    node.work(task)
    assert (the_job().state, the_job().error) == (JobState.FAILED, "DatabaseError: refused")
    assert not Content.objects.exists()
