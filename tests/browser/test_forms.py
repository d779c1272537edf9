"""A form with every field of Django's in a real browser, for everybody; and trying again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from compute.models import Run
from tests.browser.conftest import Watched
from tests.conftest import run_jobs
from tests.processes import Processes

pytestmark = [pytest.mark.browser, pytest.mark.once]
EVERY = {"DJANGO_SETTINGS_MODULE": "tests.every.settings"}


@pytest.fixture
def site(transactional_db: None, processes: Processes) -> str:
    _, site = processes.web(**EVERY)
    return site


def test_everybody_can_fill_in_every_field(
    site: str, page: Page, watched: Watched, pictures: Callable[[str], None]
) -> None:
    page.goto(f"{site}/compute/every/")
    expect(page.get_by_role("heading", name="Start a run")).to_be_visible()
    pictures("fields")
    # Where there is a password the browser would like to know what the other fields are.
    watched.complaints = [each for each in watched.complaints if "autocomplete" not in each]
    watched.is_fine(site)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("This field is required.").first).to_be_visible()
    pictures("fields-refused")


def test_a_text_of_several_lines_takes_the_room_that_it_needs(site: str, page: Page) -> None:
    page.goto(f"{site}/compute/every/")
    area = page.locator(".fields textarea").first

    def height() -> float:
        box = area.bounding_box()
        assert box is not None
        return box["height"]

    line = height() / 4
    assert 24 < line < 32, "four lines and their padding"
    area.fill("line\n" * 9)
    assert height() > 9 * 24
    area.fill("line\n" * 99)
    assert height() < 20 * 24


def test_without_scripts_a_run_is_tried_again_named_and_deleted(
    site: str, browser: Browser
) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{site}/compute/sum/")
    page.get_by_label("n", exact=True).fill("20")
    page.get_by_label("Chunk size").fill("5")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/check/**")
    run_jobs()
    page.reload()
    page.get_by_text("Give it a name or a note").click()
    page.get_by_label("Name", exact=True).fill("Twenty")
    page.get_by_label("Note", exact=True).fill("for <me>")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Twenty", exact=True)).to_be_visible()
    expect(page.get_by_text("for <me>").first).to_be_visible()
    expect(page.get_by_role("row", name="n 20")).to_be_visible()
    page.get_by_role("link", name="Change and run again").click()
    expect(page.get_by_label("n", exact=True)).to_have_value("20")
    expect(page.get_by_label("Chunk size")).to_have_value("5")
    expect(page.get_by_role("link", name="Twenty")).to_be_visible()
    page.get_by_label("n", exact=True).fill("30")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/check/**")
    run_jobs()
    page.reload()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete sum 1–30?")).to_be_visible()
    page.get_by_role("button", name="Delete the run").click()
    page.wait_for_url("**/compute/sum/")
    assert [str(run) for run in Run.objects.all()] == ["Twenty"]
    page.context.close()
