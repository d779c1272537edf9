"""A clone of the project on the tests' database, into which one puts computations of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.processes import Process, Processes, clone_into, free_port

#: What the tests' own environment says, and a clone's own tests find out for themselves.
OURS = ("DATABASE_URL", "DEBUG", "SECRET_KEY", "TMPDIR", "XDG_RUNTIME_DIR")


class Clone:
    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        clone_into(folder)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**processes.environment, "PATH": path, "COLUMNS": "80"}

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)

    def said(self, command: str) -> str:
        """What a shell's command prints, that has to end well."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def begun(self, command: str, printed: Path) -> subprocess.Popen[bytes]:
        """A command that is at work, and prints into a file."""
        with printed.open("wb") as stream:
            return subprocess.Popen(
                ["sh", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.DEVNULL,
            )

    def test(self, *paths: str) -> None:
        """Run tests of the clone, in one process and on SQLite."""
        environment = {name: text for name, text in self.environment.items() if name not in OURS}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
            cwd=self.folder,
            env={**environment, "TEST_DATABASE": "sqlite"},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout

    def node(self, **environment: str) -> Process:
        """A queue server with the clone's code, once it has said that it runs."""
        command = (sys.executable, "manage.py", "qcluster")
        process = self.processes.start(*command, cwd=self.folder, **environment)
        process.wait_for_output(r"Q Cluster .* running")
        return process

    def web(self) -> str:
        """The address of a web server with the clone's code, once it answers."""
        port = free_port()
        process = self.processes.start(
            *(sys.executable, "-m", "gunicorn", "sumsite.wsgi"),
            cwd=self.folder,
            PORT=str(port),
            DEBUG="1",
            WEB_CONCURRENCY="1",
            DJANGO_SETTINGS_MODULE="tests.plain_static",
        )
        process.wait_for_output(r"Booting worker")
        return f"http://localhost:{port}"
