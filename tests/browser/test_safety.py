"""The admin under the content security policy, and the page to sign in, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from compute.models import Run
from compute.queue.models import Job
from tests.browser.accounts import PASSWORD, make_boss, sign_in
from tests.browser.conftest import Watched
from tests.conftest import run_jobs, started
from tests.processes import Processes, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.once]
Pictures = Callable[[str], None]


@pytest.fixture
def boss(transactional_db: None, settings: Any) -> User:
    return make_boss(settings)


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
    page.locator(".datetimeshortcuts a").first.click()  # "Today"
    expect(page.locator("#id_next_run_0")).not_to_have_value("")
    page.locator("#calendarlink0").click()
    expect(page.locator("#calendarbox0")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#calendarbox0")).to_be_hidden()
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


def text_of(mail: Path) -> str:
    """What a person reads of it."""
    text = message_from_bytes(mail.read_bytes()).get_payload(decode=True)
    assert isinstance(text, bytes)
    return text.decode()


def test_a_person_changes_a_password_and_gets_a_new_one_by_mail(
    boss: User,
    processes: Processes,
    page: Page,
    watched: Watched,
    pictures: Pictures,
    tmp_path: Path,
) -> None:
    boss.email = "boss@example.com"
    boss.save()
    mails = tmp_path / "mails"
    mails.mkdir()
    by_file = {"EMAIL_URL": f"file:///{mails}", "REQUIRE_LOGIN": "1"}
    _, site = processes.web(**by_file)
    processes.node(**by_file)
    page.goto(f"{site}/password/")
    sign_in(page, "Sign in")
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()
    expect(page.get_by_label("Old password")).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Tab")
    page.keyboard.type("short")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your old password was entered incorrectly")).to_be_visible()
    pictures("password")
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("correct-horse")
    page.get_by_label("New password confirmation").fill("correct-horse")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("heading", name="Your password is changed")).to_be_visible()
    pictures("password-changed")
    page.get_by_role("button", name="Sign out boss").click()

    page.get_by_role("link", name="Forgot your password?").click()
    pictures("password-forgotten")
    page.get_by_label("Email").fill("boss@example.com")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()
    wait_until(lambda: any(mails.iterdir()), 10, "the mail")
    (mail,) = mails.iterdir()
    link = wait_until(lambda: re.search(rf"{site}/password/choose/\S+", text_of(mail)), 5)
    page.goto(link[0])
    expect(page.get_by_role("heading", name="Choose a new password")).to_be_visible()
    pictures("password-choose")
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password confirmation").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Sign in").last.click()
    sign_in(page, "Sign in")
    expect(page.get_by_role("button", name="Sign out boss")).to_be_visible()
    watched.is_fine(site)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_private_run_is_shared_by_its_owner(
    boss: User, processes: Processes, browser: Browser, pictures_of: Any, scripts: bool
) -> None:
    _, site = processes.web(RUNS_PRIVATE="1")
    processes.node()
    owner, stranger = (
        browser.new_context(java_script_enabled=scripts).new_page() for _ in range(2)
    )
    owner.goto(site)
    owner.get_by_label("n", exact=True).fill("1000")
    owner.get_by_role("button", name="Split sum").click()
    expect(owner.get_by_text("500,500")).to_be_visible()
    stranger.goto(owner.url)
    expect(stranger.get_by_role("alert")).to_contain_text("ask for it to be shared")
    stranger.goto(site)
    expect(stranger.get_by_text("There are no runs yet.")).to_be_visible()
    expect(stranger.get_by_text("Runs are private here")).to_be_visible()
    owner.get_by_role("button", name="Share").press("Enter")
    expect(owner.get_by_role("button", name="Stop sharing")).to_be_visible()
    expect(owner.get_by_role("button", name="Copy").last).to_be_visible(visible=scripts)
    stranger.goto(owner.url)
    expect(stranger.get_by_text("500,500")).to_be_visible()
    expect(stranger.get_by_role("heading", name="Queue server 1")).to_be_visible()
    expect(stranger.get_by_role("button", name="Share")).to_be_hidden()
    if scripts:  # axe is one
        pictures_of(owner, "run-shared")
        pictures_of(stranger, "run-shared-stranger")
        stranger.goto(f"{site}/nodes/")
        pictures_of(stranger, "nodes-private")
        stranger.goto(site)
        pictures_of(stranger, "home-private")
    owner.get_by_role("button", name="Stop sharing").click()
    expect(owner.get_by_role("button", name="Share")).to_be_visible()
    stranger.goto(owner.url)
    expect(stranger.get_by_role("alert")).to_contain_text("No run of yours")
    for page in (owner, stranger):
        page.context.close()
