from __future__ import annotations

from datetime import UTC, datetime

from compute.queue import trials
from compute.queue.models import Job
from compute.queue.signals import ended_elsewhere
from compute.queue.trials import UNKNOWN, Trial, errors_of, trials_of, with_error
from tests import recipes
from tests.queue.conftest import received


def test_starts_are_told_in_their_order() -> None:
    text = "1 abc 7 1000.5,2 - 0 2000.25,"
    first, second = trials_of(text, 2)
    assert first == Trial("abc", 7, datetime.fromtimestamp(1000.5, UTC))
    assert (first.worker_id, second.worker_id) == ("abc-7", "--0")
    assert trials_of("", 0) == []


def test_a_start_that_was_taken_back_is_none() -> None:
    text = "1 abc 7 1000,1 def 8 2000,2 ghi 9 3000,"
    assert [trial.node for trial in trials_of(text, 1)] == ["def"]


def test_a_start_that_older_code_has_not_noted_is_counted() -> None:
    assert [trial.node for trial in trials_of("2 abc 7 1000,", 2)] == ["unknown", "abc"]
    assert UNKNOWN.at is None


def test_errors_are_added_to_those_before() -> None:
    errors = with_error(with_error("", "builtins.ValueError", "one\0"), "WorkerDied", "two")
    assert errors_of(errors) == [("builtins.ValueError", "one\0"), ("WorkerDied", "two")]
    assert errors_of("") == []


def test_who_listens_is_told_of_such_tasks_alone(db: None) -> None:
    job, _ = recipes.job.make(asked="{}"), recipes.job.make()
    with received(ended_elsewhere) as sent:
        with trials.told_of(Job.objects.all()):
            assert not sent
        assert [each["task_ids"] for each in sent] == [[job.pk]]
        trials.tell([])
    assert len(sent) == 1
