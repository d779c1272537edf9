from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django_q.tasks import async_task
from pytest_django import Settings

from compute.queue.engines import engine
from compute.queue.engines.sqlite import bell

ADD = "tests.queue.functions.add"


@pytest.mark.sqlite
def test_where_the_kernel_tells_nothing_a_commit_is_heard_as_well(
    transactional_db: None, settings: Settings
) -> None:
    settings.Q_PORTABLE = True
    commits = engine().commits()
    assert next(commits) is None  # what came before
    async_task(ADD, 1)
    assert next(commits) is None


def test_where_no_bell_can_be_rung_queueing_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path / "in-memory")
    bell.ring()
    assert not any(tmp_path.iterdir())
    (tmp_path / "in-memory").touch()
    (tmp_path / "in-memory-bell").symlink_to(tmp_path / "nowhere" / "at-all")
    bell.ring()
