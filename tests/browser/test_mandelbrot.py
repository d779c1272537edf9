"""The Mandelbrot set in a real browser: it fills in, and one clicks into it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from compute.models import Run
from tests.browser.conftest import WORK_MS, Watched
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.browser

#: A spiral in the valley of the seahorses, that takes some seconds.
SEAHORSE = "x=-0.74453&y=0.12173&width=0.0028&pixels=1024&iterations=1500"


def shown(page: Page) -> bool:
    """Whether the picture is there, as large as its name says."""
    return bool(
        page.locator("input[type=image]:visible").evaluate(
            "(each) => { const image = new Image(); image.src = each.src;"
            " return image.complete && `at-${each.width}x${each.height}` === each.name; }"
        )
    )


def test_it_fills_in_and_one_clicks_into_it(
    processes: Processes, page: Page, watched: Watched, pictures: Callable[[str], None]
) -> None:
    _, site = processes.web()
    processes.node()
    page.goto(f"{site}/compute/mandelbrot/?{SEAHORSE}")
    expect(page.get_by_label("width")).to_have_value("0.0028")
    page.get_by_label("Chunk size").fill("103")
    page.get_by_role("button", name="Start").click()
    so_far = page.get_by_role("heading", name=re.compile(r"So far: [23]\d of 40 chunks"))
    expect(so_far).to_be_visible(timeout=WORK_MS)
    wait_until(lambda: shown(page))
    pictures("mandelbrot")

    expect(page.get_by_text("40 of 40 chunks done")).to_be_visible(timeout=WORK_MS)
    expect(so_far).to_be_hidden()
    wait_until(lambda: shown(page))
    assert Axe().run(page).violations_count == 0
    # Each picture was loaded once, however often the page has asked for what is new.
    loaded = Counter(address for address in watched.asked if "/result/" in address)
    assert max(loaded.values()) == 1

    page.locator("input[type=image]:visible").click(position={"x": 128, "y": 384})
    expect(page).to_have_title(re.compile("× 4,286"))
    run = Run.objects.latest("pk")
    assert float(run.parameters["x"]) == pytest.approx(-0.74453 - 0.0028 / 4, abs=1e-6)
    assert float(run.parameters["y"]) == pytest.approx(0.12173 - 0.0028 / 4, abs=1e-6)
    page.get_by_role("button", name="The whole set").click()
    expect(page.get_by_role("heading", name="Mandelbrot set", exact=True)).to_be_visible()
    watched.is_fine(site)


def test_it_needs_no_javascript_and_no_mouse(processes: Processes, browser: Browser) -> None:
    _, site = processes.web()
    node = processes.node()
    page = browser.new_context(java_script_enabled=False, has_touch=True).new_page()
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto(f"{site}/compute/mandelbrot/?x=-1&y=0.25&width=0.5&pixels=64&iterations=50")
    page.get_by_role("button", name="Start").click()
    picture = page.locator("input[type=image]:visible")
    expect(picture).to_have_attribute("name", "at-280x280", timeout=WORK_MS)
    picture.click(position={"x": 280 * 3 / 4, "y": 280 / 4})
    expect(page).to_have_title(re.compile("× 24"))
    run = Run.objects.latest("pk")
    assert float(run.parameters["x"]) == pytest.approx(-0.875, abs=0.003)
    assert float(run.parameters["y"]) == pytest.approx(0.375, abs=0.003)
    expect(picture).to_be_visible(timeout=WORK_MS)
    picture.press("Enter")  # its middle
    expect(page).to_have_title(re.compile("× 96"))
    assert Run.objects.latest("pk").parameters["x"] == run.parameters["x"]
    page.context.close()
    assert node.stop() == 0
