"""Where who is new begins, beside others of the queue or of the client."""

from __future__ import annotations

import pytest
from django_q.conf import Conf
from django_q.tasks import async_task

from compute.queue.broker import sharing
from compute.queue.engines import engine
from compute.queue.models import Flow, Job
from compute.queue.sharing import Client

pytestmark = pytest.mark.django_db

ADD = "tests.queue.functions.add"


def waits(client: str, key: str, served: float | None = None) -> int:
    """The id of a flow in which a task waits, and that was served so much."""
    async_task(ADD, 1, broker=sharing(client, key=key))
    Flow.objects.filter(key=key).update(served=served)
    return Flow.objects.get(key=key).pk


def charge(flow: int, seconds: float = 1) -> None:
    engine().charge(Conf.CLUSTER_NAME, flow, seconds)


def client(name: str, served: float) -> None:
    Client.objects.create(queue=Conf.CLUSTER_NAME, name=name, served=served)


def served(flow: int) -> float | None:
    return Flow.objects.values_list("served", flat=True).get(pk=flow)


def test_who_comes_first_begins_at_nothing() -> None:
    flow = waits("ann", "first")
    charge(flow, 3)
    assert served(flow) == 3
    assert Client.objects.get().served == 3


def test_a_flow_begins_where_the_least_served_that_waits_is() -> None:
    waits("ann", "least", 20)
    waits("ann", "most", 30)
    ended = waits("ann", "nothing waits", 5)
    Job.objects.filter(flow=ended).update(state="running")
    paused = waits("ann", "paused", 6)
    Flow.objects.filter(pk=paused).pause()
    new = waits("ann", "new")
    charge(new)
    assert served(new) == 21


def test_a_flow_begins_where_those_are_that_are_paused_if_there_is_no_other() -> None:
    """They would wait until it had as much as they, when they are resumed."""
    paused = waits("ann", "paused", 100)
    Flow.objects.filter(pk=paused).pause()
    new = waits("ann", "new")
    charge(new)
    assert served(new) == 101


def test_a_client_begins_where_the_least_served_that_waits_is() -> None:
    waits("ann", "anns", 1)
    waits("bob", "bobs", 1)
    idle = waits("eve", "eves", 1)
    Job.objects.filter(flow=idle).update(state="running")
    paused = waits("joe", "joes", 1)
    Flow.objects.filter(pk=paused).pause()
    for name, had in (("ann", 20), ("bob", 30), ("eve", 5), ("joe", 6)):
        client(name, had)
    charge(waits("new", "new"))
    assert Client.objects.get(name="new").served == 21


def test_a_client_begins_where_the_others_are_if_nothing_of_theirs_waits() -> None:
    client("gone", 40)
    charge(waits("new", "new"))
    assert Client.objects.get(name="new").served == 41
