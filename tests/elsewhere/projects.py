"""Projects that have never heard of sums, each in a folder of its own, as docs/elsewhere.md makes
them: their settings, and the page of metrics, are its blocks of code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import psycopg

from tests import database
from tests.processes import ROOT, Process, Processes, tracked

TEXT = (ROOT / "docs" / "elsewhere.md").read_text()
BLOCKS = dict(re.findall(r"^```python\n# (.*?)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
TAKEN_IN = "settings.py"
COMING = "settings.py, of a project that has django-q2"
FRAMEWORK = "settings.py, for Django's own tasks"
PACKAGE = f"{FRAMEWORK} with Django 5.2"
DATABASE = f"settings.py, with {'Postgres' if database.ENGINE == 'postgres' else 'SQLite'}"

#: What this machine's and the tests' environment have that is no project's.
OURS = ("DATABASE_URL", "DEBUG", "DJANGO_SETTINGS_MODULE", "PYTHONPATH", "SECRET_KEY")


class Project:
    """A fresh project named shop, with an app named work, and a Python to run it with."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.python = python
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in OURS and not name.startswith(("COV_", "PYTEST_", "Q_"))
        }
        output = folder.parent / f"{folder.name}-output"
        output.mkdir()
        self.processes = Processes(output, {**environment, "PYTHONUNBUFFERED": "1"})
        folder.mkdir()
        self.call("-m", "django", "startproject", "shop", ".")
        self.startproject_settings = self.settings.read_text()
        source = ROOT / "tests" / "elsewhere" / "project"
        for path in source.rglob("*.py-tpl"):
            self.write(path.relative_to(source).with_suffix(".py"), path.read_text())
        self.write("work/__init__.py", "")
        self.write("work/metrics.py", BLOCKS["metrics.py"])

    @property
    def settings(self) -> Path:
        return self.folder / "shop" / "settings.py"

    def write(self, name: Path | str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def set(self, *blocks: str) -> None:
        """Have the settings of a new project, and these behind them."""
        own = 'INSTALLED_APPS = [*INSTALLED_APPS, "work"]\nALLOWED_HOSTS = ["testserver"]\n'
        self.settings.write_text("\n".join([self.startproject_settings, own, *blocks]))

    def take_in_the_folder(self) -> None:
        shutil.copytree(
            ROOT / "compute" / "queue",
            self.folder / "compute" / "queue",
            ignore=shutil.ignore_patterns("__pycache__"),
        )

    def migrate(self) -> None:
        """Make the tables, first those of its own app."""
        self.manage("makemigrations", "work")
        self.manage("migrate", "--verbosity", "0")

    def call(self, *arguments: str) -> str:
        """Run a Python of this project to its end; what it printed."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=self.processes.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def manage(self, *arguments: str) -> str:
        return self.call("manage.py", *arguments)

    def start(self, *arguments: str) -> Process:
        return self.processes.start(self.python, *arguments, cwd=self.folder)

    def cluster(self) -> Process:
        """A queue server, ours or stock django-q2's, once it has said that it runs."""
        process = self.start("manage.py", "qcluster")
        process.wait_for_output(r"Q Cluster .* running", 60)
        return process


@contextmanager
def empty_database(folder: Path) -> Iterator[str]:
    """The lines of settings for an empty database of the kind that the tests have."""
    if database.ENGINE == "sqlite":
        settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "shop.sqlite3")}
        yield lines(settings)
        return
    server, name = urlsplit(os.environ["DATABASE_URL"]), f"shop_{uuid.uuid4().hex}"
    with psycopg.connect(urlunsplit(server), autocommit=True) as maintenance:
        maintenance.execute(f"CREATE DATABASE {name}")
        host = parse_qs(server.query).get("host", [server.hostname or ""])[0]
        settings = {"ENGINE": "django.db.backends.postgresql", "NAME": name, "HOST": host}
        yield lines({**settings, "USER": server.username or "", "PASSWORD": server.password or ""})
        maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")


def lines(settings: dict[str, Any]) -> str:
    return f"DATABASES = {{'default': {settings!r}}}\n"


# --- the wheel -----------------------------------------------------------------------------


def built(folder: Path) -> Path:
    """The wheel of the queue, as the document builds it."""
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("sumsite_queue-*.whl")
    return wheel


def of_the_queue() -> set[str]:
    """The files that make it up."""
    return {name for name in tracked() if name.startswith("compute/queue/")}


def environment_with(wheel: Path, folder: Path) -> str:
    """The Python of an environment that has the wheel, and beside it what this one has."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = str(folder / "bin" / "python")
    site = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    Path(site, "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    return python


def empty_environment_with(wheel: Path, folder: Path) -> str:
    """The Python of an environment that has the wheel, and what it asks for, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    (extras,) = re.findall(r"pip install './dist/\S+\.whl(\[.+\])'", TEXT)
    wanted = f"{wheel}{extras}"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
    return python
