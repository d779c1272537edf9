"""`bin/bench`: see there."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sqlite3
import subprocess
import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import figures, report, systems
from bench.run import Bench, say
from bench.system import ROOT, postgres_server, temporary_folder

MEASURES = ("latency", "throughput", "job", "growth", "site", "standing", "recovery", "fair")
RESULTS = ROOT / "bench" / "results"
TRIAL = ROOT / "bench" / "trial"
PACKAGES = (
    *("Django", "django-q2", "celery", "redis", "huey", "rq", "procrastinate"),
    *("django-tasks-db", "django-ox", "dj-queue", "django-qraft", "psycopg"),
)
#: Seconds that a round waits, at most, for a quiet machine.
WAIT_S = 600


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench", description="Measures queues.")
    parser.add_argument(
        "measures", nargs="*", metavar="NAME", help=f"{', '.join(MEASURES)}; report"
    )
    parser.add_argument("--quick", action="store_true", help="about five minutes; a trial")
    parser.add_argument("--trial", action="store_true", help="results into bench/trial/ only")
    parser.add_argument(
        "--rounds", type=int, help=f"how often; {figures.ROUNDS}, or 1 with --quick"
    )
    parser.add_argument("--others", type=int, help="rounds of systems without a target; 2")
    parser.add_argument(
        "--seconds", type=int, help="for fair, how long shares are watched; 300, or 60 with --quick"
    )
    parser.add_argument("--systems", help="which, with commas")
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help=f"how long, at most, a round waits for a load under {figures.QUIET}, without which "
        f"it decides nothing; {WAIT_S}, or 0 with --quick",
    )
    given = parser.parse_args()
    for name in given.measures:
        if name not in (*MEASURES, "report"):
            parser.error(f"there is no {name}; there are {', '.join(MEASURES)} and report")
    return given


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers are stopped on the way
    trial = given.quick or given.trial
    folder = TRIAL if trial else RESULTS
    folder.mkdir(exist_ok=True)
    # Five minutes don't go far: --quick is of the systems that the targets speak of.
    default = [name for name in MEASURES if not given.quick or name not in ("recovery", "fair")]
    wanted = [name for name in MEASURES if name in (given.measures or default)]
    if wanted:
        measure(wanted, given, folder)
    if not trial:
        report.write(RESULTS)
    print(report.text(folder))


def measure(wanted: list[str], given: argparse.Namespace, folder: Path) -> None:
    with temporary_folder() as temporary, postgres_server(temporary) as postgres:
        bench = Bench(
            postgres,
            given.quick,
            given.rounds or (1 if given.quick else figures.ROUNDS),
            2 if given.others is None else given.others,
            given.systems.split(",") if given.systems else quick_or_all(given.quick),
            given.seconds,
            (0 if given.quick else WAIT_S) if given.wait is None else given.wait,
            [],
        )
        for name in wanted:
            began = time.monotonic()
            load = os.getloadavg()[0]
            loads: list[float] = []
            found = import_module(f"bench.measures.{name}").run(bench._replace(loads=loads))
            took = round(time.monotonic() - began)
            keep(folder / f"{name}.json", {**about(name, load, took), "loads": loads, **found})
            say(f"{name}: all in {took} s")


def keep(path: Path, run: figures.Result) -> None:
    """Write a measure's run, with one from before that it is held against: the last, or one
    that decides, where the last does not."""
    if path.exists():
        last = json.loads(path.read_text())
        older = last.pop("before", None)
        better = older and figures.decides(older) and not figures.decides(last)
        run = {**run, "before": older if better else last}
    path.write_text(json.dumps(run, indent=1) + "\n")


def quick_or_all(quick: bool) -> list[str]:
    return list(systems.CONTENDERS if quick else systems.SYSTEMS)


def about(name: str, load: float, took: int) -> dict[str, Any]:
    """Where and with what a result came to be."""
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True)
    processor = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "measure": name,
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "seconds": took,
        "load_before": round(load, 2),
        "machine": f"{len(os.sched_getaffinity(0))} × {(processor or ['?'])[0]}",
        "versions": {
            "python": platform.python_version(),
            "sqlite": sqlite3.sqlite_version,
            "redis-server": redis.stdout.partition("v=")[2].partition(" ")[0],
            **{package: number for package in PACKAGES if (number := version_of(package))},
        },
    }


def version_of(package: str) -> str:
    """Empty where it is not installed: not every Python has all."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
