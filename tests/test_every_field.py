"""Every field that Django has, in a computation's form: by page, by curl and in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.forms import fields as all_fields
from django.test import Client

from compute.computation import Computation
from compute.computations import all_computations
from compute.management import terminal
from compute.models import Run
from tests.conftest import run_jobs
from tests.every.computations.every import EVERY, KINDS, form_of, option, texts, titled
from tests.filling import sent_by

START, PAGE, AGAIN = (f"/compute/every/{page}" for page in ("start/", "", "again/"))
#: Fields that are none by themselves, and those of files.
OTHERS = {"Field", "MultiValueField", "FileField", "ImageField"}
Offer = Callable[..., Computation]


@pytest.fixture
def offer(db: None, declare: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Offer:
    """Declares `every` with these fields; runs in a terminal are run here and now."""

    def end(run: Run) -> None:
        run_jobs()
        run.refresh_from_db()

    def offer(*names: str, **more: Any) -> Computation:
        fields = {name: getattr(EVERY, name) for name in EVERY.__dataclass_fields__}
        declare(**{**fields, "form": form_of(*names, **more)})
        return all_computations()["every"]

    monkeypatch.setattr(terminal, "follow", end)
    return offer


def newest(name: str) -> Any:
    """What the newest run's function gets, and that a worker has it."""
    run_jobs()
    run = Run.objects.latest("pk")
    value = all_computations()["every"].cleaned(run.given, run.parameters)[name]
    assert (run.state, run.result) == (Run.State.DONE, [repr(value)])
    return value


def same(name: str) -> bool:
    value, expected = newest(name), KINDS[name].value
    return type(value) is type(expected) and value == expected


def test_each_of_djangos_fields_is_tried() -> None:
    tried = {type(kind.make()).__name__ for kind in KINDS.values()}
    assert set(all_fields.__all__) - OTHERS <= tried


@pytest.mark.thorough
@pytest.mark.parametrize("name", KINDS)
def test_a_field_by_page_by_curl_and_in_a_terminal(
    offer: Offer, browser_client: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(name)
    assert browser_client.get(PAGE).status_code == 200
    sent = texts(name)
    for ask in (browser_client.post, Client().get, Client().post):
        reply = ask(START, sent)
        assert reply.status_code in (200, 303), reply.content
        assert same(name)
    run = Run.objects.latest("pk")
    # On its page, and in the form that this fills in.
    html = browser_client.get(run.get_absolute_url()).content.decode()
    assert f"?from={run.task_id}" in html
    page = browser_client.get(f"{PAGE}?from={run.task_id}").content.decode()
    browser_client.post(START, sent_by(page, START))
    assert Run.objects.latest("pk") != run
    assert same(name)
    Client().post(AGAIN, {"task_id": run.task_id})
    assert same(name)
    # In the terminal, by its name and by its place.
    words = KINDS[name].in_terminal()
    call_command("compute", "every", *(f"{option(name)}={word}" for word in words))
    assert same(name)
    if len(words) == 1 or len(sent) == 1:
        call_command("compute", "every", "--", *words)
        assert same(name)


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in KINDS if name != "yes"])
def test_what_is_left_out_is_as_it_is_at_first(
    offer: Offer, browser_client: Client, name: str
) -> None:
    offer(name, initial=lambda: KINDS[name].value)
    Client().get(START)
    assert same(name)
    given = Run.objects.latest("pk").given
    call_command("compute", "every")
    assert same(name)
    page = browser_client.get(PAGE).content.decode()
    browser_client.post(START, sent_by(page, START))
    assert same(name)
    # And stays so, whatever it is at first by then.
    offer(name, initial=None)
    Client().post(AGAIN, {"task_id": Run.objects.earliest("pk").task_id})
    assert same(name)
    assert Run.objects.latest("pk").given == given


@pytest.mark.parametrize("initial", [True, False])
def test_a_box_that_is_left_out_is_not_ticked_but_in_a_terminal_as_it_is_at_first(
    offer: Offer, browser_client: Client, initial: bool
) -> None:
    offer("yes", initial=initial, required=False)
    Client().get(START)
    assert newest("yes") is False
    first = Run.objects.latest("pk")
    call_command("compute", "every")
    assert newest("yes") is initial
    for run, ticked in ((first, False), (Run.objects.latest("pk"), initial)):
        page = browser_client.get(f"{PAGE}?from={run.task_id}").content.decode()
        assert (" checked" in page) == ticked
    page = browser_client.get(PAGE).content.decode()
    browser_client.post(START, sent_by(page, START))
    assert newest("yes") is initial
    for words, value in ((["--yes"], True), (["--yes=false"], False), (["--yes", "true"], True)):
        call_command("compute", "every", *words)
        assert newest("yes") is value


@pytest.mark.parametrize("name", ["several", "boxes"])
def test_none_of_several_is_none_and_not_what_it_is_at_first(
    offer: Offer, browser_client: Client, name: str
) -> None:
    offer(name, initial=["b"], required=False)
    Client().get(START, {name: ""})
    assert newest(name) == []
    call_command("compute", "every", f"--{name}=")
    assert newest(name) == []
    page = browser_client.get(f"{PAGE}?from={Run.objects.latest('pk').task_id}").content.decode()
    sent = sent_by(page, START)
    assert sent[name] == [""]
    browser_client.post(START, sent)
    assert newest(name) == []


@pytest.mark.parametrize("name", ["char", "integer", "date", "split", "json", "uuid", "decimal"])
def test_what_is_given_empty_is_empty(offer: Offer, name: str) -> None:
    offer(name, initial=lambda: KINDS[name].value, required=False)
    Client().get(START, dict.fromkeys(texts(name), ""))
    assert newest(name) in (None, "")


def test_all_at_once(offer: Offer, browser_client: Client) -> None:
    offer()
    expected = [repr(kind.value) for kind in KINDS.values()]
    for client in (browser_client, Client()):
        client.post(START, texts())
        run_jobs()
        assert Run.objects.latest("pk").result == expected
    run = Run.objects.latest("pk")
    page = browser_client.get(f"{PAGE}?from={run.task_id}").content.decode()
    browser_client.post(START, sent_by(page, START))
    run_jobs()
    assert Run.objects.latest("pk").result == expected
    html = browser_client.get(run.get_absolute_url()).content.decode()
    for kind in KINDS.values():
        shown = kind.shown or kind.sent[""][0]
        escaped = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        assert escaped.replace('"', "&quot;") in html


def test_a_refusal_names_its_field(offer: Offer, browser_client: Client) -> None:
    offer()
    reply = Client().post(START, {**texts(), "integer": "x", "selected_day": "32"})
    assert reply.status_code == 400
    assert reply.json() == {
        "detail": "integer: Enter a whole number.",
        "fields": {"integer": "Enter a whole number.", "selected": "Enter a valid date."},
    }
    html = browser_client.post(START, {**texts(), "integer": "x"}).content.decode()
    assert 'id="id_integer_error" role="alert">Enter a whole number.</p>' in html
    assert 'aria-describedby="id_integer_helptext id_integer_error"' in html
    offer("integer")
    with pytest.raises(CommandError, match=r"^integer: Enter a whole number\.$"):
        call_command("compute", "every", "--integer", "x")


def test_rows_of_the_database_are_refused_with_a_sentence_for_the_author(
    offer: Offer, admin: Client, declare: Callable[..., None]
) -> None:
    from django import forms
    from django.contrib.auth.models import User

    class RowForm(forms.Form):
        user = forms.ModelChoiceField(User.objects.all())
        users = forms.ModelMultipleChoiceField(User.objects.all(), required=False)

    class KeyForm(RowForm):
        def clean_user(self) -> int:
            return int(self.cleaned_data["user"].pk)

        def clean_users(self) -> list[int]:
            return [user.pk for user in self.cleaned_data["users"]]

    pk = User.objects.get().pk
    offer()
    fields = {name: getattr(EVERY, name) for name in EVERY.__dataclass_fields__}
    declare(**{**fields, "form": RowForm, "title": titled})
    reply = admin.post(START, {"user": pk})
    assert reply.status_code == 422
    assert (
        "every: its `form` cleaned user to <User: boss> (User), and a run" in reply.json()["detail"]
    )
    declare(**{**fields, "form": KeyForm})
    admin.post(START, {"user": pk, "users": [pk]})
    run_jobs()
    run = Run.objects.latest("pk")
    assert run.result == [str(pk), f"[{pk}]"]
    page = admin.get(f"{PAGE}?from={run.task_id}", headers={"accept": "text/html"})
    assert sent_by(page.content.decode(), START)["users"] == ["", str(pk)]
