"""The queue in projects that have never heard of sums, taken in as docs/elsewhere.md says."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import django
import psutil
import pytest

from tests.elsewhere.projects import (
    BLOCKS,
    COMING,
    DATABASE,
    FRAMEWORK,
    PACKAGE,
    TAKEN_IN,
    Project,
    empty_environment_with,
    environment_with,
)
from tests.processes import Process

#: Settings of a project that has them all its own way.
ODD = """
DEBUG = False
LANGUAGE_CODE = "de"
TIME_ZONE = "America/Chicago"
USE_THOUSAND_SEPARATOR = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
AUTH_USER_MODEL = "work.Person"
DATABASES["default"]["ATOMIC_REQUESTS"] = True
DATABASES["other"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "other.sqlite3"}
"""
#: A dead node's tasks are taken over soon.
HASTY = "Q_LEASE = 3\n"
#: Settings of a project with stock django-q2, and its ORM broker.
STOCK = """
INSTALLED_APPS = [*INSTALLED_APPS, "django_q"]
Q_CLUSTER = {
    "name": "shop", "orm": "default", "workers": 2, "timeout": 10, "retry": 12, "max_attempts": 1
}
"""


def take_in(project: Project, empty: str, *more: str) -> None:
    """What the document says, up to its commands."""
    urls = 'ROOT_URLCONF = "work.urls"'
    project.set(empty, BLOCKS[TAKEN_IN], BLOCKS[DATABASE], own_tasks(), urls, *more)
    project.migrate()
    project.manage("check", "--fail-level", "WARNING")


def own_tasks() -> str:
    """Django's, which are a package before 6.0."""
    names = (FRAMEWORK, PACKAGE) if django.VERSION < (6, 0) else (FRAMEWORK,)
    return "\n".join(BLOCKS[name] for name in names)


def use(project: Project) -> str:
    """Do all that a project does with the queue; what was found fine."""
    project.call("uses.py", "ask")
    node = project.cluster()
    said = project.call("uses.py", "see")
    assert said.endswith("all is fine\n")
    assert node.stop() == 0
    return said


@pytest.mark.thorough
def test_a_project_takes_the_folder_in(project: Project, empty: str) -> None:
    project.take_in_the_folder()
    take_in(project, empty)
    use(project)


@pytest.mark.thorough
def test_a_project_with_its_own_ways_installs_the_wheel(
    project_of: Callable[[str], Project], empty: str, wheel: Path, tmp_path: Path
) -> None:
    project = project_of(environment_with(wheel, tmp_path / "environment"))
    take_in(project, empty, ODD)
    use(project)
    others = project.call("-c", "import compute; print(*compute.__path__)")
    assert others.strip() == str(next(tmp_path.glob("environment/lib/*/site-packages/compute")))


@pytest.mark.long
def test_the_wheel_brings_all_that_it_needs(
    project_of: Callable[[str], Project], empty: str, wheel: Path, tmp_path: Path
) -> None:
    project = project_of(empty_environment_with(wheel, tmp_path / "environment"))
    take_in(project, empty, HASTY)
    use(project)
    chaos(project, seconds=20)


# --- under random kills -------------------------------------------------------------------


@pytest.mark.thorough
def test_whatever_is_killed_every_task_ends_once(project: Project, empty: str) -> None:
    project.take_in_the_folder()
    take_in(project, empty, HASTY)
    chaos(project, seconds=8)


@pytest.mark.long
def test_a_minute_of_chaos(project: Project, empty: str) -> None:
    project.take_in_the_folder()
    take_in(project, empty, HASTY)
    chaos(project, seconds=60)


def chaos(project: Project, seconds: float) -> None:
    """Kill whatever two queue servers are made of, while tasks are asked for."""
    nodes = [project.cluster(), project.cluster()]
    work = project.start("chaos.py", str(seconds))
    choices = random.Random(1)  # noqa: S311 - no secret
    kills: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end and runs(work):
        time.sleep(choices.uniform(0.2, 1))
        nodes = [node if runs(node) else project.cluster() for node in nodes]
        victims = choices.choice(nodes).family()
        if choices.random() < 0.8:
            victims = [choices.choice(victims)] if victims else []
        kills["one" if len(victims) == 1 else "all"] += 1
        for victim in victims:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                continue
    while runs(work):  # until all has come to rest, of which it sees to the end
        nodes = [node if runs(node) else project.cluster() for node in nodes]
        time.sleep(0.1)
    assert work.popen.returncode == 0, work.text()
    print(f"\nkilled {dict(kills)}: {work.text().splitlines()[-1]}")
    assert sum(kills.values()) > seconds / 3
    for node in nodes:
        assert node.stop() == 0


def runs(process: Process) -> bool:
    return process.popen.poll() is None


# --- coming from django-q2 ----------------------------------------------------------------


@pytest.mark.thorough
def test_a_project_with_stock_django_q2_goes_over_and_back(project: Project, empty: str) -> None:
    project.set(empty, STOCK)
    project.migrate()
    stock = project.cluster()
    project.call("moves.py", "before")
    stock.kill_all()
    project.call("moves.py", "waiting")

    project.take_in_the_folder()
    project.set(empty, STOCK, BLOCKS[COMING], BLOCKS[DATABASE])
    project.manage("migrate", "--verbosity", "0")
    project.manage("check", "--fail-level", "WARNING")
    node = project.cluster()
    project.call("moves.py", "over")
    project.call("moves.py", "given")
    assert node.stop() == 0
    project.call("moves.py", "more")

    project.set(empty, STOCK, BLOCKS[DATABASE])
    stock = project.cluster()
    project.call("moves.py", "back")
    stock.kill_all()

    project.set(empty, STOCK, BLOCKS[COMING], BLOCKS[DATABASE])
    node = project.cluster()
    project.call("moves.py", "again")
    assert node.stop() == 0
    project.manage("migrate", "queue", "zero", "--verbosity", "0")
    project.manage("migrate", "--verbosity", "0")
    project.manage("check", "--fail-level", "WARNING")


@pytest.mark.thorough
def test_a_project_that_is_set_wrongly_is_told_so(project: Project, empty: str) -> None:
    """By sentences, and not by an error of whatever comes first."""
    project.take_in_the_folder()
    wrong = {
        'INSTALLED_APPS = [*INSTALLED_APPS, "compute.queue"]': {"E001", "E002", "E003"},
        'INSTALLED_APPS = [*INSTALLED_APPS, "django_q", "compute.queue"]': {
            *("E001", "E002", "E003"),
        },
        f"{BLOCKS[TAKEN_IN]}\nUSE_TZ = False": {"E006"},
        f'{BLOCKS[TAKEN_IN]}\nQ_CLUSTER["guard_cycle"] = 60': {"E005"},
    }
    for settings, ids in wrong.items():
        project.set(empty, settings)
        process = project.start("manage.py", "check", "--tag", "queue")
        assert process.popen.wait(60) == 1
        assert set(re.findall(r"queue\.(E\d+)", process.text())) == ids, process.text()
