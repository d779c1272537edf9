"""Which tests run: a module's own, what has changed, what is quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.selection import changed, mirror_of, own_tests


@pytest.mark.parametrize(
    ("module", "tests"),
    [
        ("compute/chunking.py", "tests/test_chunking.py"),
        ("compute/queue/node/worker.py", "tests/queue/node/test_worker.py"),
        ("compute/queue/engines/__init__.py", "tests/queue/test_engines.py"),
        ("sumsite/settings.py", "tests/sumsite/test_settings.py"),
    ],
)
def test_a_module_has_its_mirror(module: str, tests: str) -> None:
    assert mirror_of(Path(module)) == Path(tests)
    assert own_tests(Path(module)) == ROOT / tests


def test_a_test_is_its_own_and_other_files_have_none() -> None:
    assert own_tests(Path("tests/test_selection.py")) == Path(__file__)
    for name in ("README.md", "templates/base.html", "tests/conftest.py", "manage.py"):
        assert own_tests(Path(name)) is None


def test_what_is_not_committed_has_changed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        name = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    for name in ("kept.py", "edited.py", ".gitignore"):
        (tmp_path / name).write_text("ignored.py")
    git("add", "--all")
    git("commit", "--message=all")
    assert changed(tmp_path) == []
    changed.cache_clear()
    (tmp_path / "edited.py").write_text("edited")
    (tmp_path / "new one.py").touch()
    (tmp_path / "ignored.py").touch()
    assert changed(tmp_path) == [Path("edited.py"), Path("new one.py")]


@pytest.mark.thorough
def test_nothing_that_starts_a_process_is_quick() -> None:
    command = (sys.executable, "-m", "pytest", "--collect-only", "--quiet", "--quick")
    files = ("tests/test_chunking.py", "tests/browser", "tests/chaos", "tests/test_readme.py")
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tests/chaos" not in done.stdout
    assert "::test_the_commands_do_what_the_readme_says" not in done.stdout
