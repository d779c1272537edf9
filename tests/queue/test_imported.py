from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute.queue.imported import BEGAN, STEP_S, overtaken
from tests.processes import ROOT


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        (BEGAN - 1, False),
        (BEGAN - STEP_S / 2, True),
        (BEGAN, True),
        (time.time() + 86400, False),
    ],
    ids=["before", "in the same step of the clock", "since", "in the future"],
)
def test_what_was_written_to_since_is_overtaken(at: float, counts: bool) -> None:
    assert overtaken({Path("a"): at, Path("b"): BEGAN - 60}, BEGAN) == (
        {Path("a")} if counts else set()
    )


def test_the_moment_is_before_any_code_of_the_project_is_imported() -> None:
    """But for the packages that lead to it, and the settings."""
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import compute.queue.apps, sys; print(*(n for n in sys.modules if 'compute' in n))",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {"compute", "compute.queue", "compute.queue.apps", "compute.queue.imported"}
    assert set(found.stdout.split()) == names
