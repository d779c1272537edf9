"""A computation's fields as options of a command."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.core.management import CommandError, call_command

from compute.management import terminal
from compute.management.fields import OPTION, check_file, words_of
from compute.models import Run
from tests.every.computations.every import EVERY, titled
from tests.management.calling import call

Declare = Callable[..., None]


class OwnForm(forms.Form):
    since = forms.DateField(help_text="The first day, at 100 % of it.", initial="2026-03-01")
    kinds = forms.MultipleChoiceField(choices=[(c, c) for c in "abc"], required=False)
    json = forms.CharField(required=False)
    at = forms.SplitDateTimeField(required=False)
    loud = forms.BooleanField(required=False)


@pytest.fixture
def own(db: None, declare: Declare, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(run: Run) -> None:
        Run.objects.update(state=Run.State.DONE, result=1)
        run.refresh_from_db()

    fields = {name: getattr(EVERY, name) for name in EVERY.__dataclass_fields__}
    declare(**{**fields, "name": "own", "form": OwnForm, "title": titled})
    monkeypatch.setattr(terminal, "follow", end)


def given(*words: str) -> Any:
    call("compute", *words)
    return Run.objects.latest("pk").given


def test_options_may_stand_anywhere_and_be_repeated(own: None) -> None:
    since = {"since": ["2026-03-02"]}
    assert given("own", "--since", "2026-03-02") == since
    assert given("--json", "own", "2026-03-02") == since
    kinds = {**since, "kinds": ["c", "a"]}
    assert given("own", "--kinds", "c", "2026-03-02", "--kinds=a", "--json") == kinds
    assert given("own", "--loud", "--field-json", "x", "--since=2026-03-02") == {
        **since, "json": ["x"], "loud": ["true"],
    }  # fmt: skip


def test_parts_of_a_widget_are_given_at_once_in_their_order_or_by_name(own: None) -> None:
    at = {"since": ["2026-03-01"], "at_0": ["2026-03-01"], "at_1": ["10:30:00"]}
    assert given("own", "--at", "2026-03-01 10:30") == at
    assert given("own", "--at", "2026-03-01", "--at", "10:30:00") == at
    assert given("own", "--at_0", "2026-03-01", "--at_1", "10:30:00") == at


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["2026-03-01", "--since", "2026-03-02"], "own is given since twice, as an option and"),
        (["--since", "2026-03-01", "--since", "2026-03-02"], "own takes one value as since."),
        (["--at", "1", "--at", "2", "--at", "3"], "own takes 2 values as at."),
        (["--until", "2026-03-01"], "unrecognized arguments: --until"),
        (["--kinds", "z"], "kinds: Select a valid choice."),
        (["--since", ""], "since: This field is required."),
        (["--at", "soon"], "at: Enter a valid date."),
    ],
)
def test_what_can_not_be_is_refused(own: None, words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("compute", "own", *words)
    assert not Run.objects.exists()


def test_a_text_may_be_in_a_file(own: None, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("a\nb\n", encoding="utf-8")
    assert given("own", "--field-json", f"@{file}")["json"] == ["a\nb"]
    assert given("own", "--field-json", "@@home")["json"] == ["@home"]
    assert given("own", "2026-03-01", "a", f"@{file}")["json"] == [f"@{file}"]
    file.write_bytes(b"\xff")
    for path, why in ((file, "is no text in UTF-8"), (tmp_path / "none", "can't be read: ")):
        with pytest.raises(CommandError, match=f"json: {path} {why}"):
            call_command("compute", "own", "--field-json", f"@{path}")
    with pytest.raises(CommandError, match="json: a\0b can't be read"):
        call_command("compute", "own", "--field-json", "@a\0b")


def test_help_tells_the_fields(own: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("compute", "own", "--help")
    said = " ".join(capsys.readouterr().out.split())
    assert "fields of own:" in said
    assert "--since VALUE Since; The first day, at 100 % of it; by default 2026-03-01" in said
    assert "--kinds VALUE Kinds; may be repeated" in said
    assert "--field-json VALUE" in said
    assert "--loud [VALUE]" in said
    assert "--at_0" not in said


def test_a_form_that_fails_is_told(own: None, declare: Declare) -> None:
    def fail(self: Any) -> None:
        raise KeyError("forgotten")

    declare(name="own", form=type("Form", (OwnForm,), {"__init__": fail}))
    with pytest.raises(CommandError, match="own: its `form` raised KeyError"):
        call_command("compute", "own", "--since", "2026-03-01")


def test_without_a_computation_there_are_no_fields(own: None) -> None:
    with pytest.raises(CommandError, match="unrecognized arguments: --since"):
        call_command("compute", "none", "--since", "2026-03-01")


def test_words_are_those_of_fields_alone() -> None:
    options = {f"{OPTION}n": ["1", "2"], f"{OPTION}k": None, "n": "3"}
    assert words_of(options) == {"n": ["1", "2"]}


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_what_has_no_end_is_not_read(own: None, pipe: Path) -> None:
    for path in ("/dev/zero", pipe):
        with pytest.raises(CommandError, match=f"json: {path} is no file; write what comes"):
            call_command("compute", "own", "--field-json", f"@{path}")
    assert not Run.objects.exists()


def test_what_is_too_long_is_not_read(own: None, tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "text"
    path.write_bytes(bytes(5 * 2**19))
    settings.MAX_UPLOAD_MB = 2
    with pytest.raises(CommandError, match=r"has 2\.5 MB, and a file may have 2 MB here"):
        check_file("json", str(path))
    settings.MAX_UPLOAD_MB = 0  # is for who uploads one to the site
    check_file("json", str(path))
