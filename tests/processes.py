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
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, TypeVar

import psutil

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | Literal[False] | None], seconds: float = 60, what: str = ""
) -> T:
    """What `condition` returns once it is true; fails when it isn't within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.02)
    return value


def ended(ask: Callable[[], Any], seconds: float = 60, what: str = "") -> Any:
    """What a check address says once its run has ended.

    `ask` gives what it says now, None if it doesn't answer. Fails once it has said the same for
    `seconds`: on a busy machine a run may take its time, as long as its chunks get done.
    """

    def state(said: Any) -> Any:
        return said and (said["status"], said.get("progress"))

    said: Any = None
    while not said or said["status"] == "in-progress":
        said = wait_until(
            lambda: (now := ask()) and state(now) != state(said) and now,  # noqa: B023
            seconds,
            f"the end of {what}, which says {said}",
        )
    return said


def wait_for_end(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Until none of them runs; whoever has to bury one that has ended may take his time."""
    left = list(processes)

    def all_ended() -> bool:
        left[:] = [each for each in left if runs(each)]
        return not left

    wait_until(all_ended, seconds, f"the end of {left}")


def runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


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

    def start(self, *command: str, cwd: Path | str = ROOT, **environment: str) -> Process:
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
        process = Process(command, popen, output)
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
        """A gunicorn with the site, in one process by default, and its address, once it answers."""
        port = free_port()
        process = self.start(
            sys.executable,
            "-m",
            "gunicorn",
            "sumsite.wsgi",
            PORT=str(port),
            **{"DEBUG": "1", "WEB_CONCURRENCY": "1", **environment},
        )
        process.wait_for_output(r"Booting worker")
        return process, f"http://localhost:{port}"

    def last_words(self, lines: int = 30) -> Iterator[tuple[str, str]]:
        """Each command, and what it printed last."""
        for process in self.started:
            name = " ".join(os.path.basename(each) for each in process.command)
            yield name, "\n".join(process.text().splitlines()[-lines:])

    def end(self) -> None:
        for process in self.started:
            process.kill_all()


class Process:
    def __init__(
        self, command: Sequence[str], popen: subprocess.Popen[bytes], output: Path
    ) -> None:
        self.command = command
        self.popen = popen
        self.pid = popen.pid
        self.output = output

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for_output(self, pattern: str, seconds: float = 60) -> re.Match[str]:
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
        try:
            wait_for_end(family, 2)
        except AssertionError as error:
            raise AssertionError(f"left over: {error}\n{self.text()}") from None
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
        "HOME_PAGE": "sum",  # whatever computations a clone has of its own
        **{key: str(value) for key, value in more.items()},
    }
