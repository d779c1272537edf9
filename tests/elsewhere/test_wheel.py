"""What the wheel is made of."""

from __future__ import annotations

import re
import tomllib
import zipfile
from itertools import chain
from pathlib import Path

import pytest

from tests.elsewhere.projects import BLOCKS, of_the_queue
from tests.processes import ROOT

pytestmark = pytest.mark.once

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.thorough
def test_the_wheel_has_the_folder_and_nothing_else(wheel: Path) -> None:
    """Above all not `compute/__init__.py`, which would hide a project's own."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == of_the_queue()


def test_it_asks_for_what_the_site_asks_for() -> None:
    ranges = dict(
        re.findall(r"^([\w-]+)(?:\[\w+\])?(\S+)", (ROOT / "requirements.in").read_text(), re.M)
    )
    for requirement in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        name, range_ = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(\S+)", requirement).groups()  # type: ignore[union-attr]
        assert ranges[name] == range_, name


def test_the_document_has_the_blocks_that_tests_take() -> None:
    assert len(BLOCKS) == 7
