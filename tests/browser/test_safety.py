"""The admin under the content security policy, and the page to sign in, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import global_settings
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect

from compute.models import Run
from compute.queue.models import Job
from tests.browser.conftest import Watched
from tests.conftest import run_jobs, started
from tests.processes import Processes

pytestmark = [pytest.mark.browser, pytest.mark.once]
PASSWORD = "boss-password"
Pictures = Callable[[str], None]


@pytest.fixture
def boss(transactional_db: None, settings: Any) -> User:
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS  # the site's own
    return User.objects.create_superuser("boss", password=PASSWORD)


def sign_in(page: Page, button: str, password: str = PASSWORD) -> None:
    page.get_by_label("Username").fill("boss")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name=button).click()


def test_the_admin_works_under_the_policy(
    boss: User, processes: Processes, page: Page, watched: Watched
) -> None:
    _, site = processes.web()
    started("/bug-sum-start/", n=1234567)
    run_jobs()
    job, run = Job.objects.get(), Run.objects.get()
    page.goto(f"{site}/admin/")
    sign_in(page, "Log in")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    for name, arguments in (
        ("index", []),
        ("django_q_failure_changelist", []),
        ("django_q_failure_change", [job.pk]),
        ("django_q_ormq_changelist", []),
        ("django_q_schedule_add", []),
        ("queue_job_changelist", []),
        ("queue_job_change", [job.pk]),
        ("compute_run_change", [run.pk]),
        ("auth_user_change", [boss.pk]),
        ("axes_accessattempt_changelist", []),
    ):
        page.goto(f"{site}{reverse(f'admin:{name}', args=arguments)}")
        expect(page.locator("#content h1").first).to_be_visible()
    # What needs the admin's scripts: the boxes that are ticked, the calendar, the theme.
    page.goto(f"{site}{reverse('admin:django_q_failure_changelist')}")
    page.get_by_label("Select this object for an action").check()
    expect(page.get_by_text("1 of 1 selected")).to_be_visible()
    page.goto(f"{site}{reverse('admin:django_q_schedule_add')}")
    page.get_by_role("link", name="Today").click()
    expect(page.locator("#id_next_run_0")).not_to_have_value("")
    page.get_by_role("link", name="Choose a Date").click()
    expect(page.locator("#calendarbox0")).to_be_visible()
    page.get_by_role("button", name="Toggle theme").first.click()
    watched.is_fine(site)


def test_a_person_signs_in_to_a_closed_site_and_out_again(
    boss: User, processes: Processes, page: Page, watched: Watched, pictures: Pictures
) -> None:
    _, site = processes.web(REQUIRE_LOGIN="1")
    page.goto(f"{site}/nodes/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Username")).to_be_focused()
    sign_in(page, "Sign in", "wrong")
    expect(page.get_by_role("alert")).to_contain_text("correct username")
    pictures("sign-in")
    sign_in(page, "Sign in")
    expect(page.get_by_role("heading", name="Queue servers")).to_be_visible()
    expect(page).to_have_url(f"{site}/nodes/")
    page.get_by_role("button", name="Sign out boss").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    watched.is_fine(site)
