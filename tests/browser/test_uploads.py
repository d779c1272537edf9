"""A file chosen in a real browser: sent in parts, with a bar, over a line that is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from compute.models import Run, Upload
from tests.browser.conftest import WORK_MS, Watched
from tests.processes import Processes
from tests.uploads.data import csv, totals

pytestmark = pytest.mark.browser

UPLOADS = {"DJANGO_SETTINGS_MODULE": "tests.uploads.settings"}
ROWS = 60_000


@pytest.fixture
def site(processes: Processes) -> str:
    _, site = processes.web(**UPLOADS, WEB_CONCURRENCY="2")
    processes.node(**UPLOADS)
    return site


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Größe der Städte.csv"
    path.write_bytes(csv(ROWS))
    return path


def sums_are_right(page: Page) -> None:
    for total in totals(ROWS):
        expect(page.locator("#run")).to_contain_text(str(total), timeout=WORK_MS)
    assert b"".join(Upload.objects.get().content.read()) == csv(ROWS)


def test_a_file_goes_in_over_a_line_that_is_cut(
    page: Page, site: str, file: Path, watched: Watched, pictures: Callable[[str], None]
) -> None:
    """Each third part gets lost: before it arrives, or its answer on the way back."""
    parts: list[Route] = []

    def cut(route: Route) -> None:
        if route.request.method == "PATCH":
            parts.append(route)
            if len(parts) == 2:
                return route.abort("connectionreset")
            if len(parts) == 4:
                route.fetch()
                return route.abort("connectionreset")
        return route.continue_()

    page.route("**/upload/**", cut)
    page.goto(f"{site}/compute/columns/")
    pictures("upload-form")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(f"{site}/compute/columns/check/?task_id={last_run(page)}")
    sums_are_right(page)
    assert len(parts) >= 4
    link = page.get_by_role("link", name="Größe der Städte.csv")
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "Größe der Städte.csv"
    assert Path(download.value.path()).read_bytes() == csv(ROWS)
    pictures("upload-run")


def last_run(page: Page) -> str:
    page.wait_for_url("**/check/**", timeout=WORK_MS)
    return Run.objects.latest("id").task_id


def test_it_is_stopped_and_goes_on_where_it_was(
    page: Page, site: str, file: Path, pictures: Callable[[str], None]
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "PATCH" and route.request.headers["upload-offset"] != "0":
            held.append(route)
        else:
            route.continue_()

    page.route("**/upload/**", hold)
    page.goto(f"{site}/compute/columns/")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("0.3 of 3.6 MB")).to_be_visible()
    told = page.get_by_role("status").filter(has_text="uploaded")
    expect(told).to_have_text("0 % uploaded.")
    expect(told).to_have_class("hidden")  # the bar tells those who see it, and more exactly
    pictures("upload-bar")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("alert")).to_have_text("Stopped; “Start” goes on with it.")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    page.unroute("**/upload/**")
    page.get_by_role("button", name="Start").click()
    sums_are_right(page)
    assert Upload.objects.count() == 1


def test_what_the_site_refuses_is_said_at_the_field(
    page: Page, processes: Processes, tmp_path: Path, watched: Watched
) -> None:
    _, site = processes.web(**UPLOADS, MAX_UPLOAD_MB="1")
    page.goto(f"{site}/compute/columns/")
    (tmp_path / "large.csv").write_bytes(csv(60_000))
    page.get_by_label("CSV file").set_input_files(tmp_path / "large.csv")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("a file may have 1 MB here")
    (tmp_path / "wrong.csv").write_bytes(b"1\n2\n")
    page.get_by_label("CSV file").set_input_files(tmp_path / "wrong.csv")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("alert")).to_contain_text("names of the columns")


def test_a_file_that_is_here_is_kept_for_the_next_run(
    page: Page, site: str, file: Path, pictures: Callable[[str], None]
) -> None:
    page.goto(f"{site}/compute/columns/")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_label("Chunk size").fill("x")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("Größe der Städte.csv is here already")).to_be_visible()
    pictures("upload-kept")
    page.get_by_label("Chunk size").fill("100000")
    page.get_by_role("button", name="Start").click()
    sums_are_right(page)


def test_without_scripts_the_form_brings_it(browser: Browser, site: str, file: Path) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{site}/compute/columns/")
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Start").click()
    sums_are_right(page)
