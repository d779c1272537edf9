"""Each page's buttons and live parts in a real browser; for everybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from django_q.models import OrmQ
from playwright.sync_api import Browser, Page, expect

from compute.computations.sums import SUM
from compute.models import Run
from compute.models.plans import run_of
from compute.queue.fanout import async_iter
from compute.queue.models import Job, Node
from tests.browser.accounts import make_boss, sign_in
from tests.browser.conftest import WORK_MS, Watched
from tests.conftest import run_queued
from tests.processes import Processes, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.once]
Pictures = Callable[[str], None]


def start(page: Page, site: str, n: int, chunk_size: int) -> Run:
    page.goto(site)
    page.get_by_label("n", exact=True).fill(str(n))
    page.get_by_label("Chunk size").fill(str(chunk_size))
    page.get_by_role("button", name="Split sum").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("sum 1–")
    return Run.objects.latest("id")


def log_in(page: Page, site: str, settings: Any) -> None:
    make_boss(settings)
    page.goto(f"{site}/admin/")
    sign_in(page, "Log in")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_run_is_cancelled_and_run_again_by_keyboard_alone(
    processes: Processes, page: Page, watched: Watched, pictures: Pictures
) -> None:
    _, site = processes.web()
    processes.node()
    page.goto(site)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")

    def tab_to(name: str, role: Any = "button") -> None:
        target = page.get_by_role(role, name=name, exact=True)
        for _ in range(30):
            page.keyboard.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"thirty times Tab, and not at {name}")

    tab_to("n", "textbox")
    page.keyboard.type("3000000000")
    tab_to("Chunk size", "textbox")
    page.keyboard.type("1000000000")  # chunks of minutes
    tab_to("Split sum")
    page.keyboard.press("Enter")
    expect(page.get_by_text("2 chunks")).to_be_visible()  # at work
    workers = [job.worker for job in Run.objects.get().jobs.filter(state=Job.State.RUNNING)]
    assert len(workers) == 2
    page.goto(f"{site}/nodes/")
    expect(page.get_by_text("2, 2 at work")).to_be_visible()
    pictures("nodes")
    page.go_back()
    tab_to("Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_text("cancelled by who started it")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    wait_until(lambda: Node.objects.get().restarts == 2, 5, "both workers are new")
    pictures("run-cancelled")

    tab_to("Chunk size", "textbox")
    page.keyboard.press("Control+a")
    page.keyboard.type("x")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Give chunk_size as a whole number")
    page.get_by_label("Chunk size").fill("3000000000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("0 of 1 chunk done")).to_be_visible()
    assert Run.objects.count() == 2
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("cancelled by who started it")).to_be_visible()
    assert [text for text in watched.complaints if "400" not in text] == []


def test_a_failed_run_tells_staff_why_and_is_retried(
    processes: Processes, page: Page, settings: Any, tmp_path: Path, pictures: Pictures
) -> None:
    log_in(page, site := processes.web()[1], settings)
    processes.node(FILES=str(tmp_path))
    names = [f"day-{number}" for number in range(1, 31)]
    for name in names[:-1]:
        tmp_path.joinpath(name).write_text("1234")
    group = async_iter("tests.queue.functions.size_of", names, task_name="sizes of files")
    run = run_of(group, SUM, {"n": 30}, chunk_size=1, chunks=30)
    page.goto(site + run.get_absolute_url())
    expect(page.get_by_role("alert")).to_contain_text("1 of 30 chunks failed", timeout=WORK_MS)
    expect(page.get_by_text("29 of 30 chunks done, 1 failed")).to_be_visible()
    expect(page.get_by_text("Called with ('day-30')")).to_be_visible()
    pictures("run-failed")
    page.get_by_text("Traceback", exact=True).click()
    expect(page.get_by_text("Traceback (most recent call last)")).to_be_visible()
    tmp_path.joinpath("day-30").write_text("1234")
    page.get_by_role("button", name="Retry failed chunks").click()
    expect(page.get_by_text("30 of 30 chunks done")).to_be_visible(timeout=WORK_MS)
    expect(page.get_by_text("120", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Retry failed chunks")).to_be_hidden()
    # What ended while it was looked at has the buttons of one that has ended, unasked.
    expect(page.get_by_role("button", name="Run again")).to_be_visible()


def test_chunk_sizes_are_tried_by_one_press(
    processes: Processes, page: Page, watched: Watched, pictures: Pictures
) -> None:
    _, site = processes.web()
    processes.node()
    page.goto(f"{site}/compute/sum/chunk-sizes/")
    page.get_by_label("n", exact=True).fill("30000000")
    page.get_by_role("button", name="Try several sizes").click()
    expect(page.get_by_text(re.compile(r"^[2-6] of 7 sizes tried"))).to_be_visible(timeout=WORK_MS)
    expect(page.get_by_role("row")).to_have_count(8, timeout=WORK_MS)
    expect(page.get_by_text("sizes tried")).to_be_hidden(timeout=10_000)
    pictures("chunk-sizes")
    page.get_by_role("link", name=re.compile(r"^Chunks of 30,000,000:")).click()
    expect(page.get_by_text("1 of 1 chunk done")).to_be_visible()
    watched.is_fine(site)


def test_what_is_typed_is_estimated_beside_what_is_unfinished(
    processes: Processes, page: Page, queue_server: Node
) -> None:
    _, site = processes.web()
    run = run_of(async_iter("time.sleep", [9] * 50, task_name="naps"), SUM, {"n": 50}, chunks=50)
    Run.objects.filter(pk=run.pk).update(expected_seconds=450)
    run.jobs.filter(position__lt=2).update(
        state=Job.State.RUNNING, started_at=Now(), node=queue_server
    )
    page.goto(f"{site}/?n=3000000000")
    told = page.get_by_text(re.compile(r"^Starts in about .*, done in about .*: you get half"))
    expect(told).to_be_visible()
    before = told.text_content()
    page.get_by_label("n", exact=True).fill("300000000000")
    expect(
        page.get_by_text(re.compile("^Starts in about .* (min|h|d): you get half"))
    ).to_be_visible()
    assert told.text_content() != before
    page.get_by_label("n", exact=True).fill("x")
    expect(told).to_be_hidden()


def test_a_part_that_is_in_use_or_hidden_stays_as_it_is(processes: Processes, page: Page) -> None:
    _, site = processes.web()
    start(page, site, 1000, 10)
    page.goto(site)
    would_ask = """
        document.querySelector("#runs-list").dispatchEvent(
            new CustomEvent("htmx:beforeRequest", {bubbles: true, cancelable: true}))
    """
    assert page.evaluate(would_ask)
    page.get_by_label("Find by id, name or n").focus()
    assert not page.evaluate(would_ask)
    page.get_by_label("n", exact=True).focus()
    assert page.evaluate(would_ask)
    page.get_by_text("split into 100 chunks").select_text()
    assert not page.evaluate(would_ask)
    page.evaluate("getSelection().removeAllRanges()")
    assert page.evaluate(would_ask)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    assert not page.evaluate(would_ask)


def test_a_screen_reader_is_told_of_quarters_and_of_the_end(
    processes: Processes, page: Page
) -> None:
    _, site = processes.web()
    run = start(page, site, 8, 1)
    announcer = page.locator("#announcer")
    expect(announcer).to_have_text("sum 1–8: queued")
    for done, said in ((1, "0 %"), (2, "25 %"), (3, "25 %"), (5, "50 %")):
        run.jobs.filter(position__lt=done).update(state=Job.State.DONE, result=1)
        expect(page.get_by_text(f"{done} of 8 chunks done")).to_be_visible()
        expect(announcer).to_have_text(f"sum 1–8: {said} done")
    run.jobs.update(state=Job.State.DONE, result=1)
    OrmQ.objects.all().delete()
    expect(announcer).to_have_text("sum 1–8: 100 % done")  # and waits to be combined
    run_queued()
    expect(announcer).to_have_text("sum 1–8: done")
    expect(page).to_have_title("sum 1–8: done · sumsite")


def test_everything_but_liveness_works_without_javascript(
    processes: Processes, browser: Browser
) -> None:
    _, site = processes.web()
    page = browser.new_context(java_script_enabled=False).new_page()
    run = start(page, site, 30, 10)
    assert page.locator('meta[http-equiv="refresh"]').count() == 1
    run.jobs.filter(position=0).update(state=Job.State.DONE)
    page.reload()
    expect(page.get_by_text("1 of 3 chunks done")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("cancelled by who started it")).to_be_visible()
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_text("0 of 3 chunks done")).to_be_visible()
    page.goto(f"{site}/?state=cancelled")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Find by id, name or n").fill("30")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.context.close()


def test_the_other_pages_are_for_everybody_too(
    processes: Processes, page: Page, pictures: Pictures
) -> None:
    _, site = processes.web()
    for name, path in (
        ("computation", "/compute/primes/"),
        ("not-found", "/sum-check/?task_id=1"),
        ("form-error", "/split-sum-start/?n=1e9&chunk_size=0"),
        ("sum-in-the-request", "/sum-sync/?n=1000"),
    ):
        page.goto(site + path)
        pictures(name)
