"""`manage.py prune`: what it says, and the room that it gives back."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from tests.aged import a_run, counts, make_old_runs


def command(*arguments: str) -> str:
    printed = StringIO()
    call_command("prune", *arguments, stdout=printed)
    return printed.getvalue()


@pytest.mark.thorough
def test_the_command_says_what_it_does(db: None, settings: Any) -> None:
    a_run()
    assert command("--dry-run") == "Would remove: 5 jobs, 1 run, 5 tasks.\n"
    assert command("--days", "32") == "Removed: nothing.\n"
    assert command() == "Removed: 5 jobs, 1 run, 5 tasks.\n"
    assert command("--days", "0") == "Removed: nothing. 0 days keep runs and tasks for ever.\n"


@pytest.mark.parametrize("days", ["-1", "nan", "-1e400"])
def test_days_that_are_no_number_of_days_are_refused(db: None, days: str) -> None:
    with pytest.raises(CommandError, match="--days has to be a number, 0 or more"):
        command(f"--days={days}")


@pytest.mark.parametrize("days", ["99999999999", "1e400"])
def test_longer_ago_than_there_are_dates_is_nothing(db: None, days: str) -> None:
    assert command("--days", days) == "Removed: nothing.\n"


@pytest.mark.postgres
def test_postgres_vacuums_itself(db: None) -> None:
    with pytest.raises(CommandError, match="by itself"):
        command("--vacuum")


@pytest.mark.thorough
def test_pruned_rooms_are_used_again(transactional_db: None) -> None:
    """Many old runs go; as many new ones fit where they were."""
    make_old_runs(40, 50)
    assert command() == "Removed: 2,000 jobs, 40 runs, 2,000 tasks.\n"
    assert counts()["Job"] == counts()["Task"] == counts()["Run"] == 0
    if connection.vendor == "sqlite":
        before = pages()
        assert free() > before / 2
        make_old_runs(36, 50)
        assert pages() < before * 1.05
        command("--vacuum")
        assert free() == 0
        assert pages() < before / 2


def pages() -> int:
    return pragma("page_count")


def free() -> int:
    return pragma("freelist_count")


def pragma(name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {name}")
        return int(cursor.fetchone()[0])
