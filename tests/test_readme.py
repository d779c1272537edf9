"""Follows the README: every command, in its order, and every address, in a fresh clone.

A command that is new in the README has no step here, and fails the first test. The commands
of docs/reference.md are run in the same clone, by examples.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from compute.computations import OURS
from tests.deployments import composed
from tests.processes import ROOT, Process, Processes, clone_into, ended, free_port, wait_until
from tests.test_documents import named_commands

README = (ROOT / "README.md").read_text()
pytestmark = pytest.mark.once


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def files() -> list[tuple[str, str]]:
    """The files that the README has its reader write: path and text."""
    found = [re.match(r"# (\S+\.py)\n", block) for block in blocks("python")]
    return [(match[1], match.string) for match in found if match]


def commands() -> list[str]:
    return [line for block in blocks("shell") for line in block.splitlines() if line]


class Reader:
    """Somebody who follows the README in a clone of their own."""

    def __init__(self, clone: Path, processes: Processes) -> None:
        self.clone = clone
        self.dot_env = clone / ".env"
        self.processes = processes
        self.port = free_port()
        self.dev = self.serve("bin/dev", r"Listening at")
        wait_until(lambda: self.fetch("http://localhost:8000/readyz") == 200, 30)

    def mine(self, text: str) -> str:
        return text.replace("localhost:8000", f"localhost:{self.port}")

    def serve(self, command: str, ready: str, **environment: str) -> Process:
        """Start a command that runs until it is stopped, and wait until it is ready."""
        process = self.processes.start(
            "sh",
            "-c",
            f". .venv/bin/activate; exec env {command}",
            cwd=self.clone,
            **{"PORT": str(self.port), **environment},
        )
        process.wait_for_output(ready, 120)
        return process

    def run(self, command: str) -> str:
        """Run a command that ends; what it prints."""
        done = subprocess.run(
            ["sh", "-c", f". .venv/bin/activate; {self.mine(command)}"],
            cwd=self.clone,
            env=self.processes.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fetch(self, address: str, accept: str = "*/*") -> int:
        try:
            with urlopen(
                Request(self.mine(address), headers={"Accept": accept}), timeout=60
            ) as reply:
                return int(reply.status)
        except HTTPError as error:
            return error.code

    def follow(self, command: str) -> dict[str, object]:
        """Start a run as the README says, and ask its check address until it has ended."""
        address = json.loads(self.run(command))["task_progress"]
        outcome: dict[str, object] = ended(
            lambda: json.loads(self.run(f"curl -s '{address}'")), what=address
        )
        return outcome


Step = Callable[[Reader, str], None]


def prints(expected: str) -> Step:
    def step(reader: Reader, command: str) -> None:
        assert expected in reader.run(command)

    return step


def succeeds(reader: Reader, command: str) -> None:
    reader.run(command)


def ends_with(status: str, total: int | None) -> Step:
    def step(reader: Reader, command: str) -> None:
        said = reader.follow(command)
        assert (said["status"], said["total"]) == (status, total)

    return step


def serves(ready: str) -> Step:
    def step(reader: Reader, command: str) -> None:
        reader.serve(command, ready, PORT=str(free_port())).stop(signal.SIGINT)

    return step


def serves_on_a_port_of_its_own(reader: Reader, command: str) -> None:
    """`runserver` takes no PORT: bin/dev has the default one in the README's own terminals."""
    port = free_port()
    process = reader.serve(f"{command} {port}", "Quit the server with CONTROL-C")
    with urlopen(f"http://localhost:{port}/sum-sync/?n=1000", timeout=30) as reply:
        assert json.load(reply) == {"total": 500500}
    process.stop(signal.SIGINT)


def serves_where_dot_env_says(reader: Reader, command: str) -> None:
    """Where `bin/dev` served when it wrote the file. Here that one still does."""
    kept = reader.dot_env.read_text()
    assert f"PORT={reader.port}\n" in kept
    port = free_port()
    reader.dot_env.write_text(re.sub("PORT=.*", f"PORT={port}", kept))
    process = reader.serve(command, "(?s)(?=.*Listening at).*Q Cluster \\w+ running")
    with urlopen(f"http://localhost:{port}/sum-sync/?n=1000", timeout=30) as reply:
        assert json.load(reply) == {"total": 500500}
    process.stop(signal.SIGINT)
    reader.dot_env.write_text(kept)


def serves_without_the_guard(reader: Reader, command: str) -> None:
    """With a shorter patience than 30 s; tests/workers sees the answer that it cuts off."""
    port = free_port()
    process = reader.serve(command, "Listening at", PORT=str(port), WEB_TIMEOUT="2")
    with suppress(OSError):
        urlopen(f"http://localhost:{port}/sum-sync/?n=3000000000", timeout=30)
    process.wait_for_output(r"\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\)")
    process.stop()


def writes_the_files_that_follow(reader: Reader, command: str) -> None:
    """What the command writes passes its own test; then the reader changes it."""
    reader.run(command)
    reader.run("bin/test tests/computations/test_collatz.py")
    for path, text in files():
        assert reader.clone.joinpath(path).exists(), f"{command} has written {path}"
        reader.clone.joinpath(path).write_text(text)
    assert sum(bool(line.strip()) for _, text in files() for line in text.splitlines()) <= 35


def ends_with_837799(reader: Reader, command: str) -> None:
    page = "http://localhost:8000/compute/collatz/"
    wait_until(lambda: reader.fetch(page, "text/html") == 200, 30, "the site has reloaded")
    assert reader.follow(command)["result"] == [524, 837799]


def not_run(reason: str) -> Step:
    def step(reader: Reader, command: str) -> None:
        assert reason

    return step


def finds_the_pins_up_to_date(reader: Reader, command: str) -> None:
    """For whatever stands in the .in files, the .txt files are what it would write."""
    files = [
        reader.clone / f"{name}.txt"
        for name in ("requirements", "requirements-dev", "bench/requirements")
    ]
    before = [file.read_text() for file in files]
    reader.run(command)
    assert [file.read_text() for file in files] == before


def writes_what_compose_asks_for(reader: Reader, command: str) -> None:
    """In a folder of its own, for the reader has a .env already, which bin/dev made."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["sh", "-c", command], cwd=folder, check=True)
        text = Path(folder, ".env").read_text()
    variables = dict(line.split("=", 1) for line in text.splitlines())
    assert composed(variables)["services"]["web"]["environment"]["ALLOWED_HOSTS"] in text
    assert len(variables["SECRET_KEY"]) == 64


NO_DOCKER = not_run(
    "there is no Docker engine; tests/test_deploy.py runs what compose.yaml and Dockerfile say"
)

#: The README's commands, in its order, and what a reader would see.
STEPS: list[tuple[str, Step]] = [
    ("bin/dev", not_run("the reader's own, which runs all the time")),
    ("bin/test", not_run("it is what runs this")),
    ("source .venv/bin/activate", not_run("every command here begins with it")),
    ("curl 'http://localhost:8000/sum-sync/?n=1000'", prints('{"total": 500500}')),
    ("SUM_SYNC_MAX_N=0 bin/dev", serves_without_the_guard),
    (
        "curl 'http://localhost:8000/sum-sync/?n=3000000000'",
        not_run("asked within the step before, while the guard is off"),
    ),
    (
        "curl 'http://localhost:8000/sum-sync/?n=3000000000'",
        prints("start it at /sum-start/?n=3000000000 instead"),
    ),
    ("./manage.py qcluster", serves("Q Cluster .* running")),
    ("./manage.py runserver", serves_on_a_port_of_its_own),
    ("honcho start", serves_where_dot_env_says),
    ("curl 'http://localhost:8000/sum-start/?n=30000000'", ends_with("done", 450000015000000)),
    ("./manage.py sum 200000000 --split", prints("20000000100000000\n")),
    ("curl 'http://localhost:8000/bug-sum-start/?n=100000000'", ends_with("error", None)),
    (
        "curl 'http://localhost:8000/split-sum-start/?n=1000000000'",
        ends_with("done", 500000000500000000),
    ),
    (
        "curl 'http://localhost:8000/split-sum-start/?n=100000000&chunk_size=50000000'",
        ends_with("done", 5000000050000000),
    ),
    (
        "curl 'http://localhost:8000/split-sum-start/?n=100000000&chunk_size=10000'",
        not_run("10,000 chunks take a minute; tests/workers runs as many with --long"),
    ),
    ("./manage.py qcluster", serves("Q Cluster .* running")),
    (
        "SECRET_KEY=… DATABASE_URL=postgres://user:password@db.example.com/sumsite "
        "./manage.py qcluster",
        not_run("there is no such host; tests/workers runs nodes on a Postgres"),
    ),
    ("./manage.py startcomputation collatz", writes_the_files_that_follow),
    ("bin/test tests/computations/test_collatz.py", prints("1 passed")),
    ("./manage.py compute collatz 100000", prints("[350, 77031]\n")),
    ("curl 'http://localhost:8000/compute/collatz/start/?n=1000000'", ends_with_837799),
    (
        """umask 077; printf '%s\\n' "SECRET_KEY=$(openssl rand -hex 32)" """
        """"POSTGRES_PASSWORD=$(openssl rand -hex 16)" """
        """"ADMIN_PASSWORD=$(openssl rand -hex 12)" ALLOWED_HOSTS=sums.example.com >> .env""",
        writes_what_compose_asks_for,
    ),
    ("docker compose up --build --detach --scale worker=2", NO_DOCKER),
]

#: An example of each command of the reference, by its name there.
EXAMPLES: dict[str, tuple[str, Step]] = {
    "bin/dev": ("bin/dev", not_run("the reader's own")),
    "bin/test": ("bin/test --quick tests/test_chunking.py", prints(" passed")),
    "bin/check": ("bin/check", not_run("CI runs it by itself")),
    "bin/requirements": ("bin/requirements", finds_the_pins_up_to_date),
    "bin/chaos": ("bin/chaos --help", prints("--seconds")),
    "bin/bench": ("bin/bench", not_run("it installs Redis; tests/test_bench.py reads its results")),
    "qcluster": ("./manage.py qcluster --name slow", serves("Q Cluster .* running")),
    "sum": ("./manage.py sum 1000 --split --chunk-size 100", prints("500500\n")),
    "compute": ("./manage.py compute primes 10000000", prints("664579\n")),
    "startcomputation": ("./manage.py startcomputation halves", prints("halves.py")),
    "try_samples": ("./manage.py try_samples", succeeds),
    "retry": ("./manage.py retry --computation primes", succeeds),
    "cancel": ("./manage.py cancel --all", succeeds),
    "pause": ("./manage.py pause --all", succeeds),
    "resume": ("./manage.py resume --computation primes", succeeds),
    "drain": (
        "node=$(./manage.py shell -v 0 -c "
        "'from compute.queue.models import Node; print(Node.objects.alive()[0].pk)') && "
        "./manage.py drain $node && ./manage.py drain --undo $node",
        prints("works again"),
    ),
    "pause_queue": ("./manage.py pause_queue && ./manage.py pause_queue --undo", succeeds),
    "prune": ("./manage.py prune --days 7 --dry-run", prints("Would remove: nothing")),
    "copy_database": ("./manage.py copy_database", not_run("tests/test_operations.py moves one")),
    "release": ("./manage.py release", prints("No migrations to apply")),
    "health_check": ("./manage.py health_check && ./manage.py health_check --worker", succeeds),
    "qinfo": ("./manage.py qinfo", prints("Clusters")),
    "qmonitor": ("./manage.py qmonitor", not_run("it ends by a key; django-q2's")),
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """In a copy of what git tracks, with nothing of the tests' environment."""
    clone = tmp_path_factory.mktemp("clone") / "sumsite"
    clone_into(clone)
    for path in clone.glob("compute/computations/[!_]*"):  # the reader's own are still to come
        if path.stem not in OURS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            clone.joinpath(f"tests/computations/test_{path.name}").unlink(missing_ok=True)
    # The packages are there already: bin/dev finds its note of them and installs nothing.
    venv = Path(sys.prefix)
    (clone / ".venv").symlink_to(venv)
    wanted = (clone / "requirements.txt").read_text()
    (venv / "installed-requirements.txt").write_text(wanted + wanted)

    foreign = {
        "PYTEST_VERSION",
        "SECRET_KEY",
        "DATABASE_URL",
        "DEBUG",
        "Q_WORKERS",
        "Q_GRACE",
        "Q_NICE",
    }
    environment = {key: value for key, value in os.environ.items() if key not in foreign}
    environment["PYTHONUNBUFFERED"] = "1"
    if shutil.which("curl") is None:
        environment["PATH"] = f"{a_curl(tmp_path_factory.mktemp('bin'))}:{environment['PATH']}"
    processes = Processes(tmp_path_factory.mktemp("output"), environment)
    try:
        yield Reader(clone, processes)
    finally:
        processes.end()


def a_curl(folder: Path) -> Path:
    """Enough of curl for the README, on a machine without it."""
    script = folder / "curl"
    script.write_text(
        f"#!{sys.executable}\n"
        "import sys, urllib.error, urllib.request\n"
        "try: reply = urllib.request.urlopen(sys.argv[-1])\n"
        "except urllib.error.HTTPError as error: reply = error\n"
        "print(reply.read().decode())\n"
    )
    script.chmod(0o755)
    return folder


def test_every_command_has_its_step() -> None:
    assert commands() == [command for command, _ in STEPS]


def test_the_commands_do_what_the_readme_says(reader: Reader) -> None:
    assert re.search(r"user admin, password \S+ \(kept in \.env\)", reader.dev.text())
    for command, step in STEPS:
        step(reader, command)


def test_every_address_answers_a_browser(reader: Reader) -> None:
    """Those in the text; the commands' own are followed with them."""
    text = re.sub(r"^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    addresses = set(re.findall(r"http://localhost:8000[^\s'`\")…;]*", text))
    assert len(addresses) == 6
    for address in addresses:
        assert reader.fetch(address, "text/html") == 200, address


def test_the_commands_of_the_reference_run(reader: Reader) -> None:
    assert sorted(EXAMPLES) == sorted(named_commands())
    for command, step in EXAMPLES.values():
        step(reader, command)


def test_the_python_of_the_readme_runs(reader: Reader) -> None:
    for block in set(blocks("python")) - {text for _, text in files()}:
        reader.clone.joinpath("block.py").write_text(block)
        reader.run("./manage.py shell < block.py")


def test_the_lines_to_change_are_there() -> None:
    views = (ROOT / "compute" / "views.py").read_text()
    before, after = (block.strip() for block in blocks("py"))
    assert views.count(before) == 1
    assert after == before.replace("n)", "n, sync=True)")
