"""A clone with computations of somebody's own beside ours: all that held still holds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, clone_into

PLAIN = """
from django import forms
from compute.computation import Computation
class F(forms.Form):
  k = forms.IntegerField()
def half(k): return k / 2
PLAIN = Computation(name='halves', line='Halves a number.', title='half of {k}'.format,
    form=F, function=half, length=lambda k: 1, cut=lambda chunk_size, k: [(k,)], combine=sum)
"""

# What knows which computations there are.
TESTS = (
    *("tests/computations", "tests/test_checks.py", "tests/management"),
    *("tests/test_contract.py", "tests/test_declarations.py", "tests/web/test_runs.py"),
    *("tests/test_readme.py::test_every_command_has_its_step", "tests/test_computations.py"),
)


@pytest.mark.once
@pytest.mark.thorough
def test_checks_and_tests_stay_green_beside_computations_of_somebodys_own(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    clone_into(clone)
    own = {"compute/computations/plain.py": PLAIN}
    readme = (ROOT / "README.md").read_text()
    for code in re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
        if file := re.match(r"# (\S+collatz\.py)\n", code):
            own[file[1]] = code
    assert len(own) == 3
    for name, code in own.items():
        (clone / name).write_text(code)
    # The packages are there already: bin/check finds its note of them and installs nothing.
    (clone / ".venv").symlink_to(sys.prefix)
    wanted = [(clone / name).read_text() for name in ("requirements.txt", "requirements-dev.txt")]
    (clone / ".venv" / "installed-requirements-dev.txt").write_text("".join(wanted))

    named_by_us = {"DATABASE_URL", "DEBUG", "SECRET_KEY", "TMPDIR", "XDG_RUNTIME_DIR"}
    environment = {name: text for name, text in os.environ.items() if name not in named_by_us}
    if (known := ROOT / ".mypy_cache").exists():  # what mypy has found out about the rest
        shutil.copytree(known, clone / ".mypy_cache")
    tests = (sys.executable, "-m", "pytest", "-q", "--quick", *TESTS)
    for command in ("bin/check",), tests:
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
