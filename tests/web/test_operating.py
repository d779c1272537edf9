"""What staff asks of the queue, and nobody else."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute.queue import pauses
from compute.queue.models import Node
from compute.queue.sharing import Pause

HTML = {"accept": "text/html"}
DRAIN, PAUSE = "/nodes/drain/", "/nodes/pause/"


def test_staff_drains_a_node_and_has_it_work_again(queue_server: Node, admin: Client) -> None:
    reply = admin.post(DRAIN, {"node": queue_server.pk})
    assert reply.json() == {"draining": True, "nodes": "http://testserver/nodes/"}
    assert Node.objects.get().draining
    reply = admin.post(DRAIN, {"node": "tests", "draining": "0"}, headers=HTML)
    assert (reply.status_code, reply["Location"]) == (303, "/nodes/")
    assert not Node.objects.get().draining


@pytest.mark.parametrize("node", ["", "nobody", "\0", "x" * 5000, "gone"])
def test_who_is_not_alive_is_not_drained(queue_server: Node, admin: Client, node: str) -> None:
    Node.objects.create(
        id="1" * 32,
        name="gone",
        host="",
        pid=1,
        started_at=queue_server.started_at,
        seen_at=queue_server.started_at,
        stopped_at=queue_server.started_at,
    )
    reply = admin.post(DRAIN, {"node": node})
    assert reply.status_code == 404
    assert "/nodes/ shows" in reply.json()["detail"]
    assert not Node.objects.filter(draining=True).exists()


def test_staff_pauses_the_queue_and_resumes_it(db: None, admin: Client) -> None:
    for _ in range(2):
        assert admin.post(PAUSE).json()["paused"] is True
    (pause,) = pauses.pauses()
    assert (pause.kind, pause.by) == ("", "boss")
    assert admin.post(PAUSE, {"paused": "0"}, headers=HTML).status_code == 303
    assert not Pause.objects.exists()


def test_staff_pauses_a_computation(db: None, admin: Client) -> None:
    assert admin.post(PAUSE, {"computation": "sum"}).status_code == 200
    assert [pause.kind for pause in pauses.pauses()] == ["sum"]
    for kind in ("none", "\0"):
        assert admin.post(PAUSE, {"computation": kind}).status_code == 404
        assert admin.post(PAUSE, {"computation": kind, "paused": 0}).status_code == 200
    assert pauses.pauses().count() == 1
    admin.post(PAUSE, {"computation": "sum", "paused": "0"})
    assert not Pause.objects.exists()


@pytest.mark.parametrize(
    ("address", "given"), [(DRAIN, {"node": "tests", "draining": "x"}), (PAUSE, {"paused": "-1"})]
)
def test_another_way_there_is_not(
    queue_server: Node, admin: Client, address: str, given: dict[str, str]
) -> None:
    assert admin.post(address, given).status_code == 400
    assert not Pause.objects.exists()


@pytest.mark.parametrize("address", [DRAIN, PAUSE])
def test_it_is_for_staff_and_by_post(queue_server: Node, admin: Client, address: str) -> None:
    member = Client()
    member.force_login(User.objects.create_user("member"))
    for client in (Client(), member):
        reply = client.post(address, {"node": "tests"})
        assert reply.status_code == 403
        assert reply.json()["detail"].startswith("Only staff")
    assert admin.get(address).status_code == 405
    assert not Node.objects.get().draining
    assert not Pause.objects.exists()
