"""Static files that nobody has collected, of which nothing tells but pages that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from compute.web import statics

MANIFEST = {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}


def test_files_that_are_found_as_they_are_need_no_collecting() -> None:
    assert statics.uncollected() == []


def test_what_the_manifest_lacks_is_told(
    settings: Any, tmp_path: Path, db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {**settings.STORAGES, "staticfiles": MANIFEST}
    all_of_them = statics.uncollected()
    assert "compute/compute.css" in all_of_them
    left = {name: name for name in all_of_them if name != "compute/compute.css"}
    manifest = {"version": "1.1", "paths": left, "hash": ""}
    (tmp_path / "staticfiles.json").write_text(json.dumps(manifest))
    settings.STORAGES = {**settings.STORAGES}  # made anew
    assert statics.uncollected() == ["compute/compute.css"]
    call_command("release", verbosity=0)
    said = capsys.readouterr().err
    assert "Static files are not collected (1, the first being compute/compute.css)" in said
    assert "./manage.py collectstatic" in said
