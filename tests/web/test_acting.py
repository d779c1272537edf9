"""How an action on a run is asked for, refused and answered."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from compute.models import Run
from compute.web.acting import ActionView, NotNow
from tests.conftest import started

HTML = "text/html"
#: Every action on a run, with what else it asks for.
ACTIONS = [
    *("cancel", "retry", "go-on", "combine", "share", "pause", "resume", "note", "delete"),
    pytest.param("priority", id="priority"),
]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("accept", ["*/*", HTML])
def test_a_stranger_may_not(db: None, action: str, accept: str) -> None:
    run = started("/split-sum-start/", n=10, chunk_size=5)
    client = Client(headers={"accept": accept})
    reply = client.post(f"/compute/sum/{action}/", {"task_id": run.task_id, "priority": "urgent"})
    assert reply.status_code == 403
    assert "Only whoever started this run may do that, and staff." in reply.content.decode()
    flow = run.flow.get()
    assert (flow.paused, flow.priority, run.jobs.counts()["queued"]) == (False, "normal", 2)


@pytest.mark.parametrize("action", ACTIONS)
def test_it_is_for_posts_alone_and_for_runs_that_exist(admin: Client, action: str) -> None:
    address = f"/compute/sum/{action}/"
    reply = admin.get(address)
    assert (reply.status_code, reply["Allow"]) == (405, "POST")
    for task_id, status in (("", 400), ("x", 404), ("0" * 32, 404)):
        assert admin.post(address, {"task_id": task_id}).status_code == status


@pytest.mark.parametrize("action", ACTIONS)
def test_a_session_needs_a_csrf_token(db: None, action: str) -> None:
    client = Client(enforce_csrf_checks=True, headers={"accept": HTML})
    client.post("/split-sum-start/", {"n": 10})
    run = Run.objects.get()
    given = {"task_id": run.task_id}
    reply = client.post(f"/compute/sum/{action}/", given)
    assert (reply.status_code, "CSRF token" in reply.content.decode()) == (403, True)
    if action not in ("priority", "note", "delete"):  # for staff; nothing to note; unfinished
        client.get(run.get_absolute_url())
        given["csrfmiddlewaretoken"] = client.cookies[settings.CSRF_COOKIE_NAME].value
        assert client.post(f"/compute/sum/{action}/", given).status_code == 303


def test_what_can_not_be_done_now_is_said_and_is_no_error(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: ActionView, run: Run) -> None:
        raise NotNow("Not while it rains.")

    monkeypatch.setattr("compute.web.actions.ShareView.act", refuse)
    run = started("/sum-start/", n=10)
    reply = admin.post("/compute/sum/share/", {"task_id": run.task_id})
    assert (reply.status_code, reply.json()) == (409, {"detail": "Not while it rains."})


def test_where_there_is_too_much_it_is_tried_again_later(admin: Client, settings: object) -> None:
    run = started("/sum-start/", n=10)
    settings.MAX_ACTIVE_RUNS = 0  # type: ignore[attr-defined]
    reply = admin.post("/compute/sum/combine/", {"task_id": run.task_id})
    assert (reply.status_code, reply["Retry-After"]) == (429, "10")


def test_an_action_has_to_say_what_it_does() -> None:
    with pytest.raises(NotImplementedError):
        ActionView().act(Run())
