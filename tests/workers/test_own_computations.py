"""Files that come into compute/computations/ and go, while bin/dev's two servers run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.processes import Process, Processes, clone_into, ended, free_port, wait_until

OWN = """
from django import forms
from compute.computation import Computation

class OwnForm(forms.Form):
    k = forms.IntegerField()

def squares(first, last):
    return sum(k * k for k in range(first, last + 1))

OWN = Computation(
    name="own", line="Squares.", title="own {k}".format, form=OwnForm, function=squares,
    length=lambda k: k, cut=lambda chunk_size, k: [(1, k)], combine=sum,
)
"""


class Site:
    """A clone, served by what bin/dev ends in."""

    def __init__(self, processes: Processes, clone: Path) -> None:
        clone_into(clone)
        self.computations = clone / "compute" / "computations"
        port = free_port()
        self.address = f"http://localhost:{port}"
        command = ("-m", "honcho", "start", "--procfile", "Procfile.dev", "--env", "/dev/null")
        path = f"{Path(sys.executable).parent}:{processes.environment['PATH']}"
        self.process: Process = processes.start(
            sys.executable, *command, cwd=clone, PORT=str(port), DEBUG="1", PATH=path
        )
        self.process.wait_for_output("Booting worker")
        self.process.wait_for_output("Q Cluster .* running")

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str]:
        request = Request(f"{self.address}{path}", headers={"Accept": accept})
        try:
            with urlopen(request, timeout=30) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError:  # it is starting again
            return 0, ""

    def wait_for(self, path: str, status: int, text: str = "", accept: str = "*/*") -> None:
        def answers() -> bool:
            found, body = self.get(path, accept)
            return found == status and text in body

        wait_until(answers, 30, f"{path} answers {status} with {text!r}")

    def computed(self) -> Any:
        """What a run of the own computation comes to, and the run's path."""

        def started() -> str:
            """Each web process starts again by itself, so that one may not know it yet."""
            status, body = self.get("/compute/own/start/?k=10")
            return json.loads(body)["task_progress"] if status == 200 else ""

        path = wait_until(started, 30, "a run starts").removeprefix(self.address)
        return ended(lambda: json.loads(self.get(path)[1] or "null"), what=path), path


def test_a_file_put_there_by_hand_is_noticed_and_so_is_one_that_is_removed(
    processes: Processes, tmp_path: Path
) -> None:
    site = Site(processes, tmp_path / "clone")
    site.wait_for("/compute/own/", 404)
    file = site.computations / "own.py"
    file.write_text("import nothing_of_this_name\n")
    site.wait_for("/", 200, "own.py can&#x27;t be loaded: ModuleNotFoundError", "text/html")
    site.wait_for("/compute/sum/", 200)
    file.write_text(OWN)  # mended in its place: no other file is touched
    site.wait_for("/compute/own/", 200)
    said, path = site.computed()
    assert (said["status"], said["result"]) == ("done", 385), site.process.text()
    file.unlink()
    site.wait_for("/compute/own/", 404)
    for accept in ("*/*", "text/html"):
        site.wait_for(path, 200, "385", accept)
    site.wait_for("/", 200, path, "text/html")
    site.wait_for("/sum-sync/?n=10", 200, "55")
    told_of_the_broken_one = site.process.text().rpartition("ModuleNotFoundError")[2]
    assert "Traceback" not in told_of_the_broken_one
    assert site.process.popen.poll() is None
