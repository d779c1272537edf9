"""How the engines' statements are asked."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from compute.queue.engines import sql
from compute.queue.models import JobState
from tests import recipes

pytestmark = pytest.mark.django_db


def test_rows_are_all_that_was_found() -> None:
    for position in range(3):
        recipes.job.make(group="a", position=position)
    asked = 'SELECT position FROM queue_job WHERE "group" = %s ORDER BY position'
    assert sql.fetch(asked, ["a"]) == [(0,), (1,), (2,)]
    assert sql.fetch(asked, ["b"]) == []


def test_in_a_statement_without_values_a_percent_sign_is_doubled_too() -> None:
    assert sql.fetch("SELECT 1, 'a %%'") == [(1, "a %")]


def test_what_was_written_is_counted() -> None:
    for position, state in enumerate((JobState.DONE, JobState.DONE, JobState.FAILED)):
        recipes.job.make(group="a", position=position, state=state)
    forget = "DELETE FROM queue_job WHERE state = %s"
    assert [sql.execute(forget, [state]) for state in ("done", "done", "failed")] == [2, 0, 1]


def test_what_the_database_refuses_is_djangos_error() -> None:
    job = recipes.job.make()
    with pytest.raises(IntegrityError), transaction.atomic():
        sql.execute("UPDATE queue_job SET position = -1 WHERE task_id = %s", [job.pk])
