"""Which node and task a line is about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django_q.tasks import async_task

from compute.queue import logs
from compute.queue.engines import Lease
from compute.queue.fanout import async_iter
from compute.queue.models import Job
from compute.queue.node.reporter import report
from tests.queue import functions
from tests.queue.conftest import LocalNode

TASK = {"id": "t", "group": "g", "position": 3, "ack_id": Lease(1, 1, 2)}


def filtered(**extra: Any) -> dict[str, Any]:
    record = logging.makeLogRecord({"msg": "something", **extra})
    assert logs.AboutFilter().filter(record)
    names = ("node", "task", "group", "position", "attempt")
    return {name: vars(record)[name] for name in names if name in vars(record)}


def test_outside_of_nodes_and_tasks_nothing_is_added() -> None:
    assert filtered() == {}


def test_in_a_node_every_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_node", None)  # put back afterwards
    logs.in_node("n")
    assert filtered() == {"node": "n"}


def test_what_a_function_logs_is_about_its_task() -> None:
    with logs.about(TASK):
        assert filtered() == {"task": "t", "group": "g", "position": 3, "attempt": 2}
        assert filtered(task="another")["task"] == "another"
    assert filtered() == {}


def test_a_lone_task_is_a_group_of_itself() -> None:
    assert logs.ids({"id": "t"}) == {"task": "t", "group": "t"}
    assert logs.ids({"id": "t", "group": None, "ack_id": 7}) == {"task": "t", "group": "t"}


@pytest.mark.django_db
def test_a_running_task_is_known_to_what_it_logs(node: LocalNode) -> None:
    seen = []
    functions.interruption.append(lambda: seen.append(filtered()))
    task_id = async_task(functions.interrupted)
    assert node.worker.turn()
    assert seen == [{"task": task_id, "group": task_id, "position": 0, "attempt": 1}]
    assert filtered() == {}


@pytest.mark.django_db
def test_each_chunk_says_its_place(node: LocalNode, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    group = async_iter("tests.queue.functions.add", [1, 2, 3])
    report([node.work(task) for task in node.claim(3)])
    said = [vars(one) for one in caplog.records if one.getMessage().startswith("done: ")]
    jobs = Job.objects.in_group(group).values_list("pk", "position")
    assert [(one["task"], one["position"]) for one in said] == list(jobs)
    assert {(one["group"], one["attempt"], one["function"]) for one in said} == {
        (group, 1, "tests.queue.functions.add")
    }
    assert all(0 <= one["seconds"] < 10 for one in said)


@pytest.mark.django_db
def test_a_failure_names_the_class_of_its_error(
    node: LocalNode, caplog: pytest.LogCaptureFixture
) -> None:
    async_task(functions.fail)
    async_task("threading.Lock")
    report([node.work(task) for task in node.claim(2)])
    said = [vars(one) for one in caplog.records if one.getMessage().startswith("failed: ")]
    assert [one["error_class"] for one in said] == ["ValueError", "TypeError"]


def test_the_same_words_are_said_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr("compute.queue.logs.time.monotonic", lambda: now)
    for moment in (0, 1, 9, 11):
        now = moment
        logs.seldom(logging.getLogger("a node"), "away: %s", "the server is gone")
    logs.seldom(logging.getLogger("a node"), "away: %s", "it is locked")
    said = [record.getMessage() for record in caplog.records]
    assert said == [*["away: the server is gone"] * 2, "away: it is locked"]


@contextmanager
def unheard() -> Iterator[None]:
    """The queue's logger is as in a project whose LOGGING says nothing of it. (A fixture would be
    too early: pytest looks for such loggers before a test is called.)"""
    log = logging.getLogger("compute.queue")
    log.propagate = False
    yield
    log.propagate = True
    log.handlers.clear()
    log.setLevel(logging.NOTSET)


def test_a_project_that_has_no_place_for_them_sees_a_nodes_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with unheard():
        for _ in range(2):
            logs.be_heard("INFO")
        logging.getLogger("compute.queue.node.guard").info("running")
        logging.getLogger("compute.queue.node.guard").debug("nobody wants to know")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" INFO ")[2] for line in lines] == ["compute.queue.node.guard: running"]


def test_a_project_that_has_one_keeps_it() -> None:
    log = logging.getLogger("compute.queue")
    before = log.level, list(log.handlers)
    logs.be_heard("DEBUG")
    assert (log.level, log.handlers) == before
