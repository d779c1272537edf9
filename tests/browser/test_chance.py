"""A run of chance: its seed on the form and on its page, and the same result again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from compute.models import Run
from tests.browser.conftest import Watched
from tests.clones import Clone
from tests.processes import Processes
from tests.test_cookbook import RECIPES

pytestmark = [pytest.mark.browser, pytest.mark.once]


def test_a_run_is_repeated_by_its_seed_or_drawn_anew(
    processes: Processes,
    page: Page,
    watched: Watched,
    pictures: Callable[[str], None],
    tmp_path: Path,
) -> None:
    clone = Clone(tmp_path / "clone", processes)
    clone.write(RECIPES["pi"].files)
    clone.node()
    site = clone.web()
    page.goto(f"{site}/compute/pi/")
    page.get_by_label("n", exact=True).fill("100000")
    page.get_by_label("Seed").fill("42")
    pictures("chance-form")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("seed 42")).to_be_visible()
    again = page.get_by_role("button", name="Run again")
    expect(again).to_be_visible()
    pictures("chance-run")

    page.get_by_label("Seed").fill("x")
    again.click()
    expect(page.get_by_text("Give seed as a whole number")).to_be_visible()
    pictures("chance-wrong")
    page.get_by_label("Seed").fill("42")
    again.click()
    expect(again).to_be_visible()
    page.get_by_label("Seed").fill("")
    again.click()
    expect(again).to_be_visible()
    expect(page.get_by_text("seed 42")).not_to_be_visible()
    expect(page.get_by_text("100 %")).to_be_visible()

    first, second, third = Run.objects.order_by("pk")
    assert (first.seed, second.seed) == (42, 42)
    assert first.result == second.result is not None
    assert third.seed not in (None, 42)
    assert page.url.endswith(third.task_id)
    assert [complaint for complaint in watched.complaints if "400" not in complaint] == []
