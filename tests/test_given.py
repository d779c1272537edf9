"""What forms are filled in with: it arrives whole, is kept, and is cleaned again later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.http import QueryDict
from django.test import Client

from compute import computations
from compute.computation import Computation, ComputationError, DoesNotFitError
from compute.computations import Loaded, all_computations
from compute.given import (
    as_data,
    completed,
    names_of,
    of_form,
    of_parameters,
    of_words,
    takes_several,
    typed,
)
from compute.management import terminal
from compute.models import Run, Sweep
from compute.models.speed import speed_of
from compute.queue.models import JobState
from tests.conftest import started, without_database

START, PAGE, SIZES = "/compute/own/start/", "/compute/own/", "/compute/own/chunk-sizes/"
AGAIN, CHECK = "/compute/own/again/", "/compute/own/check/"


class OwnForm(forms.Form):
    since = forms.DateField(widget=forms.SelectDateWidget(years=[2026]))
    kinds = forms.MultipleChoiceField(choices=[(c, c) for c in "abc"])
    note = forms.CharField(required=False)
    factor = forms.DecimalField(required=False)
    loud = forms.BooleanField(required=False)


SINCE = {"since_year": "2026", "since_month": "3", "since_day": "1"}
GIVEN: dict[str, Any] = {**SINCE, "kinds": ["a", "c"], "note": "", "factor": ""}
CLEANED = {
    "since": date(2026, 3, 1),
    "kinds": ["a", "c"],
    "note": "",
    "factor": None,
    "loud": False,
}


def chunk(number: int) -> int:
    return number


def title(since: date, kinds: list[str], note: str, factor: Decimal | None, loud: bool) -> str:
    return f"{since:%d %b} {'+'.join(kinds)} {note or factor}"


def length(since: date, kinds: list[str], **others: Any) -> int:
    return 10 * (since - date(2026, 2, 27)).days * len(kinds)


def cut(chunk_size: int, **parameters: Any) -> list[tuple[int]]:
    return [(number,) for number in range(0, length(**parameters), chunk_size)]


OWN = Computation(
    name="own", line="x", title=title, form=OwnForm, function=chunk, length=length, cut=cut,
    combine=sum,
)  # fmt: skip
Declare = Callable[..., None]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Declares `own` for the length of a test, otherwise as the fields say."""
    others = all_computations()

    def declare(**fields: Any) -> None:
        declared = {**others, "own": replace(OWN, **fields)}
        monkeypatch.setattr(computations, "loaded", lambda: Loaded(declared, []))

    declare()
    return declare


@pytest.fixture
def own(db: None, declare: Declare) -> Run:
    """A run that has ended."""
    return end(started(START, **GIVEN, chunk_size=10))


def end(run: Run) -> Run:
    run.jobs.update(state=JobState.DONE)
    Run.objects.filter(pk=run.pk).update(state=Run.State.DONE, result=7, shown="7")
    run.refresh_from_db()
    return run


def forget_what_was_given(run: Run) -> None:
    """As runs are that code of the version before has started."""
    Run.objects.filter(pk=run.pk).update(given=None)
    run.refresh_from_db()


# --- what arrives -------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
def test_several_choices_arrive_whole_by_get_and_by_post(
    db: None, declare: Declare, method: str
) -> None:
    reply = getattr(Client(), method)(START, GIVEN)
    assert reply.status_code == 200, reply.content
    run = Run.objects.get()
    assert run.parameters["kinds"] == ["a", "c"]
    assert run.length() == 40
    assert str(run) == "01 Mar a+c None"


def test_the_body_wins_for_each_name_with_all_its_values(db: None, declare: Declare) -> None:
    reply = Client().post(f"{START}?kinds=b&kinds=a&since=2026-03-01", {"kinds": ["c", "b"]})
    assert reply.status_code == 200, reply.content
    assert Run.objects.get().parameters["kinds"] == ["c", "b"]


def test_several_choices_arrive_whole_in_the_terminal(
    db: None, declare: Declare, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    class KindsForm(forms.Form):
        since = forms.SplitDateTimeField()
        kinds = OwnForm.base_fields["kinds"]

    declare(form=KindsForm, title=lambda since, kinds: f"{since} {kinds}", length=None, cut=None)
    monkeypatch.setattr(terminal, "follow", end)
    call_command("compute", "own", "2026-03-01 10:30", "c", "a")
    run = Run.objects.get()
    assert run.title == "2026-03-01 10:30:00+00:00 ['c', 'a']"
    assert run.given == {"since_0": ["2026-03-01"], "since_1": ["10:30:00"], "kinds": ["c", "a"]}
    with pytest.raises(CommandError, match="since: Enter a"):
        call_command("compute", "own", "soon", "c")
    with pytest.raises(CommandError, match="bytes that are no UTF-8"):
        call_command("compute", "own", "caf\udce9", "c")
    declare(cut=lambda **_: None)
    with pytest.raises(CommandError, match="own: its `cut` returned None"):
        call_command("compute", "own", "2026-03-01", "c")


@pytest.mark.thorough
def test_a_run_notes_what_its_form_was_filled_in_with_and_nothing_else(own: Run) -> None:
    expected = {name: [value] if isinstance(value, str) else value for name, value in GIVEN.items()}
    assert own.given == expected
    reply = Client().post(START, {**GIVEN, "utm": "x", "chunk_size": "20", "task_id": "1"})
    assert reply.status_code == 200
    assert Run.objects.latest("id").given == expected
    assert started("/sum-start/", n=10).given == {"n": ["10"]}
    reply = Client().get("/sum-start/?n=10&n_%00=%00x&n-y=%ED%A0%80")
    assert reply.status_code == 200
    assert Run.objects.latest("id").given == {"n": ["10"], "n_": ["x"], "n-y": ["\ufffd" * 3]}


# --- later --------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "of the version before"])
def test_callables_get_what_the_form_cleaned_later_as_well(
    own: Run, browser_client: Client, kept: bool
) -> None:
    if not kept:
        forget_what_was_given(own)
    assert OWN.cleaned(own.given, own.parameters) == CLEANED
    assert own.length() == 40
    html = browser_client.get(own.get_absolute_url()).content.decode()
    assert "Compare chunk sizes" in html
    assert speed_of(OWN) is None
    reply = Client().post(AGAIN, {"task_id": own.task_id})
    assert reply.status_code == 200, reply.content
    again = Run.objects.latest("id")
    assert (again.title, again.parameters, again.chunk_size) == (own.title, own.parameters, 10)


@pytest.mark.thorough
def test_it_can_be_tried_in_several_sizes(db: None, declare: Declare) -> None:
    reply = Client().post(SIZES, GIVEN)
    assert reply.status_code == 200, reply.content
    address = reply.json()["chunk_sizes"]
    assert Client().get(address).json()["sweeping"]
    sweep = Sweep.objects.get()
    assert sweep.given is not None
    assert sweep.given["kinds"] == ["a", "c"]
    end(Run.objects.get())
    sweep.advance()
    assert [run.title for run in Run.objects.all()] == ["01 Mar a+c None"] * 2
    assert Run.objects.earliest("id").given == sweep.given


def test_a_sweep_whose_form_has_changed_ends(db: None, declare: Declare) -> None:
    Client().post(SIZES, GIVEN)
    end(Run.objects.get())
    declare(form=type("Strict", (OwnForm,), {"more": forms.CharField()}))
    with pytest.raises(DoesNotFitError, match="more: This field is required"):
        Sweep.objects.get().advance()


class Renamed(forms.Form):
    kind = forms.CharField(required=False)


@pytest.mark.thorough
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "of the version before"])
@pytest.mark.parametrize(
    ("form", "said"),
    [
        (type("Strict", (OwnForm,), {"more": forms.CharField()}), "more: This field is required."),
        (
            type("Fewer", (OwnForm,), {"kinds": forms.MultipleChoiceField(choices=[("a", "A")])}),
            "kinds: Select a valid choice. c is not one of the available choices.",
        ),
        (Renamed, "own has no field "),
    ],
    ids=["a new field", "a choice gone", "renamed"],
)
def test_what_no_longer_fits_is_shown_and_refuses_to_repeat(
    own: Run, browser_client: Client, declare: Declare, form: Any, said: str, kept: bool
) -> None:
    if not kept:
        forget_what_was_given(own)
    declare(form=form, title=lambda **_: "x", length=lambda **_: 40, cut=lambda **_: [(1,)])
    assert own.length() is None
    for address in (own.get_absolute_url(), "/", PAGE):
        html = browser_client.get(address).content.decode()
        assert "01 Mar a+c None" in html
    assert "Compare chunk sizes" not in browser_client.get(own.get_absolute_url()).content.decode()
    assert Client().get(CHECK, {"task_id": own.task_id}).json()["result"] == 7
    reply = Client().post(AGAIN, {"task_id": own.task_id})
    assert reply.status_code == 400
    assert said in reply.json()["detail"]
    reply = browser_client.post(AGAIN, {"task_id": own.task_id})
    assert reply.status_code == 400
    assert said in reply.content.decode()
    assert Run.objects.count() == 1


# --- refusals -----------------------------------------------------------------------------


def test_a_refusal_names_its_field(db: None, declare: Declare) -> None:
    reply = Client().post(START, {"kinds": "z"})
    assert reply.status_code == 400
    kinds = "Select a valid choice. z is not one of the available choices."
    assert reply.json() == {
        "detail": "since: This field is required.",
        "fields": {"since": "This field is required.", "kinds": kinds},
    }
    reply = Client().post(START, {**GIVEN, "chunk_size": "x"})
    assert reply.json()["detail"].startswith("chunk_size: Give chunk_size as a whole number")
    assert list(reply.json()["fields"]) == ["chunk_size"]
    with pytest.raises(CommandError, match=r"^since: This field is required\.$"):
        call_command("compute", "own")


def test_a_sentence_that_names_its_only_field_stays_as_it_is(db: None, declare: Declare) -> None:
    declare(form=Renamed, title=lambda kind: "x", length=lambda kind: 1, cut=lambda **_: [(1,)])

    class K(forms.Form):
        k = forms.IntegerField()

    declare(form=K)
    assert Client().get(START).json() == {"detail": "k: This field is required."}
    assert list(Client().get("/compute/primes/start/").json()) == ["detail"]
    said = Client().get("/compute/primes/start/").json()["detail"]
    assert said.startswith("Give n as a whole number")


class PairForm(forms.Form):
    low = forms.IntegerField(widget=forms.HiddenInput)
    high = forms.IntegerField()
    kinds = forms.MultipleChoiceField(
        choices=[("a", "A & B")], widget=forms.CheckboxSelectMultiple, help_text="<b>"
    )

    def clean(self) -> None:
        if {"low", "high"} <= self.cleaned_data.keys():
            raise forms.ValidationError("Give a low below the high.")


PAIR = {"form": PairForm, "title": lambda **_: "x", "length": lambda **_: 1, "cut": lambda **_: []}


def test_errors_of_all_fields_are_on_the_page(
    db: None, browser_client: Client, declare: Declare
) -> None:
    declare(**PAIR)
    html = browser_client.post(START, {"high": "x"}).content.decode()
    assert "low: This field is required." in html
    assert 'id="id_high_error" role="alert">Enter a whole number.' in html
    assert "<legend>Kinds</legend>" in html
    assert "A &amp; B" in html
    assert "&lt;b&gt;" in html
    assert "Give a low below" not in html
    html = browser_client.post(START, {"low": 2, "high": 1, "kinds": "a"}).content.decode()
    assert "Give a low below the high." in html
    reply = Client().post(START, {"low": 2, "high": 1, "kinds": "a"})
    assert reply.json() == {"detail": "Give a low below the high."}


# --- forms that fail ----------------------------------------------------------------------


class Undrawable(forms.TextInput):
    def render(self, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("no ink")


def raising(self: Any, *args: Any, **kwargs: Any) -> Any:
    raise KeyError("forgotten")


RAISING = {
    "clean": type("Form", (OwnForm,), {"clean": raising}),
    "clean_note": type("Form", (OwnForm,), {"clean_note": raising}),
    "init": type("Form", (OwnForm,), {"__init__": raising}),
    "widget": type(
        "Form", (OwnForm,), {"note": forms.CharField(required=False, widget=Undrawable)}
    ),
    "odd": type("Form", (OwnForm,), {"clean": lambda self: [1]}),
    "exit": type("Form", (OwnForm,), {"clean": lambda self: exit(3)}),
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", RAISING)
def test_a_form_that_fails_is_its_authors_mistake_and_no_500(
    own: Run, admin: Client, browser_client: Client, declare: Declare, kind: str
) -> None:
    declare(form=RAISING[kind])
    for client in (Client(), browser_client):
        statuses = {
            client.get(PAGE).status_code,
            client.post(START, GIVEN).status_code,
            client.get(SIZES, GIVEN).status_code,
            client.post(SIZES, GIVEN).status_code,
            client.post(AGAIN, {"task_id": own.task_id}).status_code,
        }
        assert statuses <= {200, 303, 400, 422}
        assert client.get(own.get_absolute_url()).status_code == 200
        assert client.get("/").status_code == 200
    if kind != "widget":
        detail = admin.post(START, GIVEN).json()["detail"]
        assert detail.startswith("own: its `form` ")
        with pytest.raises(CommandError, match="own: its `form` "):
            call_command("compute", "own", "2026-03-01", "a")
    else:
        assert "no ink" in admin.get(PAGE).json()["detail"]
    assert (Run.objects.count() > 1) == (kind == "widget")


def test_a_database_that_is_away_is_no_mistake_of_a_form(
    transactional_db: None, declare: Declare
) -> None:
    def ask(self: Any) -> None:
        raise OperationalError("no such table")

    form = type("Form", (OwnForm,), {"clean": ask})
    with pytest.raises(ComputationError, match="no such table"):
        OWN.made(form, as_data({}))
    with without_database(), pytest.raises(OperationalError):
        OWN.made(form, as_data({}))


def test_a_form_sees_its_own_fields_alone(db: None, declare: Declare) -> None:
    class Strange(OwnForm):
        def clean(self) -> dict[str, Any]:
            assert "chunk_size" not in self.cleaned_data
            return {**self.cleaned_data, "note": "made of all"}

    declare(form=Strange)
    run = started(START, **GIVEN, chunk_size=20)
    assert (run.chunk_size, run.parameters["note"]) == (20, "made of all")


# --- the module's own ---------------------------------------------------------------------


class EveryForm(forms.Form):
    day = forms.DateField()
    at = forms.SplitDateTimeField()
    hour = forms.TimeField()
    span = forms.DurationField()
    price = forms.DecimalField()
    yes = forms.BooleanField()
    no = forms.BooleanField(required=False)
    perhaps = forms.NullBooleanField()
    data = forms.JSONField()  # type: ignore[assignment]  # a form's own name, and a field's
    numbers = forms.TypedMultipleChoiceField(choices=[(1, 1), (2, 2)], coerce=int)
    absent = forms.IntegerField(required=False)


def test_parameters_that_json_has_kept_clean_to_what_they_were() -> None:
    from compute.models import as_kept

    given = {
        "day": ["2026-11-25"],
        "at_0": ["2026-11-25"],
        "at_1": ["10:30"],
        "hour": ["10:30"],
        "span": ["3 01:02:03"],
        "price": ["1.10"],
        "yes": ["on"],
        "perhaps": ["false"],
        "data": ['{"a": [1, "b"]}'],
        "numbers": ["1", "2"],
        "absent": [""],
    }
    form = EveryForm(as_data(given))
    assert form.is_valid(), form.errors
    cleaned = form.cleaned_data
    assert cleaned["span"] == timedelta(days=3, hours=1, minutes=2, seconds=3)
    assert cleaned["hour"] == time(10, 30)
    assert isinstance(cleaned["at"], datetime)
    again = EveryForm(as_data(of_parameters(EveryForm(), as_kept(cleaned))))
    assert again.is_valid(), again.errors
    assert again.cleaned_data == cleaned


def test_a_part_of_a_widget_that_has_no_value_is_left_out() -> None:
    class Halves(forms.MultiWidget):
        def decompress(self, value: Any) -> list[Any]:
            return [value, None]

    field = forms.CharField(widget=Halves([forms.TextInput, forms.TextInput]))
    form = type("Form", (forms.Form,), {"k": field})()
    assert of_parameters(form, {"k": 7}) == {"k_0": ["7"]}


def test_what_belongs_to_a_form_is_known_by_its_fields_names() -> None:
    data = QueryDict("n=1&n=2&n_0=3&n-x=4&nn=5&chunk_size=6&=7")
    form = type("Form", (forms.Form,), {"n": forms.CharField(), "chunk": forms.CharField()})()
    assert of_form(form, data) == {"n": ["1", "2"], "n_0": ["3"], "n-x": ["4"]}
    assert of_form(form, {"n": ["1", 2], "chunk": 3}) == {"n": ["1", "2"], "chunk": ["3"]}


def test_words_are_for_the_fields_in_their_order() -> None:
    one = type("Form", (forms.Form,), {"k": forms.IntegerField()})()
    assert of_words(one, []) == {}
    assert of_words(one, ["1"]) == {"k": ["1"]}
    for form, words in ((one, ["1", "2"]), (forms.Form(), ["1"])):
        with pytest.raises(ValueError, match=r"takes \d value"):
            of_words(form, words)


def test_options_are_for_fields_and_for_parts_of_them() -> None:
    fields = {"k": forms.IntegerField(), "at": forms.SplitDateTimeField()}
    form = type("Form", (forms.Form,), fields)()
    assert of_words(form, ["1"], {"at": ["2026-03-01", "10:30"]}) == {
        "k": ["1"], "at_0": ["2026-03-01"], "at_1": ["10:30"],
    }  # fmt: skip
    assert of_words(form, [], {"at_1": ["10:30"], "k": ["2"]}) == {"at_1": ["10:30"], "k": ["2"]}
    for words, options in ((["1"], {"k": ["2"]}), ([], {"k": ["1", "2"]}), ([], {"at": ["1"] * 3})):
        with pytest.raises(ValueError, match=r"given k twice|one value as k|2 values as at"):
            of_words(form, words, options)


def test_the_names_that_a_widget_sends() -> None:
    names = [
        *("kinds", "when_0", "when_1", "day", "day_year", "day_month", "day_day"),
    ]
    widgets = {
        "kinds": forms.SelectMultiple(),
        "when": forms.SplitDateTimeWidget(),
        "day": forms.SelectDateWidget(),
    }
    assert [each for name, widget in widgets.items() for each in names_of(name, widget)] == names
    assert takes_several(widgets["kinds"])
    assert takes_several(forms.MultipleHiddenInput())
    assert not takes_several(widgets["when"])


class Place(forms.TextInput):
    """Sends two names of its own."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return f"{data.get(f'{name}-x')} {data.get(f'{name}-y')}"

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}-x" not in data


class FirstForm(forms.Form):
    n = forms.IntegerField(initial=lambda: 7)
    kinds = forms.MultipleChoiceField(choices=[(c, c) for c in "abc"], initial=("a", "b"))
    loud = forms.BooleanField(initial=True)
    quiet = forms.BooleanField(required=False)
    at = forms.SplitDateTimeField(initial=datetime(2026, 3, 1, 10, 30))
    place = forms.CharField(widget=Place, initial="x")
    more = forms.CharField()
    file = forms.FileField(initial="x")


def test_what_is_left_out_is_as_it_is_at_first() -> None:
    form = FirstForm()
    first = {
        "n": ["7"], "kinds": ["a", "b"], "loud": ["false"],
        "at_0": ["2026-03-01"], "at_1": ["10:30:00"], "place": ["x"],
    }  # fmt: skip
    assert dict(completed(form, as_data({})).lists()) == first
    assert dict(completed(form, as_data({}), boxes=True).lists()) == {**first, "loud": ["True"]}
    given = {"n": [""], "kinds": [""], "loud": ["on"], "at_1": ["11:00"], "place-x": ["1"]}
    completed_ = dict(completed(form, as_data(given)).lists())
    assert completed_ == {**given, "kinds": []}
    assert completed(form, {"kinds": ["c"], "n": 8}).getlist("kinds") == ["c"]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (forms.DateField(), date(2026, 3, 1), "2026-03-01"),
        (forms.DateField(), datetime(2026, 3, 1, 10), "2026-03-01"),
        (forms.DateField(input_formats=["%d.%m.%Y"]), "2026-03-01", "01.03.2026"),
        (forms.DateField(input_formats=["%d.%m.%y", "%d.%m.%Y"]), date(1926, 3, 1), "01.03.1926"),
        (forms.DateField(input_formats=["%Y-%m"]), date(2026, 3, 2), "2026-03-02"),
        (forms.DateField(), "soon", "soon"),
        (forms.DateField(), "2026-02-31", "2026-02-31"),
        (forms.DateField(), 5, "5"),
        (forms.TimeField(), time(10, 30), "10:30:00"),
        (forms.TimeField(), datetime(2026, 3, 1, 10, 30), "10:30:00"),
        (forms.TimeField(input_formats=["%H.%M"]), "10:30:00", "10.30"),
        (forms.TimeField(), time(10, 30, 0, 5), "10:30:00.000005"),
        (forms.CharField(), "2026-03-01", "2026-03-01"),
    ],
)
def test_days_and_times_are_written_as_their_field_reads_them(
    field: forms.Field, value: Any, text: str
) -> None:
    assert dict(typed("k", field, value)) == {"k": [text]}


def test_several_are_taken_from_whatever_holds_them() -> None:
    field = forms.MultipleChoiceField(choices=[(n, n) for n in range(9)])
    for value in ([1, 2], (1, 2), range(1, 3), {1: "x", 2: "y"}.keys(), iter([1, 2])):
        assert dict(typed("k", field, value)) == {"k": ["1", "2"]}
    assert dict(typed("k", field, "a")) == {"k": ["a"]}
    assert dict(typed("k", field, None)) == {}
