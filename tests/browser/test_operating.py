"""Staff drains and pauses in a real browser, and reads there who shares the workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django_q.tasks import async_task
from playwright.sync_api import Page, expect

from compute.queue.broker import sharing
from compute.queue.fanout import async_iter
from compute.queue.models import Node
from tests.browser.accounts import make_boss, sign_in
from tests.browser.conftest import Watched
from tests.processes import Processes, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.once]


def test_staff_drains_pauses_and_resumes(
    processes: Processes,
    page: Page,
    watched: Watched,
    pictures: Callable[[str], None],
    settings: Any,
) -> None:
    make_boss(settings)
    _, site = processes.web()
    processes.node(Q_WORKERS="1")
    async_iter("time.sleep", [60] * 12, broker=sharing("account 1", kind="primes", at_once=3))
    async_task("time.sleep", 60, broker=sharing("nightly", priority="background", key="report"))
    page.goto(f"{site}/login/?next=/nodes/")
    sign_in(page, "Sign in")
    expect(page.get_by_role("cell", name="1, 100 %")).to_be_visible()
    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_text("It ends what it has, and claims no more.")).to_be_visible()
    assert Node.objects.get().draining
    page.get_by_label("What is to begin with nothing more").select_option("primes")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("primes is paused")).to_be_visible()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("The queue is paused")).to_be_visible()
    wait_until(lambda: page.get_by_role("rowheader", name="paused primes").count() == 1, 5)
    pictures("nodes-operated")
    page.goto(site)
    expect(page.get_by_text("what you start waits")).to_be_visible()
    pictures("home-paused")
    page.goto(f"{site}/nodes/")
    for name in ("Resume the queue", "Resume primes", "Work again"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("button", name=name)).to_be_hidden()
    expect(page.get_by_text("alive", exact=True)).to_be_visible()
    watched.is_fine(site)
