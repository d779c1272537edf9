"""Files that a command is given by their paths."""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from compute.management.uploading import uploaded
from compute.models import Run, Upload
from compute.queue import room
from compute.queue.contents import Content
from tests.conftest import run_jobs
from tests.uploads.computations.columns import ColumnsForm
from tests.uploads.data import csv, declared, totals


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_bytes(csv(100))
    return path


def test_a_path_becomes_the_id_of_an_upload(db: None, file: Path) -> None:
    data = uploaded(ColumnsForm(), {"file": [f"@{file}"], "chunk_size": ["@5"]})
    upload = Upload.objects.get()
    assert data == {"file": [upload.pk], "chunk_size": ["@5"]}
    assert (upload.name, upload.size) == ("data.csv", len(csv(100)))
    assert uploaded(ColumnsForm(), {"file": [upload.pk]}) == {"file": [upload.pk]}
    assert uploaded(ColumnsForm(), {}) == {}


@pytest.mark.parametrize("path", ["data.csv", "/there/data.csv", "A" * 32, "0" * 31])
def test_a_path_without_its_sign_is_told_how_a_file_is_given(db: None, path: str) -> None:
    say = re.escape(f"file: give a file as @ and its path: @{path}")
    with pytest.raises(CommandError, match=say):
        uploaded(ColumnsForm(), {"file": [path]})
    assert uploaded(ColumnsForm(), {"file": [""]}) == {"file": [""]}
    assert not Upload.objects.exists()


@pytest.mark.parametrize("words", [["data.csv"], ["--file", "data.csv"]])
def test_so_does_the_command(db: None, declare: Any, words: list[str]) -> None:
    declared(declare)
    with pytest.raises(CommandError, match=r"file: give a file as @ and its path: @data\.csv"):
        call_command("compute", "columns", *words)


def test_what_can_t_be_read_is_told(
    db: None, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(CommandError, match="file: this file can't be read: "):
            uploaded(ColumnsForm(), {"file": [f"@{path}"]})
    monkeypatch.setattr(room, "used", lambda: 1.0)
    with pytest.raises(CommandError, match="file: the database holds"):
        uploaded(ColumnsForm(), {"file": [f"@{file}"]})
    assert not Content.objects.exists()


def test_what_has_no_end_or_is_too_long_is_refused_unread(
    db: None, tmp_path: Path, file: Path, settings: Any
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in ("/dev/zero", pipe):
        with pytest.raises(CommandError, match=f"file: {path} is no file; write what comes"):
            uploaded(ColumnsForm(), {"file": [f"@{path}"]})
    settings.MAX_UPLOAD_MB = 0.0001
    with pytest.raises(CommandError, match=r"a file may have 0\.0001 MB here \(MAX_UPLOAD_MB\)"):
        uploaded(ColumnsForm(), {"file": [f"@{file}"]})
    assert not Content.objects.exists()


def test_a_run_in_the_terminal_has_its_file(
    db: None, declare: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(declare)

    def follow(run: Run) -> None:
        run_jobs()
        run.refresh_from_db()

    monkeypatch.setattr("compute.management.terminal.follow", follow)
    out = StringIO()
    call_command("compute", "columns", f"@{file}", "--chunk-size", "1000", stdout=out)
    assert out.getvalue().split() == str(totals(100)).replace(",", " ").split() or (
        [int(each) for each in out.getvalue().strip("[]\n ").replace(",", " ").split()]
        == totals(100)
    )
    run = Run.objects.get()
    assert [upload.name for upload in run.uploads.all()] == ["data.csv"]
    assert run.chunks == -(-len(csv(100)) // 1000)
