"""The failed chunks of a run on its page, and who is told what can be done about them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.plans import run_of
from compute.queue.fanout import async_iter
from tests.conftest import check, run_jobs, run_queued, started
from tests.web.pages.reading import page

RETRY = "can retry failed chunks"


def failing(chunks: int) -> Run:
    """A run all of whose chunks fail, each with its own error."""
    names = [f"/nowhere/{number}" for number in range(1, chunks + 1)]
    group = async_iter("os.path.getsize", names, task_name="files")
    run = run_of(group, SUM, {"n": chunks}, chunk_size=1, chunks=chunks)
    run_jobs()
    return run


def test_the_first_ones_are_listed_and_how_many_more_there_are(db: None) -> None:
    html = page(failing(13).get_absolute_url())
    assert "13 of 13 chunks failed, the first being number 1:" in html
    listed = html.partition("What went wrong")[2].partition("</section>")[0]
    places = [listed.find(f"files, chunk {number} of 13:") for number in range(1, 14)]
    assert -1 not in places[:10]
    assert places[:10] == sorted(places[:10])
    assert places[10:] == [-1, -1, -1]
    assert "3 more failed." in listed


def test_of_few_there_are_no_more(run_with_a_failure: Run) -> None:
    assert "more failed." not in page(run_with_a_failure.get_absolute_url())


@pytest.mark.parametrize("who", ["owner", "nobody"])
def test_who_may_not_retry_is_told_who_may(run_with_a_failure: Run, who: str) -> None:
    run = run_with_a_failure
    if who == "owner":
        run.account = User.objects.create_user("ann")
        run.save()
    html = page(run.get_absolute_url())
    sentence = f"Who started it {RETRY}, and the site’s staff" if who == "owner" else ""
    assert (sentence or f"The site’s staff {RETRY}") in html
    address = run.get_absolute_url().replace("?", "%3F").replace("=", "%3D")
    assert f': <a href="/login/?next={address}">sign in</a>.' in html
    signed_in = Client()
    signed_in.force_login(User.objects.create_user("bob"))
    html = page(run.get_absolute_url(), signed_in)
    assert RETRY in html
    assert ">sign in</a>" not in html


def test_who_may_retry_has_the_button_instead(run_with_a_failure: Run, admin: Client) -> None:
    html = page(run_with_a_failure.get_absolute_url(), admin)
    assert ">Retry failed chunks</button>" in html
    assert RETRY not in html


def test_of_one_piece_it_is_the_task(db: None) -> None:
    run = started("/bug-sum-start/", n=1234567)
    run_jobs()
    assert "The site’s staff can retry the task" in page(run.get_absolute_url())


def test_a_combine_that_failed_is_told_of_too(db: None, declare: Any, admin: Client) -> None:
    def broken(results: Any) -> Any:
        raise ValueError("no")

    declare(name="primes", combine=broken)
    run = started("/compute/primes/start/", n=100, chunk_size=50)
    run_queued()
    check(run)
    run_jobs()
    html = page(run.get_absolute_url())
    assert "The site’s staff can combine it again" in html
    assert ">Combine again</button>" in page(run.get_absolute_url(), admin)


def test_of_what_was_cancelled_nothing_is_told(run_with_a_failure: Run) -> None:
    Run.objects.update(state=Run.State.CANCELLED)
    assert RETRY not in page(run_with_a_failure.get_absolute_url())
