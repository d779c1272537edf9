"""Real processes for tests: started on the tests' database, ended by their own id."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import psutil

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = 30, what: str = "") -> T:
    """What `condition` returns once it is true; fails when it isn't within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.02)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tracked() -> list[str]:
    """What git tracks, or would; without git, as in a downloaded zip, all that it would."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return list(not_ignored())
    return [name for name in done.stdout.split("\0") if (ROOT / name).is_file()]


def not_ignored() -> Iterator[str]:
    """All files but those that .gitignore names, and git's own."""
    patterns = [".git", *(line.strip("/") for line in (ROOT / ".gitignore").read_text().split())]
    for folder, folders, files in os.walk(ROOT):
        for entries in (folders, files):
            for name in entries[:]:
                path = os.path.relpath(f"{folder}/{name}", ROOT)
                if any(fnmatch(path, pattern) or fnmatch(name, pattern) for pattern in patterns):
                    entries.remove(name)
        yield from (os.path.relpath(f"{folder}/{name}", ROOT) for name in files)


def clone_into(folder: Path) -> None:
    """Copy what git tracks, or would."""
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


class Processes:
    """Starts processes, keeps what they print, and leaves none of them behind."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.started: list[Process] = []

    def start(self, *command: str, cwd: Path = ROOT, **environment: str) -> Process:
        output = self.folder / f"output-{len(self.started)}.txt"
        with output.open("wb") as stream:
            popen = subprocess.Popen(
                command,
                cwd=cwd,
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**self.environment, **environment},
                start_new_session=True,
            )
        process = Process(popen, output)
        self.started.append(process)
        return process

    def manage(self, *arguments: str, **environment: str) -> Process:
        return self.start(sys.executable, "manage.py", *arguments, **environment)

    def node(self, **environment: str) -> Process:
        """A queue server, once it has said that it runs."""
        process = self.manage("qcluster", **environment)
        process.wait_for_output(r"Q Cluster .* running")
        return process

    def web(self, **environment: str) -> tuple[Process, str]:
        """A gunicorn with the site, and its address, once it answers."""
        port = free_port()
        process = self.start(
            sys.executable,
            "-m",
            "gunicorn",
            "sumsite.wsgi",
            PORT=str(port),
            **{"DEBUG": "1", **environment},
        )
        process.wait_for_output(r"Booting worker")
        return process, f"http://localhost:{port}"

    def end(self) -> None:
        for process in self.started:
            process.kill_all()


class Process:
    def __init__(self, popen: subprocess.Popen[bytes], output: Path) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.output = output

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for_output(self, pattern: str, seconds: float = 30) -> re.Match[str]:
        def found() -> re.Match[str] | None:
            match = re.search(pattern, self.text())
            if match is None and self.popen.poll() is not None:
                raise AssertionError(f"it ended ({self.popen.returncode}):\n{self.text()}")
            return match

        try:
            return wait_until(found, seconds, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None

    def family(self) -> list[psutil.Process]:
        """The process and all below it that are alive at this moment."""
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.pid, number)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> int:
        """Signal it and wait for its end; its exit code. Nothing of its family may be left."""
        family = self.family()
        self.send(number)
        code = self.popen.wait(seconds)
        _, alive = psutil.wait_procs(family, timeout=2)
        assert not alive, f"left over: {alive}\n{self.text()}"
        return code

    def kill_all(self) -> None:
        for process in self.family():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.popen.wait()


def environment(**more: Any) -> dict[str, str]:
    """The tests' environment for a process, which then reads no .env."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        **{key: str(value) for key, value in more.items()},
    }
