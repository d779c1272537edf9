from __future__ import annotations

import time
from collections.abc import Generator

import pytest

from compute.queue import kernel
from compute.queue.engines import engine
from compute.queue.engines.postgres import listening
from compute.queue.engines.postgres.sessions import own_connection


@pytest.mark.postgres
def test_where_a_proxy_swallows_notifications_the_node_polls(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    did: list[object] = []
    monkeypatch.setattr(listening, "echoes", lambda _: False)
    monkeypatch.setattr(time, "sleep", did.append)
    monkeypatch.setattr(kernel, "end_if_orphaned", lambda: did.append("looked"))
    polls = engine().commits()
    assert isinstance(polls, Generator)
    assert [next(polls), next(polls)] == [None, None]
    assert did == [listening.FAST_POLL_S, "looked"] * 2
    assert "NOTIFY does not reach this connection" in caplog.text
    assert "polling every 0.1 s" in caplog.text
    polls.close()


@pytest.mark.postgres
def test_who_hears_nothing_looks_whether_the_node_is_still_there(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Orphaned(Exception):
        """Its node is gone."""

    def end() -> None:
        raise Orphaned

    monkeypatch.setattr(listening, "PATIENCE_S", 0.01)
    monkeypatch.setattr(kernel, "end_if_orphaned", end)
    commits = iter(engine().commits())
    assert next(commits) is None  # what came before
    with pytest.raises(Orphaned):
        next(commits)


@pytest.mark.postgres
def test_what_another_connection_notifies_is_heard(transactional_db: None) -> None:
    with own_connection() as listener:
        assert not listening.echoes(listener), "it does not listen yet"
        listener.execute(f"LISTEN {listening.CHANNEL}")
        assert listening.echoes(listener)
