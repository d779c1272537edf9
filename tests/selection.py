"""pytest plugin: which of the tests run.

A module of the site has its own tests in its mirror: compute/queue/fanout.py in
tests/queue/test_fanout.py, a package's `__init__` in that of the package, sumsite/ in
tests/sumsite/. What many modules do together is tested in files of other names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from tests.database import ENGINE

#: Folders of tests that start processes, and fixtures that do.
STARTING = {"workers", "chaos", "browser", "elsewhere"}
PROCESSES = {"processes", "reader", "site", "page", "suite"}
#: Fixtures and marks of tests that see the database. pytest-django lets no other see it.
DATABASE = {"db", "transactional_db", "database_away", "django_db", "sqlite", "postgres"}
ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")
    parser.addoption(
        "--quick", action="store_true", help="run what one process can test, and takes no time"
    )
    parser.addoption(
        "--changed", action="store_true", help="run the tests of what git says has changed"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--changed") or collection_path.suffix != ".py":
        return None
    return collection_path not in tests_of_changes() or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for, or can't be (bin/test says so at its end)."""
    unwanted = {"postgres"} if ENGINE == "sqlite" else {"sqlite", "once"}
    if not config.getoption("--long"):
        unwanted.add("long")
    if chromium() is None and "CI" not in os.environ:
        unwanted.add("browser")
    if nginx() is None and "CI" not in os.environ:
        unwanted.add("proxy")
    left_out = [item for item in items if unwanted & {mark.name for mark in item.iter_markers()}]
    if ENGINE != "sqlite":
        left_out += [item for item in items if not sees_the_database(item)]
    if config.getoption("--quick"):
        left_out += [item for item in items if not is_quick(item)]
    for item in items:
        if not is_measured(item):
            item.add_marker("no_cover")
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import what nothing else has by now. A first import within a test that is not measured would
    leave a module's own lines uncounted, so that it hung on the order of the tests."""
    for module in ROOT.glob("compute/**/*.py"):
        if not {"computations", "migrations"} & set(module.parts):  # an author's may be wrong
            import_module(".".join(module.relative_to(ROOT).with_suffix("").parts))


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    if not config.getoption("--changed"):
        return []
    others = [str(path) for path in changed() if own_tests(path) is None]
    said = "without tests of their own: " + ", ".join(others)
    return [said] if others else []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where nothing has changed, nothing is wrong."""
    if (
        session.config.getoption("--changed")
        and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    ):
        session.exitstatus = pytest.ExitCode.OK


def is_quick(item: pytest.Item) -> bool:
    """Whether a test starts no process, and takes no time to speak of."""
    return not item.get_closest_marker("thorough") and not starts_processes(item)


def starts_processes(item: pytest.Item) -> bool:
    return bool(PROCESSES & fixtures_of(item) or STARTING & set(item.path.parts))


def sees_the_database(item: pytest.Item) -> bool:
    """Whether a test can tell one database from another; of any other, once is enough."""
    known = fixtures_of(item) | {mark.name for mark in item.iter_markers()}
    return bool(DATABASE & known) or starts_processes(item)


def is_measured(item: pytest.Item) -> bool:
    """Whether the lines that a test runs count as tested: if it is about a module, not about many.

    Measuring takes as long again as the test. On Postgres it is done where that can differ.
    """
    return item.path in MEASURED or (QUEUE in item.path.parents)


def measured() -> Iterator[Path]:
    for top in "compute", "sumsite":
        for module in ROOT.glob(f"{top}/**/*.py"):
            if ENGINE == "sqlite" or ASKS_WHICH.search(module.read_text()):
                yield ROOT / mirror_of(module.relative_to(ROOT))


def fixtures_of(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


def mirror_of(path: Path) -> Path:
    """The file of tests of a module, both from the project's folder."""
    folder, name = path.parent, path.stem
    if name == "__init__":
        folder, name = folder.parent, folder.name
    above, *below = folder.parts or (name,)
    return Path("tests", *([above] if above == "sumsite" else []), *below, f"test_{name}.py")


@cache
def changed(folder: Path = ROOT) -> list[Path]:
    """What differs from the last commit, or is not in it."""
    commands = (
        ("diff", "--name-only", "--relative", "HEAD"),
        ("ls-files", "-o", "--exclude-standard"),
    )
    found = set()
    for command in commands:
        try:
            said = subprocess.check_output(["git", *command, "-z"], cwd=folder, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise pytest.UsageError(f"--changed asks git, which does not know: {error}") from None
        found |= {Path(name) for name in said.split("\0") if name}
    return sorted(found)


@cache
def tests_of_changes() -> set[Path | None]:
    return {own_tests(path) for path in changed()}


def own_tests(path: Path) -> Path | None:
    """The file of tests that a change of this one touches, if there is one."""
    own = path if path.parts[0] == "tests" else mirror_of(path)
    is_one = path.suffix == ".py" and own.name.startswith("test_") and (ROOT / own).exists()
    return ROOT / own if is_one else None


QUEUE = ROOT / "tests" / "queue"
#: How a module asks which database it has.
ASKS_WHICH = re.compile(r"connection\.(vendor|ops)")
MEASURED = set(measured())


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def nginx() -> str | None:
    """Debian has it where only root's PATH goes."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
