"""Follows docs/cookbook.md: each recipe's files as they stand there, and each command, which has to
print what stands below it, on two queue servers.

With --long their workers are killed meanwhile, and the runs are larger.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

from bench import waiting
from compute.queue.models import Job, JobState
from tests.clones import Clone
from tests.processes import ROOT, Processes, free_port, wait_until

TEXT = (ROOT / "docs" / "cookbook.md").read_text()
#: A file has fewer lines than this, empty ones not counted.
MOST = 40
#: The port of the slow server.
PORT = "9000"


class Recipe(NamedTuple):
    title: str
    files: dict[str, str]
    #: Commands, and what each has to print.
    steps: list[tuple[str, str]]

    @property
    def name(self) -> str:
        """That of its computation."""
        (module,) = (Path(file).stem for file in self.files if file.startswith("compute/"))
        return module


def recipes() -> Iterator[Recipe]:
    for chapter in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        files, steps = {}, []
        for kind, block in re.findall(r"^```(\w+)\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL):
            if kind == "python":
                path = re.match(r"# (\S+\.py)\n", block)
                assert path, block
                files[path[1]] = block
            elif kind == "shell":
                steps += [(line, "") for line in block.splitlines()]
            else:
                assert kind == "text", kind
                steps[-1] = (steps[-1][0], block)
        yield Recipe(chapter.partition("\n")[0], files, steps)


RECIPES = {recipe.name: recipe for recipe in recipes()}
#: Commands that need what the tests have not, or have done.
LEFT_OUT = re.compile(r"bin/test |bin/requirements|echo .* >> requirements\.in|curl ")


# --- as a reader would --------------------------------------------------------------------


class Kitchen:
    """A clone in which all recipes stand, with two queue servers and the slow server."""

    def __init__(self, folder: Path, processes: Processes, quick: bool) -> None:
        self.clone = Clone(folder, processes)
        self.port = str(free_port())
        for recipe in RECIPES.values():
            self.clone.write({name: self.mine(text) for name, text in recipe.files.items()})
        if quick:
            slow = (folder / "slow.py").read_text()
            (folder / "slow.py").write_text(slow.replace("sleep(0.2)", "sleep(0.02)"))
        server = processes.start("python", "slow.py", cwd=folder, **self.clone.environment)
        wait_until(lambda: self.answers() or server.popen.poll() is not None, 30)

    def mine(self, text: str) -> str:
        return text.replace(f"localhost:{PORT}", f"localhost:{self.port}").replace(
            f'"localhost", {PORT}', f'"localhost", {self.port}'
        )

    def answers(self) -> bool:
        try:
            with urlopen(f"http://localhost:{self.port}/1", timeout=10):
                return True
        except OSError:
            return False


def plainly(text: str) -> Any:
    """What is printed: JSON, whose keys may come in another order, or else its lines."""
    try:
        return json.loads(text)
    except ValueError:
        return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.thorough
def test_each_command_prints_what_the_cookbook_says(processes: Processes, tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path / "clone", processes, quick=True)
    for _ in range(2):
        kitchen.clone.node()
    for recipe in RECIPES.values():
        steps = [step for step in recipe.steps if not LEFT_OUT.match(step[0])]
        said = [(command, plainly(kitchen.clone.said(command))) for command, _ in steps]
        assert said == [(command, plainly(printed)) for command, printed in steps]


@pytest.mark.once
@pytest.mark.thorough
def test_each_recipe_passes_its_own_test(processes: Processes, tmp_path: Path) -> None:
    kitchen = Kitchen(tmp_path / "clone", processes, quick=True)
    kitchen.clone.test(*(f"tests/computations/test_{name}.py" for name in RECIPES))


# --- while workers are killed ---------------------------------------------------------------

#: What each is given: so much that it takes some seconds, in about forty chunks.
LARGE = {
    "pi": ("n=20000000", 500_000),
    "words": ("letters=4", 5),
    "may": ("n=10000", 250),
    "columns": ("@large.csv", 50_000),
    "sort": ("n=1000000", 25_000),
    "pages": ("n=1000", 25),
    "divisors": ("n=6000", 150),
}
SEED = 42
#: How often a worker is killed, at most, and no task's twice: one that is killed three times fails.
KILLS = 5
#: Computes in one process what the run has to come to, and prints it as `--json` does.
IN_ONE_PROCESS = """
import hashlib, json
from compute import shapes, values
from compute.computations import all_computations
from compute.forms import filled_in, parameters_of
from compute.trying import called
from django.http import QueryDict

def plain(result):
    if isinstance(result, dict) and any(isinstance(each, shapes.Shape) for each in result.values()):
        return {name: plain(each) for name, each in result.items()}
    if isinstance(result, shapes.Table):
        columns, rows = result.cells()
        return [dict(zip(columns, row)) for row in rows]
    if isinstance(result, shapes.File):
        return hashlib.sha256(b"".join(result.pieces())).hexdigest()
    return values.plain_data(result)

computation = all_computations()["NAME"]
parameters = parameters_of(filled_in(computation, QueryDict("GIVEN")))
chunks = computation.cut(SIZE, **parameters)
results = (called(computation, each, SEED, place) for place, each in enumerate(chunks))
print(json.dumps(plain(computation.combine(results))))
"""


@pytest.mark.long
@pytest.mark.parametrize("name", RECIPES)
def test_whatever_is_killed_the_result_is_exact(
    processes: Processes, tmp_path: Path, name: str, pytestconfig: pytest.Config
) -> None:
    chance = random.Random(pytestconfig.getoption("randomly_seed"))  # noqa: S311
    kitchen = Kitchen(tmp_path / "clone", processes, quick=False)
    clone = kitchen.clone
    write_many_texts(clone)
    given, size = LARGE[name]
    expected = (
        write_large_csv(clone) if name == "columns" else in_one_process(clone, name, given, size)
    )
    for _ in range(2):
        clone.node()
    words = given.rpartition("=")[2]
    seed = f" --seed {SEED}" if name == "pi" else ""
    command = f"./manage.py compute {name} {words} --chunk-size {size} --json{seed}"
    with clone.begun(command, tmp_path / "printed") as run:
        try:
            killed = kill_workers(run, chance)
            assert run.wait(timeout=240) == 0
        finally:
            run.kill()
    assert killed
    found = json.loads((tmp_path / "printed").read_text())
    if name == "divisors":
        found["array"] = digest_of_file(clone.web(), "array")
    assert found == expected


def in_one_process(clone: Clone, name: str, given: str, size: int) -> Any:
    """What a run has to come to."""
    code = IN_ONE_PROCESS.replace("NAME", name).replace("GIVEN", given)
    code = code.replace("SIZE", str(size)).replace("SEED", str(SEED))
    clone.write({"code.py": code})
    return json.loads(clone.said("./manage.py shell --verbosity 0 < code.py"))


def kill_workers(run: subprocess.Popen[bytes], chance: random.Random) -> set[str]:
    """Kill workers at what they run, while the command is at work; the tasks that lost theirs."""
    killed: set[str] = set()
    while len(killed) < KILLS and run.poll() is None:
        running = Job.objects.filter(state=JobState.RUNNING).exclude(worker=None)
        for job in running.exclude(pk__in=killed)[:1]:
            os.kill(job.worker or 0, signal.SIGKILL)
            killed.add(job.pk)
        time.sleep(chance.uniform(0.2, 0.6))
    return killed


def write_many_texts(clone: Clone) -> None:
    chance = random.Random(SEED)  # noqa: S311
    words = [f"{'word' * (number % 3)}{number}" for number in range(5_000)]
    for number in range(200):
        clone.write({f"texts/{number:03}.txt": " ".join(chance.choices(words, k=60_000))})


def write_large_csv(clone: Clone) -> dict[str, str]:
    """Its columns' sums."""
    rows = range(1, 100_001)
    lines = (f'0.1,{(-1) ** row * row}.5,"{row}"\n' for row in rows)
    clone.write({"large.csv": "tenth,both,quoted\n" + "".join(lines)})
    both = sum((-1) ** row * (10 * row + 5) for row in rows)
    return {
        "tenth": f"{len(rows) / 10:.1f}",
        "both": f"{both / 10:.1f}",
        "quoted": str(sum(rows)),
    }


def digest_of_file(site: str, output: str) -> str:
    """That of an output of the only run."""
    with urlopen(f"{site}/", timeout=60) as reply:
        address = json.load(reply)["runs"][0]["task_progress"].replace("/check/", "/result/")
    with urlopen(f"{address}&name={output}&as=file", timeout=60) as reply:
        return hashlib.sha256(reply.read()).hexdigest()


def test_a_server_is_asked_for_twenty_pages_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By two chunks, ten each: so many chunks of it are at work at once, whatever workers do."""
    module = ModuleType("pages")
    exec(RECIPES["pages"].files["compute/computations/pages.py"], vars(module))  # noqa: S102
    monkeypatch.setattr(waiting, "WAIT_S", 0.05)
    monkeypatch.setattr(waiting.Slow, "most", 0)
    with waiting.Server(("127.0.0.1", 0), waiting.Slow) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        vars(module)["PAGES"] = f"http://127.0.0.1:{server.server_port}/{{}}"
        assert module.bytes_of(1, 50) == 50 * waiting.LENGTH
        server.shutdown()
    assert 1 < waiting.Slow.most <= 10
    assert module.PAGES_OF_A_SERVER.at_once == 2


# --- the document -------------------------------------------------------------------------


def test_each_recipe_is_short_and_whole() -> None:
    for recipe in RECIPES.values():
        computation = f"compute/computations/{recipe.name}.py"
        assert {computation, f"tests/computations/test_{recipe.name}.py"} <= recipe.files.keys()
        for text in recipe.files.values():
            assert sum(bool(line) for line in text.splitlines()) < MOST, recipe.title
            compile(text, recipe.title, "exec")
        assert any(printed for _, printed in recipe.steps), recipe.title


def test_each_recipe_has_a_large_run() -> None:
    assert LARGE.keys() == RECIPES.keys()


def test_the_beginning_leads_to_each_recipe() -> None:
    listed = re.findall(r"^\| \[(.+?)\]\(#", TEXT, re.MULTILINE)
    assert listed == [recipe.title for recipe in RECIPES.values()]
