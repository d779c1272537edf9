"""A password is changed, and a forgotten one replaced by way of the mail."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as configured
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Failure, OrmQ

from compute.models import MailAsked
from compute.queue.models import Job
from tests.conftest import run_jobs

HTML = "text/html"
ANN = {"username": "ann", "password": "ann-password"}
NEW = "correct-horse"
CHANGE = {"old_password": "ann-password", "new_password1": NEW, "new_password2": NEW}
CHOOSE = {"new_password1": NEW, "new_password2": NEW}
FORGOTTEN = "/password/forgotten/"


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user(**ANN, email="ann@example.com")


@pytest.fixture
def mails(settings: Any) -> list[Any]:
    settings.SENDS_MAIL = True
    return mail.outbox


def browser(**headers: str) -> Client:
    return Client(headers={"accept": HTML, **headers})


def sign_in(client: Client, password: str = ANN["password"]) -> Client:
    client.post("/login/", {"username": "ann", "password": password})
    return client


def page(reply: Any) -> str:
    assert reply["Content-Type"].startswith("text/html")
    return str(reply.content.decode())


def is_signed_in(client: Client) -> bool:
    return "Sign out" in page(client.get("/", headers={"accept": HTML}))


# --- change ----------------------------------------------------------------------------


@pytest.mark.thorough
def test_who_is_signed_in_changes_the_password(ann: User) -> None:
    here, there = sign_in(browser()), sign_in(browser())
    assert '<a href="/password/">Password</a>' in page(here.get("/"))
    form = page(here.get("/password/"))
    assert '<label for="id_old_password">' in form
    assert "csrfmiddlewaretoken" in form
    assert "at least 8 characters" in form
    reply = here.post("/password/", CHANGE)
    assert (reply.status_code, reply["Location"]) == (302, "/password/changed/")
    assert "Your password is changed" in page(here.get(reply["Location"]))
    assert is_signed_in(here)
    assert not is_signed_in(there), "other sessions have ended"
    assert not is_signed_in(sign_in(browser()))
    assert is_signed_in(sign_in(browser(), NEW))


def test_a_program_changes_it(ann: User) -> None:
    program = sign_in(Client(enforce_csrf_checks=False))
    assert "old_password, new_password1" in program.get("/password/").json()["detail"]
    wrong = program.post("/password/", {**CHANGE, "new_password2": "another"})
    assert wrong.status_code == 400
    assert wrong.json() == {
        "detail": "new_password2: The two password fields didn’t match.",
        "fields": {"new_password2": "The two password fields didn’t match."},
    }
    missing = program.post("/password/", {})
    assert set(missing.json()["fields"]) == {"old_password", "new_password1", "new_password2"}
    assert program.post("/password/", CHANGE).json() == {"password_changed": "ann"}


def test_it_needs_a_csrf_token(ann: User) -> None:
    client = Client(enforce_csrf_checks=True, headers={"accept": HTML})
    client.force_login(ann)
    assert client.post("/password/", CHANGE).status_code == 403
    client.get("/password/")
    token = client.cookies[configured.CSRF_COOKIE_NAME].value
    assert client.post("/password/", {**CHANGE, "csrfmiddlewaretoken": token}).status_code == 302


@pytest.mark.parametrize("address", [FORGOTTEN, "/login/"])
def test_so_do_forms_for_those_who_have_no_session_yet(ann: User, mails: Any, address: str) -> None:
    client = Client(enforce_csrf_checks=True)
    form = {**ANN, "email": "ann@example.com"}
    assert client.post(address, form).status_code == 403
    client.get(address)
    token = client.cookies[configured.CSRF_COOKIE_NAME].value
    assert client.post(address, form, headers={"x-csrftoken": token}).status_code == 200


@pytest.mark.parametrize("closed", [False, True])
def test_strangers_are_sent_to_sign_in(db: None, settings: Any, closed: bool) -> None:
    settings.REQUIRE_LOGIN = closed
    assert browser().get("/password/")["Location"] == "/login/?next=/password/"
    for reply in (Client().get("/password/"), Client().post("/password/", CHANGE)):
        assert reply.status_code == 403
        assert reply.json()["detail"].startswith("Sign in at http://testserver/login/")


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({**CHANGE, "old_password": "x"}, "Your old password was entered incorrectly"),
        ({**CHANGE, "new_password1": "x", "new_password2": "x"}, "too short"),
        ({**CHANGE, "new_password1": "password", "new_password2": "password"}, "too common"),
        ({**CHANGE, "old_password": "a\0b"}, "Null characters are not allowed"),
        ({}, "This field is required"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(ann: User, form: dict[str, str], said: str) -> None:
    reply = sign_in(browser()).post("/password/", form)
    assert reply.status_code == 200
    assert said in page(reply)
    assert is_signed_in(sign_in(browser()))


@pytest.mark.parametrize("address", ["/password/", "/password/forgotten/", "/login/"])
def test_other_methods_are_refused_in_one_s_own_shape(ann: User, mails: Any, address: str) -> None:
    client = Client() if address == "/login/" else sign_in(Client())
    reply = client.put(address)
    assert (reply.status_code, reply["Allow"]) == (405, "GET, HEAD, POST")
    assert reply.json()["detail"]


@pytest.mark.thorough
def test_a_session_left_open_is_no_place_to_guess(ann: User) -> None:
    client = sign_in(browser())
    statuses = [
        client.post("/password/", {**CHANGE, "old_password": f"guess-{i}"}).status_code
        for i in range(7)
    ]
    assert statuses == [200] * 5 + [429] * 2
    assert client.post("/password/", CHANGE).status_code == 429, "the right one, too"
    assert AccessAttempt.objects.get().username == "ann"
    ann.refresh_from_db()
    assert ann.check_password(ANN["password"])


def test_the_admin_s_own_page_leads_to_this_one(admin: Client) -> None:
    for reply in (
        admin.get("/admin/password_change/"),
        admin.post("/admin/password_change/", {"old_password": "x"}),
    ):
        assert (reply.status_code, reply["Location"]) == (302, "/password/")
    assert 'href="/admin/password_change/"' in page(admin.get("/admin/"))


def test_the_operator_sets_one(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: NEW)
    call_command("changepassword", "ann")
    assert is_signed_in(sign_in(browser(), NEW))


def test_staff_sets_one_in_the_admin(ann: User, admin: Client) -> None:
    form = {"password1": NEW, "password2": NEW, "usable_password": "true", "set-password": "1"}
    assert admin.post(f"/admin/auth/user/{ann.pk}/password/", form).status_code == 302
    assert is_signed_in(sign_in(browser(), NEW))


# --- a forgotten one ---------------------------------------------------------------------


def link_in(mails: list[Any]) -> str:
    """Where the newest mail leads to, as a path."""
    found = re.search(r"http://testserver(/password/choose/\S+)", mails[-1].body)
    assert found, mails[-1].body
    return found[1]


def ask(email: str = "ann@example.com", client: Client | None = None) -> Any:
    reply = (client or browser()).post(FORGOTTEN, {"email": email})
    run_jobs()
    return reply


@pytest.mark.thorough
@pytest.mark.parametrize("closed", [False, True])
def test_a_forgotten_password_is_replaced_by_way_of_the_mail(
    ann: User, mails: list[Any], settings: Any, closed: bool
) -> None:
    settings.REQUIRE_LOGIN = closed
    there = sign_in(browser())
    client = browser()
    assert f'<a href="{FORGOTTEN}">Forgot your password?</a>' in page(client.get("/login/"))
    assert '<label for="id_email">' in page(client.get(FORGOTTEN))
    reply = ask("Ann@Example.com", client)
    assert (reply.status_code, reply["Location"]) == (302, "/password/forgotten/sent/")
    assert "Look into your mail" in page(client.get(reply["Location"]))
    (sent,) = mails
    assert (sent.to, sent.from_email) == (["ann@example.com"], settings.DEFAULT_FROM_EMAIL)
    assert "the account “ann”" in sent.body
    assert "within 60 minutes" in sent.body
    form = client.get(link_in(mails), follow=True)
    assert "token" not in form.request["PATH_INFO"]
    assert "Choose a new password" in page(form)
    here = form.request["PATH_INFO"]
    assert "didn’t match" in page(client.post(here, {**CHOOSE, "new_password2": "x"}))
    assert client.post(here, CHOOSE)["Location"] == "/password/chosen/"
    assert "You can sign in with it now." in page(client.get("/password/chosen/"))
    assert client.get("/password/").status_code == 302, "nobody was signed in"
    assert is_signed_in(sign_in(browser(), NEW))
    assert there.get("/password/").status_code == 302, "sessions of before have ended"
    again = browser().get(link_in(mails), follow=True)
    assert again.status_code == 404
    assert "This link has been used" in page(again)


def test_a_program_does_the_same(ann: User, mails: list[Any]) -> None:
    program = Client()
    assert program.get(FORGOTTEN).json()["detail"].startswith("POST email")
    assert program.post(FORGOTTEN, {"email": "x"}).json()["fields"]["email"]
    known = program.post(FORGOTTEN, {"email": "ann@example.com"})
    assert known.json()["detail"].startswith("If an account has this address")
    run_jobs()
    form = program.get(link_in(mails), follow=True)
    assert form.json()["detail"].startswith("POST new_password1 and new_password2")
    here = form.request["PATH_INFO"]
    assert program.post(here, {}).status_code == 400
    assert program.post(here, CHOOSE).json() == {"password_changed": "ann"}
    assert program.post(here, CHOOSE).status_code == 404
    assert list(program.post(here, CHOOSE).json()) == ["detail"]


def test_nobody_learns_whether_an_address_is_known(ann: User, mails: list[Any]) -> None:
    User.objects.create_user("off", password="x", email="off@example.com", is_active=False)
    User.objects.create_user("none", email="none@example.com")  # no password, so none to forget
    replies = []
    Client().post(FORGOTTEN, {"email": "first@example.com"})  # makes the flow of all others' mails
    MailAsked.objects.all().delete()
    for email in ("ann@example.com", "bob@example.com", "off@example.com", "none@example.com"):
        with CaptureQueriesContext(connection) as queries:
            reply = Client().post(FORGOTTEN, {"email": email})
        replies.append((reply.status_code, reply.content, len(queries)))
        MailAsked.objects.all().delete()
    assert len(set(replies)) == 1
    run_jobs()
    assert [sent.to for sent in mails] == [["ann@example.com"]]


def test_every_account_of_the_address_gets_its_link(ann: User, mails: list[Any]) -> None:
    User.objects.create_user("ann2", password="x", email="ANN@example.com")
    ask()
    assert {re.findall("“(.+?)”", sent.body)[0] for sent in mails} == {"ann", "ann2"}
    assert Job.objects.get().result == 2


def test_no_link_and_no_name_stands_in_the_queue(ann: User, mails: list[Any]) -> None:
    browser().post(FORGOTTEN, {"email": "ann@example.com"})
    task = OrmQ.objects.get().task
    assert task["args"] == ("ann@example.com", "http://testserver")
    assert Job.objects.get().name == "password mail"


def test_a_name_that_is_not_the_site_s_gets_into_no_mail(ann: User, mails: list[Any]) -> None:
    reply = browser(host="evil.example").post(FORGOTTEN, {"email": "ann@example.com"})
    assert reply.status_code == 400
    headers = {
        "x-forwarded-host": "evil.example",
        "host": "testserver",
        "x-forwarded-proto": "https",
    }
    browser(**headers).post(FORGOTTEN, {"email": "ann@example.com"})
    run_jobs()
    (sent,) = mails
    assert "https://testserver/password/choose/" in sent.body
    assert "evil" not in sent.body


def test_a_link_works_for_an_hour(ann: User, mails: list[Any], monkeypatch: Any) -> None:
    ask()
    real = default_token_generator._now()
    monkeypatch.setattr(
        type(default_token_generator), "_now", lambda self: real + timedelta(minutes=61)
    )
    assert browser().get(link_in(mails), follow=True).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "x/y/",
        "MQ/x-y/",
        "MQ/set-password/",
        "%FF/x/",
        "LTE/x/",
        "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5/x/",
    ],
)
def test_a_link_that_is_none_says_so(ann: User, path: str) -> None:
    for client in (browser(), Client()):
        for reply in (
            client.get(f"/password/choose/{path}"),
            client.post(f"/password/choose/{path}", CHOOSE),
        ):
            assert reply.status_code == 404


@pytest.mark.thorough
def test_a_reset_ends_no_pause(ann: User, mails: list[Any]) -> None:
    guesser = {"username": "ann", "password": "guess"}
    assert [browser().post("/login/", guesser).status_code for _ in range(6)][-1] == 429
    ask()
    client = browser()
    here = client.get(link_in(mails), follow=True).request["PATH_INFO"]
    client.post(here, CHOOSE)
    wait = client.post("/login/", {**ANN, "password": NEW})
    assert wait.status_code == 429
    elsewhere = browser(**{"x-forwarded-for": "203.0.113.9"})
    assert is_signed_in(sign_in(elsewhere, NEW))


def test_a_mail_that_can_not_be_sent_is_listed_as_a_failed_task(
    ann: User, mails: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError("no mail server")

    monkeypatch.setattr(User, "email_user", refused)
    assert ask().status_code == 302
    assert "no mail server" in Failure.objects.get().result


def test_a_site_that_sends_no_mail_says_who_helps(ann: User, settings: Any) -> None:
    assert settings.SENDS_MAIL is False
    reply = browser().get(FORGOTTEN)
    assert reply.status_code == 404
    assert "<h1>Ask for a new password</h1>" in page(reply)
    program = Client().post(FORGOTTEN, {"email": "ann@example.com"})
    assert "ask its staff, who can give you a new password" in program.json()["detail"]
    assert not Job.objects.exists()


# --- how often -----------------------------------------------------------------------------


@pytest.mark.thorough
def test_one_address_asks_for_five_mails_an_hour(ann: User, mails: list[Any]) -> None:
    for number in range(5):
        assert ask(f"{number}@example.com").status_code == 302
    refused = browser(cookie="x=y").post(FORGOTTEN, {"email": "ann@example.com"})
    assert (refused.status_code, refused["Retry-After"]) == (429, "3600")
    assert Job.objects.count() == 5
    other = browser(**{"x-forwarded-for": "203.0.113.9"})
    assert ask(client=other).status_code == 302
    MailAsked.objects.update(asked_at=timezone.now() - timedelta(minutes=61))
    assert ask().status_code == 302


def test_one_mailbox_gets_three_mails_an_hour_whoever_asks(ann: User, mails: list[Any]) -> None:
    for number in range(5):
        client = browser(**{"x-forwarded-for": f"203.0.113.{number}"})
        reply = ask(("ann@example.com", "ANN@example.com")[number % 2], client)
        assert (reply.status_code, reply["Location"]) == (302, "/password/forgotten/sent/")
    assert len(mails) == 3


def test_what_is_kept_of_it_is_no_address(ann: User, mails: list[Any]) -> None:
    ask()
    assert all(re.fullmatch("[0-9a-f]{32}", row.key) for row in MailAsked.objects.all())
    assert not Session.objects.exists()
