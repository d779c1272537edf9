"""Files in forms, and in the hands of those who compute with them."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest
from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import FileExtensionValidator
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from compute import files, given
from compute.files import StoredFile, attached, kept_for, settled, told
from compute.models import Upload, as_kept
from compute.models.upload import begin
from compute.queue.contents import PART_BYTES
from tests.uploads.data import stored

LINES = b"name,size\nant,1\nbee,2\n"


class Several(forms.ClearableFileInput):
    allow_multiple_selected = True


class SeveralField(forms.FileField):
    """As Django's documentation makes one."""

    widget = Several

    def clean(self, data: Any, initial: Any = None) -> Any:
        one = super().clean
        return [one(each, initial) for each in data] if isinstance(data, list) else one(data)


class Form(forms.Form):
    file = forms.FileField(validators=[FileExtensionValidator(["csv"])])
    word = forms.CharField(required=False)


class Optional(forms.Form):
    file = forms.FileField(required=False, allow_empty_file=True)


class ManyForm(forms.Form):
    pages = SeveralField()


def filled(form: type[forms.Form], **data: Any) -> Any:
    return attached(form({name: str(value) for name, value in data.items()}))


# --- read ---------------------------------------------------------------------------------


def test_a_file_is_opened_and_read_from_anywhere(db: None) -> None:
    file = stored(LINES)
    assert (file.name, file.size, file.media_type) == ("data.csv", len(LINES), "text/csv")
    assert str(file) == "data.csv"
    with file.open() as data:
        assert data.seekable()
        assert data.read() == LINES
        assert data.seek(10) == 10
        assert data.readline() == b"ant,1\n"
    with io.TextIOWrapper(files.open(file), encoding="utf-8", newline="") as lines:
        assert list(lines) == LINES.decode().splitlines(keepends=True)


def test_it_travels_small_and_is_opened_there(db: None) -> None:
    file = stored(b"x" * 1_000_000)
    package = pickle.dumps(file)
    assert len(package) < 300
    assert pickle.loads(package) == file
    with pickle.loads(package).open() as data:
        assert data.read(3) == b"xxx"


def test_a_part_is_read_without_the_others(db: None) -> None:
    data = bytes(number % 251 for number in range(4 * PART_BYTES))
    file = stored(data)
    with CaptureQueriesContext(connection) as queries, files.open(file) as opened:
        opened.seek(2 * PART_BYTES + 7)
        assert opened.read(1000) == data[2 * PART_BYTES + 7 :][:1000]
    asked = [query["sql"] for query in queries if "queue_part" in query["sql"]]
    assert len(asked) == 1, asked


def test_a_file_that_is_removed_or_not_complete_says_so(db: None) -> None:
    with pytest.raises(LookupError, match="the file 'a' has been removed"):
        files.open(StoredFile("0" * 32, "a", 1, ""))
    with pytest.raises(LookupError):
        files.open(begin("a", 10).stored)


# --- in a form ----------------------------------------------------------------------------


def test_a_form_gets_the_file_that_its_text_names(db: None) -> None:
    file = stored(LINES)
    form = filled(Form, file=file.id, word="x")
    assert form.is_valid(), form.errors
    found = form.cleaned_data["file"]
    assert isinstance(found, UploadedFile)
    assert (found.name, found.size, found.content_type) == ("data.csv", len(LINES), "text/csv")
    assert found.closed
    assert found.read() == LINES
    assert b"".join(found.chunks(5)) == LINES
    assert not found.closed
    with found.open() as opened:
        assert opened.readline() == b"name,size\n"
    assert found.closed
    assert list(found) == LINES.splitlines(keepends=True), "it opens again by itself"
    found.close()
    files.KeptFile(file).close()
    assert kept_for(form, "file") == [file]
    assert settled(form) == {"file": file, "word": "x"}
    assert settled(form) == form.cleaned_data == {"file": file, "word": "x"}


@pytest.mark.parametrize("text", ["0" * 32, "hello", "../x", "[object File]"])
def test_what_names_no_file_is_refused_by_the_field(db: None, text: str) -> None:
    for kind in (Form, Optional):
        form = filled(kind, file=text)
        assert form.errors == {"file": [files.UNKNOWN]}
        assert kept_for(form, "file") == []
    assert Form(data={}).fields["file"].error_messages["invalid"] != files.UNKNOWN


def test_what_is_not_complete_is_no_file_yet(db: None) -> None:
    upload = begin("a.csv", 10)
    assert filled(Form, file=upload.pk).errors == {"file": [files.UNKNOWN]}


def test_nothing_given_is_django_s_to_judge(db: None) -> None:
    assert filled(Form).errors == {"file": ["This field is required."]}
    assert filled(Form, file="").errors == {"file": ["This field is required."]}
    assert settled(filled_valid(Optional)) == {"file": None}
    assert attached(Form()).is_bound is False


def filled_valid(form: type[forms.Form], **data: Any) -> Any:
    made = filled(form, **data)
    assert made.is_valid(), made.errors
    return made


def test_an_empty_file_is_refused_unless_the_field_allows_it(db: None) -> None:
    file = stored(b"")
    assert filled(Form, file=file.id).errors == {"file": ["The submitted file is empty."]}
    assert settled(filled_valid(Optional, file=file.id)) == {"file": file}
    with file.open() as data:
        assert data.read() == b""


def test_validators_see_its_name(db: None) -> None:
    form = filled(Form, file=stored(LINES, "data.exe").id)
    assert "File extension “exe” is not allowed" in form.errors["file"][0]
    assert kept_for(form, "file") == []


def test_several_files_are_a_list(db: None) -> None:
    one, two = stored(b"1", "1.txt"), stored(b"2", "2.txt")
    data = QueryDict(f"pages={one.id}&pages={two.id}")
    form = attached(ManyForm(data))
    assert form.is_valid(), form.errors
    assert kept_for(form, "pages") == [one, two]
    assert settled(form) == {"pages": [one, two]}
    kept = as_kept(form.cleaned_data)
    assert kept == {
        "pages": [
            {"file": one.id, "name": "1.txt", "size": 1},
            {"file": two.id, "name": "2.txt", "size": 1},
        ]
    }
    assert given.of_parameters(ManyForm(), kept) == {"pages": [one.id, two.id]}
    assert attached(ManyForm({"pages": [one.id]})).is_valid()
    assert attached(ManyForm(QueryDict(f"pages={one.id}&pages=x"))).errors == {
        "pages": [files.UNKNOWN]
    }


def test_what_a_form_makes_of_a_file_is_its_own_affair(db: None) -> None:
    class Counted(Form):
        def clean_file(self) -> int:
            return len(self.cleaned_data["file"].read())

    file = stored(LINES)
    assert settled(filled_valid(Counted, file=file.id))["file"] == len(LINES)


def test_a_form_that_cleans_to_something_else_is_let_be(db: None) -> None:
    form = Optional({})
    form.full_clean()
    form.cleaned_data = [1]  # type: ignore[assignment]
    assert settled(form) == [1]


# --- in a run's row -----------------------------------------------------------------------


def test_a_run_s_row_tells_id_name_and_size() -> None:
    file = StoredFile("a" * 32, "data.csv", 5, "text/csv")
    assert told(file) == {"file": "a" * 32, "name": "data.csv", "size": 5}
    assert told([file, 1]) == [told(file), 1]
    assert told("x") == "x"
    assert told([1]) == [1]
    assert given.of_parameters(Form(), {"file": told(file), "word": "x"}) == {
        "file": ["a" * 32],
        "word": ["x"],
    }
    assert given.of_parameters(Form(), {"file": file}) == {"file": ["a" * 32]}
    assert given.of_parameters(Form(), {"file": "no file"}) == {"file": []}


def test_ids_are_looked_up_in_one_query(db: None) -> None:
    ids = [stored(b"1").id, stored(b"2").id]
    with CaptureQueriesContext(connection) as queries:
        assert set(Upload.objects.stored(ids)) == set(ids)
    assert len(queries) == 1
