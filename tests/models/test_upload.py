"""Uploads: their names, which runs use them, and when they go."""

from __future__ import annotations

import threading
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from compute.models import Run, Upload
from compute.models.upload import begin, ids_of, keep, of_path, safe_name, use
from compute.queue import room
from compute.queue.contents import Content, Part
from compute.queue.room import FullError, TooLargeError
from tests.uploads.data import declared, stored

LONG_AGO = timedelta(days=1, minutes=1)


def a_run(**fields: Any) -> Run:
    number = Run.objects.count()
    given = {"task_id": f"{number:032x}", "computation": "columns", "parameters": {}, **fields}
    return Run.objects.create(**given)


def age(*ids: str) -> None:
    old = timezone.now() - LONG_AGO
    Upload.objects.filter(pk__in=ids).update(touched_at=old)


def content_of(pk: str) -> Content:
    return Content.objects.get(holder=pk)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("data.csv", "data.csv"),
        ("Größe der Städte.csv", "Größe der Städte.csv"),
        ('say "no".csv', "say _no_.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\data.csv", "data.csv"),
        ("a\nb\r\n.csv", "a_b_.csv"),
        ("\u202excod.exe", "_xcod.exe"),
        ("", "upload.bin"),
        ("..", "upload.bin"),
        (" ", "upload.bin"),
        ("folder/", "upload.bin"),
        (".csv", "csv"),
        ("x" * 300 + ".csv", "x" * 196 + ".csv"),
        ("x." + "y" * 300, "x." + "y" * 19),
        ("\ud800.csv", "\\ud800.csv".replace("\\", "_")),
    ],
)
def test_a_name_is_safe_and_keeps_its_ending(name: str, safe: str) -> None:
    found = safe_name(name)
    assert found == safe
    assert 0 < len(found) <= 200
    found.encode()


def test_one_is_kept_whole_in_parts(db: None) -> None:
    upload = keep(BytesIO(b"x" * 1_000_000), "../a.csv", "text/csv", client="c", address="a")
    assert str(upload) == "a.csv, 976.6 KB"
    assert upload.stored.size == upload.size == 1_000_000
    assert (upload.client, upload.address, upload.account) == ("c", "a", None)
    assert upload.content.digest
    assert b"".join(upload.content.read()) == b"x" * 1_000_000


@pytest.mark.parametrize("said", ["", "text", "text/html\nX: y", "a/" + "b" * 300])
def test_an_odd_media_type_becomes_that_of_bytes(db: None, said: str) -> None:
    assert begin("a", 1, said).media_type == "application/octet-stream"


def test_nothing_is_left_of_one_that_fails(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLargeError):
        keep(BytesIO(b"x" * 11), "a", limit=10)
    monkeypatch.setattr(room, "used", lambda: 1.0)
    with pytest.raises(FullError):
        keep(BytesIO(b"x"), "a")
    for kind in (Upload, Content, Part):
        assert not kind.objects.exists()


def test_one_of_no_bytes_is_complete_at_once(db: None) -> None:
    assert begin("a", 0).content.digest
    assert not begin("a", 1).content.digest


def test_a_file_of_this_machine(db: None, tmp_path: Path) -> None:
    (tmp_path / "größe.csv").write_bytes(b"1,2\n")
    upload = Upload.objects.get(pk=of_path(str(tmp_path / "größe.csv")))
    assert (upload.name, upload.size) == ("größe.csv", 4)
    with pytest.raises(FileNotFoundError):
        of_path(str(tmp_path / "none"))


# --- used by runs -------------------------------------------------------------------------


def test_a_run_uses_what_its_form_was_filled_in_with(db: None, declare: Any) -> None:
    declared(declare)
    file, other = stored(b"1"), stored(b"2")
    run = a_run(given={"file": [file.id], "word": [other.id]})
    assert ids_of(run) == {file.id}
    use(run)
    assert [upload.pk for upload in run.uploads.all()] == [file.id]
    use(run)
    assert run.uploads.count() == 1


def test_a_run_uses_what_its_parameters_tell_of(db: None, declare: Any) -> None:
    declared(declare, form=forms.Form)
    file, other = stored(b"1"), stored(b"2")
    told = {"file": file.id, "name": "a", "size": 1}
    odd = {"file": [other.id], "name": "a", "size": 1}
    run = a_run(parameters={"a": [told, 1], "b": {"file": other.id}, "c": None, "d": odd})
    assert ids_of(run) == {file.id}


def test_a_run_without_files_uses_none(db: None) -> None:
    run = a_run(computation="primes", parameters={"n": 5}, given={"n": ["5"]})
    assert use(run)
    assert not run.uploads.exists()
    assert ids_of(a_run(computation="gone")) == set()


def test_what_has_been_removed_is_not_used(db: None, declare: Any) -> None:
    declared(declare)
    run = a_run(given={"file": ["0" * 32]})
    assert not use(run)
    assert not run.uploads.exists()


def test_what_no_run_uses_is_stale_a_day_after_it_was_touched(db: None, declare: Any) -> None:
    declared(declare)
    used, unused, fresh = stored(b"1").id, stored(b"2").id, stored(b"3").id
    use(a_run(given={"file": [used]}))
    age(used, unused)
    assert {each.pk for each in Upload.objects.stale()} == {unused}
    assert {each.pk for each in Upload.objects.unused()} == {unused, fresh}
    assert Upload.objects.filter(pk=unused).touch() == 1
    assert not Upload.objects.stale().exists()


def test_one_goes_with_the_last_run_that_uses_it(db: None, declare: Any) -> None:
    declared(declare)
    file = stored(b"x" * 600_000).id
    one, two = a_run(given={"file": [file]}), a_run(given={"file": [file]})
    use(one)
    use(two)
    mine = Upload.objects.filter(pk=file)
    one.delete()
    assert mine.remove_unused() == 0
    two.delete()
    assert mine.remove_unused() == 1
    assert not Upload.runs.through.objects.exists()
    assert content_of_nobody() == 1, "pruning removes its parts"
    assert mine.remove_unused() == 0


def content_of_nobody() -> int:
    return Content.objects.filter(holder="", digest="").count()


def test_a_link_to_a_run_that_older_code_has_removed_counts_for_nothing(
    db: None, declare: Any
) -> None:
    declared(declare)
    file = stored(b"1").id
    run = a_run(given={"file": [file]})
    use(run)
    Run.objects.filter(pk=run.pk)._raw_delete("default")
    assert Upload.objects.unused().get().pk == file
    assert Upload.objects.remove_unused() == 1


def test_none_goes_while_a_run_is_being_started_with_it(
    transactional_db: None, declare: Any
) -> None:
    """Pruning waits for the start, or comes before it and the start finds the upload gone."""
    declared(declare)
    for _ in range(5):
        file = stored(b"1").id
        age(file)
        run = a_run(given={"file": [file]})
        ready = threading.Event()

        def prune() -> None:
            ready.wait(20)  # noqa: B023
            Upload.objects.stale().remove_unused()
            connection.close()

        pruning = threading.Thread(target=prune)
        pruning.start()
        with transaction.atomic():
            use(run)
            ready.set()
        pruning.join(30)
        assert [upload.pk for upload in run.uploads.all()] == [file]


def test_it_stays_when_its_account_goes(db: None) -> None:
    ann = User.objects.create_user("ann")
    file = stored(b"1", account=ann)
    ann.delete()
    assert Upload.objects.get(pk=file.id).account is None
