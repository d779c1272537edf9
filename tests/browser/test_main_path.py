"""The way of a newcomer through the site, in a real browser with real servers behind it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import global_settings
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.processes import ROOT, Processes

pytestmark = pytest.mark.browser

#: UPDATE_SCREENSHOTS=1 bin/test tests/browser renews the pictures that the README shows.
SCREENSHOTS = ROOT / "docs" / "screenshots"


def picture(page: Page, name: str, folder: Path) -> None:
    target = SCREENSHOTS if os.environ.get("UPDATE_SCREENSHOTS") else folder
    page.screenshot(path=target / f"{name}.png")


def test_a_newcomer_starts_a_run_and_follows_it_to_its_total(
    processes: Processes, page: Page, tmp_path: Path
) -> None:
    _, site = processes.web()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_viewport_size({"width": 900, "height": 360})

    page.goto(site)
    expect(page.get_by_text("No queue server is running")).to_be_visible()
    node = processes.node()
    page.reload()
    expect(page.get_by_text("No queue server is running")).to_be_hidden()

    page.get_by_label("n", exact=True).fill("400000000")
    page.get_by_label("Chunk size").fill("10000000")
    page.get_by_role("button", name="Split sum").click()
    expect(page).to_have_url(re.compile(r"/split-sum-check/\?task_id=[0-9a-f]{32}$"))
    expect(page.get_by_text(re.compile(r"^([5-9]|[123]\d) of 40 chunks done$"))).to_be_visible(
        timeout=60_000
    )
    picture(page, "run", tmp_path)
    expect(page.get_by_text("80,000,000,200,000,000")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("40 of 40 chunks done")).to_be_visible()

    # Ended, it asks no more.
    before = len(asked)
    with pytest.raises(Exception, match="Timeout"):
        page.wait_for_event("request", timeout=2500)
    assert len(asked) == before

    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("row").filter(has_text="sum 1–400,000,000")).to_contain_text("done")
    page.set_viewport_size({"width": 900, "height": 680})
    picture(page, "home", tmp_path)

    assert {urlsplit(url).netloc for url in asked} == {urlsplit(site).netloc}
    assert complaints == []
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
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS  # the site's own
    User.objects.create_superuser("boss", password="boss-password")
    _, site = processes.web()
    processes.node()
    page.goto(f"{site}/admin/")
    page.get_by_label("Username").fill("boss")
    page.get_by_label("Password").fill("boss-password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()

    page.goto(site)
    page.get_by_label("n", exact=True).fill("2000000")
    page.get_by_role("button", name="Sum with a bug").click()  # a POST with a session
    expect(page.get_by_role("alert")).to_contain_text("TypeError", timeout=30_000)
    page.get_by_role("link", name="get_sum_buggy(2000000)").click()
    expect(page.get_by_text("Traceback (most recent call last)")).to_be_visible()

    page.goto(f"{site}/admin/django_q/failure/")
    page.get_by_role("checkbox", name="Select this object").first.check()
    page.get_by_label("Action:").select_option("resubmit")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_text("1 task(s) queued again.")).to_be_visible()
