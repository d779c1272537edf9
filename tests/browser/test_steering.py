"""A run that is paused, resumed, cancelled after a question, and goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from compute.models import Run
from compute.queue.models import Job
from tests.browser.accounts import make_boss, sign_in
from tests.browser.conftest import Watched
from tests.processes import Processes, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.once]
Pictures = Callable[[str], None]


def test_a_run_is_paused_and_goes_on_and_is_cancelled_and_goes_on(
    processes: Processes, page: Page, watched: Watched, settings: Any, pictures: Pictures
) -> None:
    _, site = processes.web()
    make_boss(settings)
    page.goto(f"{site}/admin/")
    sign_in(page, "Log in")
    processes.node()
    page.goto(f"{site}/")
    page.get_by_label("n", exact=True).fill("3000000000")
    page.get_by_label("Chunk size").fill("10000000")  # a part of a second each
    page.get_by_role("button", name="Split sum").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    run = Run.objects.get()

    def goes_on() -> None:
        before = run.jobs.filter(state=Job.State.DONE).count()
        wait_until(lambda: run.jobs.filter(state=Job.State.DONE).count() > before)

    goes_on()
    page.get_by_label("Priority").select_option("background")
    page.get_by_role("button", name="Set priority").click()
    expect(page.get_by_label("Priority")).to_have_value("background")
    assert run.flow.get().priority == "background"

    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("paused", exact=True)).to_be_visible()
    wait_until(lambda: not run.jobs.filter(state=Job.State.RUNNING).exists())
    done = run.jobs.filter(state=Job.State.DONE).count()
    expect(page.get_by_text(f"{done} of 300 chunks done")).to_be_visible()
    pictures("run-paused")
    assert run.jobs.filter(state=Job.State.DONE).count() == done
    page.get_by_role("button", name="Resume").click()
    goes_on()
    run.flow.pause()  # by somebody else
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    run.flow.resume()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()

    run.flow.update(seconds=100)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading")).to_have_text("Cancel sum 1–3,000,000,000?")
    pictures("run-cancel")
    page.get_by_role("button", name="Keep it").click()
    goes_on()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_text("cancelled by boss")).to_be_visible()
    pictures("run-to-go-on")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    goes_on()
    assert not run.jobs.filter(state=Job.State.CANCELLED).exists()
    watched.is_fine(site)
