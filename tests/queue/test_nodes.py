from __future__ import annotations

import os
from datetime import timedelta

from django.db import connection
from django.utils import timezone
from django_q.conf import Conf

from compute.queue import kernel
from compute.queue.models import Node
from tests import recipes


def test_a_node_is_shown_by_its_name_and_host(db: None) -> None:
    assert str(recipes.node.prepare(name="red-fox", host="machine")) == "red-fox on machine"


def test_alive_are_nodes_that_were_heard_of_lately_and_have_not_stopped(db: None) -> None:
    now = timezone.now()
    alive = recipes.node.make(seen_at=now)
    recipes.node.make(seen_at=now - Node.DEAD_AFTER - timedelta(seconds=1))
    recipes.node.make(seen_at=now, stopped_at=now)
    assert list(Node.objects.alive()) == [alive]
    assert Node.objects.workers() == alive.workers


def test_a_job_outlives_its_node(db: None) -> None:
    job = recipes.job.make(node=recipes.node.make())
    Node.objects.all().delete()
    job.refresh_from_db()
    assert job.node is None


def test_nodes_left_behind_are_those_of_this_place_whose_process_is_gone(db: None) -> None:
    gone = recipes.node.make(place="here", pid=11, stopped_at=None)
    recipes.node.make(place="here", pid=12, stopped_at=None)
    recipes.node.make(place="here", pid=13, stopped_at=timezone.now())
    recipes.node.make(place="elsewhere", host=gone.host, pid=14, stopped_at=None)
    recipes.node.make(host="here", pid=15, stopped_at=None)  # of the version before
    recipes.node.make(place="here", pid=os.getpid(), stopped_at=None)
    assert list(Node.objects.left_behind("here", lambda pid: pid == 12)) == [gone]


def test_the_place_of_a_node_of_the_version_before_is_unknown(db: None) -> None:
    """Its host's name says nothing: two containers may have the same, and the same ids."""
    now = connection.ops.adapt_datetimefield_value(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO queue_node (id, name, host, pid, workers, restarts, ended, started_at,"
            " seen_at, stat) VALUES ('x', '', 'here', 11, 1, 0, 0, %s, %s, '')",
            [now, now],
        )
    assert Node.objects.get().place == ""
    assert not Node.objects.left_behind(kernel.place(), lambda pid: False).exists()


def test_nodes_are_found_by_name_or_id(db: None) -> None:
    fox, owl, cat = (recipes.node.make(name=name) for name in ("fox", "owl", "cat"))
    assert set(Node.objects.named(["fox", cat.pk, "dog"])) == {fox, cat}
    assert not Node.objects.named([]).exists()
    assert Node.objects.named(["fox", owl.pk]).drain() == 2
    assert set(Node.objects.filter(draining=True)) == {fox, owl}
    assert Node.objects.named(["fox"]).work_again() == 1
    assert Node.objects.get(draining=True) == owl


def test_a_nodes_queue_is_a_part_of_its_name(db: None) -> None:
    assert recipes.node.prepare(name="red-fox").queue == Conf.PREFIX
    assert recipes.node.prepare(name="red-fox (slow)").queue == "slow"
