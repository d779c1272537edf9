"""What a run has come to so far, on its page."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from compute.models import Partial, Run
from compute.queue import pauses
from compute.shapes import Picture, Table
from tests.conftest import check, run_jobs, run_queued
from tests.models.parts import begun, let_pass, parts
from tests.models.uncombined import CHECK, Declare, page
from tests.web.pages.reading import fragment

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000001000000008008030000005a5a5a5a")


def table(results: Iterable[int]) -> Table:
    return Table([[result] for result in results], columns=["primes"])


def test_a_page_shows_it_beside_how_many_chunks_it_is_of(db: None, declare: Declare) -> None:
    run = begun(declare)
    assert "So far" not in fragment(run)
    run_queued(1)
    for html in (fragment(run), page(run)):
        assert "So far: 3 of 10 chunks" in html
        assert "<output>10</output>" in html
    assert check(run, CHECK)["result"] is None
    run_jobs()
    html = page(run)
    assert "So far" not in html
    assert "<output>25</output>" in html


def test_a_table_so_far_is_a_table(db: None, declare: Declare) -> None:
    run = begun(declare, combine=table)
    page(run)
    run_queued(1)
    html = page(run)
    assert "So far: 3 of 10 chunks" in html
    assert "<td" in html.partition("So far")[2]


def test_a_picture_so_far_has_an_address_of_its_own(db: None, declare: Declare) -> None:
    run = begun(declare, combine=lambda results: Picture(PNG + bytes(list(results)), alt="dots"))
    page(run)
    run_queued(1)
    assert "part=3&amp;as=file" in page(run)
    run_queued(1)
    let_pass(3)
    page(run)
    run_queued(1)
    html = page(run)
    assert "part=3" not in html
    assert "part=4&amp;as=file" in html
    run_jobs()
    assert "part=" not in page(run)


def test_a_program_asks_for_none(db: None, declare: Declare) -> None:
    run = begun(declare)
    check(run, CHECK)
    assert not Partial.objects.exists()


def test_it_costs_a_look_one_statement(db: None, declare: Declare) -> None:
    run = begun(declare)
    page(run)
    run_queued(1)

    def statements() -> int:
        with CaptureQueriesContext(connection) as caught:
            fragment(run)
        return len(caught)

    with_a_part = statements()
    declare(name="odd", partial=False)
    assert with_a_part <= statements() + 2  # its outputs are one more


def test_while_its_computation_is_paused_none_is_asked_for(db: None, declare: Declare) -> None:
    run = begun(declare)
    page(run)
    run_queued(1)
    pauses.pause("odd")
    run_queued(1)
    let_pass(3)
    assert "So far: 3 of 10 chunks" in page(run)
    assert not parts(run).unsettled().exists()


def test_what_is_cancelled_keeps_what_it_had(db: None, declare: Declare) -> None:
    run = begun(declare)
    page(run)
    run_queued(1)
    run.cancel("somebody")
    waiting = OrmQ.objects.count()
    html = page(run)
    assert "So far: 3 of 10 chunks" in html
    assert "<output>10</output>" in html
    assert OrmQ.objects.count() == waiting
    assert Run.objects.get().state == Run.State.CANCELLED


@pytest.mark.thorough
def test_trouble_is_for_staff(db: None, declare: Declare, admin: Client) -> None:
    run = begun(declare)
    page(run)
    run_queued(1)
    Partial.objects.update(trouble="ValueError: /srv/secret")
    assert "/srv/secret" not in page(run)
    assert "No newer one can be made: ValueError: /srv/secret" in page(run, admin)


def test_a_computation_that_is_gone_shows_none(db: None, declare: Declare) -> None:
    run = begun(declare)
    page(run)
    run_queued(1)
    Run.objects.update(computation="gone")
    run.refresh_from_db()
    assert "So far" not in page(run)


def test_it_is_taken_away_by_its_address(db: None, declare: Declare) -> None:
    run = begun(declare, combine=table)
    page(run)
    run_queued(1)
    address = f"/compute/odd/result/?task_id={run.task_id}&as=csv"
    assert Client().get(address).status_code == 409
    reply = Client().get(f"{address}&part=")
    assert b"".join(reply.streaming_content) if reply.streaming else reply.content  # type: ignore
    assert "so%20far" in reply["Content-Disposition"] or "so far" in reply["Content-Disposition"]
    run_jobs()
    reply = Client().get(f"{address}&part=")
    assert "so far" not in reply["Content-Disposition"]
