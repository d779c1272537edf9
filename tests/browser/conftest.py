"""A real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.processes import ROOT
from tests.selection import chromium

#: A machine that runs five tests at once answers later than Playwright expects by itself, 5 s.
expect.set_options(timeout=20_000)
#: For what workers have to do first, however slow it is beside others: a run of 400 million took
#: from ten seconds to more than ninety.
WORK_MS = 300_000


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    path = chromium()
    assert path, "chromium is not installed: apt-get install chromium"
    return {
        "executable_path": path,
        "args": [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    }


@pytest.fixture(scope="session")
def base_url() -> None:
    """Each test has a server of its own. (pytest-django's fixture warns in pytest 9.)"""


class Watched:
    """What a page asks for and complains of while it is open."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def is_fine(self, site: str) -> None:
        """No other host was asked, and the console, where the CSP would report, is empty."""
        assert {urlsplit(url).netloc for url in self.asked} <= {urlsplit(site).netloc}
        assert self.complaints == []


@pytest.fixture
def watched(page: Page) -> Watched:
    return Watched(page)


#: UPDATE_SCREENSHOTS=1 bin/test tests/browser renews the pictures that the README shows.
SCREENSHOTS = ROOT / "docs" / "screenshots"
THEMES = ("light", "dark")
SIZES = {"": (1000, 720), "-phone": (375, 800)}


@pytest.fixture
def pictures(page: Page, pictures_of: Callable[[Page, str], None]) -> Callable[[str], None]:
    """The same of the test's own page."""
    return lambda name: pictures_of(page, name)


@pytest.fixture
def pictures_of(tmp_path: Path) -> Callable[[Page, str], None]:
    """Looks at a page as everybody would: axe finds nothing, nothing is cut off; pictures."""
    folder = SCREENSHOTS if os.environ.get("UPDATE_SCREENSHOTS") else tmp_path

    def take(page: Page, name: str) -> None:
        for theme, (size, (width, height)) in product(THEMES, SIZES.items()):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": height})
            found = Axe().run(page)
            assert found.violations_count == 0, f"{name} {theme}{size}: {found.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            if not (theme == "dark" and size):
                shade = "-dark" if theme == "dark" else ""
                # (To hide the caret, styles would be left on inputs, which htmx takes along.)
                page.screenshot(
                    path=folder / f"{name}{size}{shade}.png", full_page=True, caret="initial"
                )
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1000, "height": 720})

    return take
