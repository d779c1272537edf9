"""What each host does with this project, done here: build, release, web, workers.

By the lines of its file, with the variables that this gives and those that the host itself
sets, and no others.
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
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import pytest
from uv import find_uv_bin

from tests import proxies
from tests.deployments import DEPLOYMENTS, DOT_ENV, Kind, compose, composed, instruction
from tests.processes import Process, Processes, clone_into, ended, free_port, wait_until

pytestmark = pytest.mark.postgres


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
    return Slug(folder / "site", {"PATH": path, "HOME": str(folder)})


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
    """Asks a site by its name, through what ends TLS: here itself, as a host's router would."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self.port = name, port

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, address: str, accept: str = "*/*", **headers: str) -> Any:
        """The reply, and its body."""
        connection = self.connection()
        try:
            sent = {"Host": self.name, "X-Forwarded-Proto": "https", "Accept": accept, **headers}
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


class VisitorOfCaddy(Visitor):
    """Asks through the proxy that compose.yaml starts."""

    def __init__(self, caddy: proxies.Proxy) -> None:
        super().__init__(f"localhost:{caddy.port}", caddy.port)
        self.tls = caddy.tls

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection("localhost", self.port, timeout=30, context=self.tls)


@pytest.fixture
def host(slug: Slug, empty_postgres: str, tmp_path: Path) -> Iterator[Processes]:
    """Starts processes as a host does, on the database that it hands over."""
    variables = {"DATABASE_URL": empty_postgres, "PYTHONUNBUFFERED": "1"}
    processes = Processes(tmp_path, {**slug.environment, **variables})
    yield processes
    processes.end()


@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_what_a_hosts_file_says_runs_on_a_small_hosts_postgres(
    name: str, slug: Slug, host: Processes, empty_postgres: str, tmp_path: Path
) -> None:
    deployment = DEPLOYMENTS[name]()
    assert not (slug.folder / ".env").exists()
    built = slug.run("sh", "-c", deployment.build, **deployment.web.variables)
    assert built.returncode == 0, built.stderr

    port = free_port()
    # Of what the file says another database and another port.
    given = {"DATABASE_URL": empty_postgres, "PORT": str(port)}

    def start(kind: Kind) -> list[Process]:
        return [
            host.start(
                *("sh", "-c", kind.line),
                cwd=slug.folder,
                **kind.variables,
                **{key: value.format(number=number) for key, value in kind.hosts.items()},
            )
            for number in range(1, kind.quantity + 1)
        ]

    with Connections(empty_postgres) as connections:
        (release,) = start(
            replace(deployment.release, variables=deployment.release.variables | given)
        )
        assert release.popen.wait(60) == 0, release.text()
        assert "Made the account 'admin'" in release.text()

        web = start(replace(deployment.web, variables=deployment.web.variables | given))
        workers = start(replace(deployment.worker, variables=deployment.worker.variables | given))
        visitor = Visitor(deployment.name, port)
        wait_until(visitor.answers, 30, "/healthz")
        if name == "compose":
            visitor = VisitorOfCaddy(proxies.caddy(host, f"127.0.0.1:{port}", tmp_path))
            check = composed(DOT_ENV)["services"]["worker"]["healthcheck"]["test"][1:]
            healthy = slug.run(
                *check, **{**host.environment, **deployment.worker.variables, **given}
            )
            assert healthy.returncode == 0, healthy.stderr
        follow_the_main_path(visitor)
        if name != "compose":
            plain, _ = visitor.ask("/", **{"X-Forwarded-Proto": "http"})
            assert (plain.status, plain.headers["Location"]) == (301, f"https://{visitor.name}/")

        # The formation at work, each of its processes with the connection that it keeps.
        for _ in range(20):
            visitor.get("/nodes/")
        steady = connections.now
        started = [*web, *workers]
        for process in started:
            process.send()
        assert [process.popen.wait(40) for process in started] == [0] * len(started)
    print(f"connections: {steady} at work, {connections.most} at most")
    assert connections.most <= 20
    assert steady <= 10, "a deploy has old and new processes side by side"
    assert steady >= 9, "two nodes of four, and the web server: else this counts nothing"
    for process in started:
        assert not re.search("Traceback|CRITICAL|too many|does not answer", process.text())


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
        assert check.startswith(f"https://{visitor.name}/split-sum-check/?task_id=")
        address = check.removeprefix(f"https://{visitor.name}")
        said = ended(lambda: json.loads(visitor.get(address)), what=check)  # noqa: B023
        assert said["total"] == 200000010000000

    def at_work() -> int:  # as their signs of life say, one a second
        nodes = json.loads(visitor.get("/nodes/"))["nodes"]
        return len([node for node in nodes if node["ended"]])

    wait_until(lambda: at_work() == 2, 10, "both queue servers took part")

    reply, login = visitor.ask("/admin/login/", "text/html")
    assert reply.status == 200
    assert "password" in login
    assert "secure" in reply.headers["Set-Cookie"].lower()


# --- the container, as far as that goes without a Docker engine ------------------------


def test_the_dockerfiles_commands_work_where_its_packages_are(slug: Slug, tmp_path: Path) -> None:
    """In the environment of the same packages, in place of /venv in the image."""
    folder = tmp_path / "site"
    shutil.copytree(slug.folder, folder, ignore=shutil.ignore_patterns("staticfiles", "tests"))
    container = Slug(folder, {"PATH": slug.environment["PATH"], "PYTHONUNBUFFERED": "1"})
    done = container.run("sh", "-c", compose().build)
    assert done.returncode == 0, done.stderr
    assert (folder / "staticfiles" / "staticfiles.json").exists()

    line = instruction("HEALTHCHECK")
    check, command = json.loads(line[line.index("[") :]), json.loads(instruction("CMD"))
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
