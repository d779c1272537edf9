"""Runs of a computation `odd`, which nothing has combined yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client

from compute.models import Run
from compute.models.notes import refresh
from tests.conftest import check, run_queued, started

START = "/compute/odd/start/"
CHECK = "/compute/odd/check/"
HTML = {"accept": "text/html"}
Declare = Callable[..., None]


def a_run(declare: Declare, **fields: Any) -> Run:
    """A run of two chunks with the results 15 and 10, which nothing has combined yet."""
    declare(name="odd", **fields)
    run = started(START, n=100, chunk_size=50)
    run_queued()
    assert [job.result for job in run.jobs] == [15, 10]
    refresh(run)
    return run


def page(run: Run, client: Client | None = None) -> str:
    reply = (client or Client()).get(run.get_absolute_url(), headers=HTML)
    assert reply.status_code == 200
    return reply.content.decode()


def said(run: Run) -> tuple[str, Any, str | None]:
    reply = check(run, CHECK)
    return reply["status"], reply["result"], reply["error"]


def crash() -> Any:
    raise ZeroDivisionError("/srv/secret")
