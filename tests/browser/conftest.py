"""A real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

from typing import Any

import pytest

from tests.database import chromium


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
