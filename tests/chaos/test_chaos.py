"""A short stretch of chaos; `bin/chaos` makes longer ones."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests import database
from tests.processes import ROOT


@pytest.mark.parametrize("nodes", [1 if database.ENGINE == "sqlite" else 3])
def test_whatever_is_killed_every_run_ends_and_every_total_is_exact(
    pytestconfig: pytest.Config, nodes: int
) -> None:
    """Each time with another seed: that of the tests' order, which pytest prints."""
    seed = pytestconfig.getoption("randomly_seed")
    command = [sys.executable, "-m", "tests.chaos.driver", "--seconds", "20", "--every", "1.5"]
    command += ["--seed", str(seed), "--nodes", str(nodes), "--database", database.ENGINE]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "Q_LEASE": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "violations: 0" in done.stdout
