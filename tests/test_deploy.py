"""What a Heroku-like host does with this project, done here: build, release, web, workers.

With the variables that app.json gives and those that the host itself sets, and no others.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import pytest
from uv import find_uv_bin

from tests.processes import Processes, clone_into, free_port, wait_until
from tests.test_deploy_files import app_variables, instructions, lines

pytestmark = pytest.mark.postgres

#: A name under the one that app.json allows.
NAME = "sums-of-mine.herokuapp.com"


class Slug(NamedTuple):
    """What a host's build makes: the code, and an environment of its packages alone."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def slug(tmp_path_factory: pytest.TempPathFactory) -> Slug:
    folder = tmp_path_factory.mktemp("host")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    clone_into(folder / "site")
    # By uv, which looks at the hashes as pip does and takes a tenth of the time.
    install = ["install", "--require-hashes", "--no-config", "-r", "requirements.txt"]
    for command in (install, ["check"]):
        uv = [find_uv_bin(), "pip", *command, "--quiet", "--python", str(venv)]
        done = subprocess.run(uv, cwd=folder / "site", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    path = f"{venv / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    slug = Slug(folder / "site", {"PATH": path, "HOME": str(folder), **app_variables()})
    collected = slug.run("python", "manage.py", "collectstatic", "--noinput")
    assert collected.returncode == 0, collected.stderr
    return slug


class Connections:
    """Counts the connections to a database, many times a second, and keeps the most."""

    def __init__(self, address: str) -> None:
        self.address, self.name = address, urlsplit(address).path[1:]
        self.now = self.most = 0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.count)

    def count(self) -> None:
        # As the tests' superuser, to the server's own database: this one counts for nothing.
        parts = urlsplit(self.address)
        address = parts._replace(netloc="postgres@", path="/postgres").geturl()
        with psycopg.connect(address, autocommit=True) as observer:
            while not self.end.wait(0.02):
                (self.now,) = observer.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [self.name]
                ).fetchone() or (0,)
                self.most = max(self.most, self.now)

    def __enter__(self) -> Connections:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self.thread.join()


class Visitor:
    """Asks through the host's router, which ends TLS and says so in a header."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, address: str, accept: str = "*/*", **headers: str) -> Any:
        """The reply, and its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {"Host": NAME, "X-Forwarded-Proto": "https", "Accept": accept, **headers}
            connection.request("GET", address, headers=sent)
            reply = connection.getresponse()
            return reply, reply.read().decode(errors="replace")
        finally:
            connection.close()

    def get(self, address: str, accept: str = "*/*") -> str:
        reply, body = self.ask(address, accept)
        assert reply.status == 200, (address, reply.status, body)
        return str(body)

    def answers(self) -> bool:
        try:
            return bool(self.ask("/healthz")[0].status == 200)
        except OSError:
            return False


@pytest.fixture
def host(slug: Slug, empty_postgres: str, tmp_path: Path) -> Iterator[Processes]:
    """Starts the Procfile's lines as dynos."""
    variables = {"DATABASE_URL": empty_postgres, "PYTHONUNBUFFERED": "1"}
    processes = Processes(tmp_path, {**slug.environment, **variables})
    yield processes
    processes.end()


def test_the_default_formation_runs_on_a_small_hosts_postgres(
    slug: Slug, host: Processes, empty_postgres: str
) -> None:
    procfile, formation = lines("Procfile"), json.loads((slug.folder / "app.json").read_text())
    assert not (slug.folder / ".env").exists()
    with Connections(empty_postgres) as connections:
        release = host.start("sh", "-c", procfile["release"], cwd=slug.folder, DYNO="release.1")
        assert release.popen.wait(60) == 0, release.text()
        assert "Made the account 'admin'" in release.text()

        port = free_port()
        dynos = [
            host.start("sh", "-c", procfile[kind], cwd=slug.folder, PORT=str(port), DYNO=name)
            for kind, process in formation["formation"].items()
            for name in (f"{kind}.{number + 1}" for number in range(process["quantity"]))
        ]
        visitor = Visitor(port)
        wait_until(visitor.answers, 30, "/healthz")
        follow_the_main_path(visitor)

        # The formation at work, each of its processes with the connection that it keeps.
        for _ in range(20):
            visitor.get("/nodes/")
        steady = connections.now
        for dyno in dynos:
            dyno.send()
        assert [dyno.popen.wait(40) for dyno in dynos] == [0] * len(dynos)
    print(f"connections: {steady} at work, {connections.most} at most")
    assert connections.most <= 20
    assert steady <= 10, "a deploy has old and new dynos side by side"
    assert steady >= 9, "two nodes of four, and the web server: else this counts nothing"
    for dyno in dynos:
        assert not re.search("Traceback|CRITICAL|too many|does not answer", dyno.text())


def follow_the_main_path(visitor: Visitor) -> None:
    """As a visitor does: the page and its files, a run until it is done, the admin."""
    wait_until(lambda: visitor.ask("/readyz")[0].status == 200, 30, "/readyz")
    reply, page = visitor.ask("/", "text/html")
    assert reply.status == 200
    assert "max-age=31536000" in reply.headers["Strict-Transport-Security"]
    files = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(files) >= 2
    for file in files:
        assert re.search(r"\.[0-9a-f]{12}\.", file), file
        reply, _ = visitor.ask(file)
        assert reply.status == 200, file
        assert "immutable" in reply.headers["Cache-Control"]

    checks = [
        json.loads(visitor.get("/split-sum-start/?n=20000000&chunk_size=1000000"))["task_progress"]
        for _ in range(2)
    ]
    for check in checks:
        assert check.startswith(f"https://{NAME}/split-sum-check/?task_id=")
        address = check.removeprefix(f"https://{NAME}")
        wait_until(lambda a=address: "in-progress" not in visitor.get(a), 60, check)
        assert json.loads(visitor.get(address))["total"] == 200000010000000
    nodes = json.loads(visitor.get("/nodes/"))["nodes"]
    assert len([node for node in nodes if node["ended"]]) == 2, "both queue servers took part"

    reply, login = visitor.ask("/admin/login/", "text/html")
    assert reply.status == 200
    assert "password" in login
    assert "secure" in reply.headers["Set-Cookie"].lower()
    plain, _ = visitor.ask("/", **{"X-Forwarded-Proto": "http"})
    assert (plain.status, plain.headers["Location"]) == (301, f"https://{NAME}/")


# --- the container, as far as that goes without a Docker engine ------------------------


def test_the_dockerfiles_commands_work_where_its_packages_are(slug: Slug, tmp_path: Path) -> None:
    """In the environment of the same packages, in place of /venv in the image."""
    folder = tmp_path / "site"
    shutil.copytree(slug.folder, folder, ignore=shutil.ignore_patterns("staticfiles", "tests"))
    container = Slug(folder, {"PATH": slug.environment["PATH"], "PYTHONUNBUFFERED": "1"})
    (collect,) = [
        line.partition(" && useradd")[0] for name, line in instructions() if "collectstatic" in line
    ]
    done = container.run("sh", "-c", collect.removeprefix("RUN "))
    assert done.returncode == 0, done.stderr
    assert (folder / "staticfiles" / "staticfiles.json").exists()

    (check,) = [
        json.loads(line[line.index("[") :])
        for name, line in instructions()
        if name == "HEALTHCHECK"
    ]
    (command,) = [json.loads(line) for name, line in instructions() if name == "CMD"]
    port = free_port()
    variables = {
        "PORT": str(port),
        "SECRET_KEY": "s" * 60,
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "ALLOWED_HOSTS": "sums.example",
    }
    assert container.run(*check, **variables).returncode != 0, "nobody is there"
    processes = Processes(tmp_path, {**container.environment, **variables})
    try:
        web = processes.start(*command, cwd=folder)
        web.wait_for_output("Booting worker")
        wait_until(lambda: container.run(*check, **variables).returncode == 0, 30, "healthy")
        assert web.stop() == 0
    finally:
        processes.end()
