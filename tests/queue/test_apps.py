"""What the queue listens to from the start."""

from __future__ import annotations

import logging

import pytest
from django.apps import apps
from django.core.checks import registry
from django.db.backends.signals import connection_created
from django.dispatch import Signal
from django_q.signals import post_execute, pre_enqueue

from compute.queue.apps import tell_of_end, tell_of_run
from compute.queue.asking import prepare as prepare_task
from compute.queue.backend import results
from compute.queue.checks import check_queue
from compute.queue.engines import prepare as prepare_connection
from compute.queue.models import Job
from compute.queue.signals import ended_elsewhere

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("signal", "receiver"),
    [
        (pre_enqueue, prepare_task),
        (connection_created, prepare_connection),
        (post_execute, tell_of_run),
        (ended_elsewhere, tell_of_end),
    ],
    ids=["pre_enqueue", "connection_created", "post_execute", "ended_elsewhere"],
)
def test_it_hears_of_tasks_and_connections_once_however_often_it_is_ready(
    signal: Signal, receiver: object
) -> None:
    apps.get_app_config("queue").ready()
    listeners, _ = signal._live_receivers(None)
    assert [each for each in listeners if each is receiver] == [receiver]


def test_its_checks_are_among_those_of_the_site() -> None:
    assert check_queue in registry.registry.get_checks()


def test_of_the_ends_of_djangos_own_tasks_their_backend_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(results, "tell_ended", lambda *args: told.append(args))
    tell_of_run(None, {"id": "1", "success": True})
    tell_of_run(None, {"id": "2", "success": True, "backend": "default"})
    tell_of_run(None, {"id": "3", "success": False, "backend": "default"})
    assert told == [(["2"], logging.INFO), (["3"], logging.ERROR)]


@pytest.mark.parametrize("heard", [True, False])
def test_ends_without_a_worker_are_told_of_by_a_task(
    db: None, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    monkeypatch.setattr(results, "is_heard", lambda *args: heard)
    tell_of_end(None, ["4"])
    assert list(Job.objects.values_list("name", flat=True)) == ["task_finished"] * heard
