"""Ends what a run of the tests leaves behind, be it Ctrl-C, a time limit or kill -9 that ended it.

    python -m tests.cleaner FOLDER

The run starts it and holds the other end of its standard input, which closes with the run. What
the run has started is told by its folder for temporary files, in the environment of each process
and in the name of each network.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil

#: Seconds for Postgres to give back what it has of the machine.
PATIENCE_S = 5
ROUNDS = 10


def processes_of(folder: str) -> list[psutil.Process]:
    """Those of the run, and of runs within it, but this one; `info` has what they are."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "name"]):
        place = (process.info["environ"] or {}).get("TMPDIR", "")
        if (place == folder or place.startswith(f"{folder}/")) and process != psutil.Process():
            found.append(process)
    return found


def end(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
    psutil.wait_procs(processes, PATIENCE_S)


def clean(folder: str) -> None:
    for _ in range(ROUNDS):  # one may start another meanwhile
        left = processes_of(folder)
        servers = [process for process in left if process.info["name"] == "postgres"]
        end([process for process in left if process not in servers], signal.SIGKILL)
        end(servers, signal.SIGQUIT)  # its quickest way that leaves nothing
        if not left:
            break
    if shutil.which("ip"):
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        for line in listed.splitlines():
            if line.startswith(Path(folder).name):
                subprocess.run(["ip", "netns", "delete", line.split()[0]])
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.read()
    clean(sys.argv[1])
