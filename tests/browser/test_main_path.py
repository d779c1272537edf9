"""The way of a newcomer through the site, in a real browser with real servers behind it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accounts import make_boss, sign_in
from tests.browser.conftest import WORK_MS, Watched
from tests.processes import Processes

pytestmark = pytest.mark.browser


def test_a_newcomer_starts_a_run_and_follows_it_to_its_total(
    processes: Processes, page: Page, watched: Watched, pictures: Callable[[str], None]
) -> None:
    _, site = processes.web()

    page.goto(site)
    expect(page.get_by_text("No queue server is running")).to_be_visible()
    node = processes.node()
    page.reload()
    expect(page.get_by_text("No queue server is running")).to_be_hidden()

    page.get_by_label("n", exact=True).fill("400000000")
    page.get_by_label("Chunk size").fill("10000000")
    page.get_by_role("button", name="Split sum").click()
    expect(page).to_have_url(re.compile(r"/split-sum-check/\?task_id=[0-9a-f]{32}$"))
    expect(page.get_by_text(re.compile(r"^[12]\d of 40 chunks done$"))).to_be_visible(
        timeout=WORK_MS
    )
    pictures("run")
    expect(page.get_by_text("80,000,000,200,000,000")).to_be_visible(timeout=WORK_MS)
    expect(page.get_by_text("40 of 40 chunks done")).to_be_visible()

    # Ended, it asks no more.
    before = len(watched.asked)
    with pytest.raises(Exception, match="Timeout"):
        page.wait_for_event("request", timeout=4000)
    assert len(watched.asked) == before

    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("row").filter(has_text="sum 1–400,000,000")).to_contain_text("done")
    page.get_by_role("link", name="3 billion").click()
    expect(page.get_by_text(re.compile(r"^About .* split among"))).to_be_visible()
    pictures("home")
    page.get_by_label("n", exact=True).fill("1000000000000")
    expect(page.get_by_text(re.compile(r"^About .* [hd] split among"))).to_be_visible()
    watched.is_fine(site)
    assert node.stop() == 0


def test_a_wrong_n_is_said_at_the_field_and_can_be_mended(processes: Processes, page: Page) -> None:
    _, site = processes.web()
    page.goto(site)
    field = page.get_by_label("n", exact=True)
    field.fill("1e9")
    page.get_by_role("button", name="Sum in the request").click()
    expect(field).to_have_value("1e9")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_have_text(
        "Give n as a whole number in plain digits, for example n=1000."
    )
    field.fill("1000")
    page.get_by_role("button", name="Sum in the request").click()
    expect(page.get_by_text("500,500")).to_be_visible()


def test_staff_finds_the_traceback_of_a_failed_run_and_retries_it(
    processes: Processes, page: Page, settings: Any
) -> None:
    make_boss(settings)
    _, site = processes.web()
    processes.node()
    page.goto(f"{site}/admin/")
    sign_in(page, "Log in")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()

    page.goto(site)
    page.get_by_label("n", exact=True).fill("2000000")
    page.get_by_role("button", name="Sum with a bug").click()  # a POST with a session
    expect(page.get_by_role("alert")).to_contain_text("TypeError", timeout=WORK_MS)
    page.get_by_role("link", name="get_sum_buggy(2000000)").click()
    expect(page.get_by_text("Traceback (most recent call last)")).to_be_visible()

    page.goto(f"{site}/admin/django_q/failure/")
    page.get_by_role("checkbox", name="Select this object").first.check()
    page.get_by_label("Action:").select_option("resubmit")
    page.locator("button[name=index]").click()  # "Go", "Run" from Django 6.1 on
    expect(page.get_by_text("1 task queued again.")).to_be_visible()
