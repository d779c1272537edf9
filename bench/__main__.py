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
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import report, systems
from bench.run import Bench, say
from bench.system import ROOT, postgres_server, temporary_folder

MEASURES = ("latency", "throughput", "job", "growth", "site", "standing", "recovery")
RESULTS = ROOT / "bench" / "results"
TRIAL = ROOT / "bench" / "trial"
PACKAGES = ("Django", "django-q2", "celery", "redis", "huey", "rq", "procrastinate")
PACKAGES += ("django-tasks-db", "psycopg")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bin/bench", description="Measures queues.")
    parser.add_argument(
        "measures", nargs="*", metavar="NAME", help=f"{', '.join(MEASURES)}; report"
    )
    parser.add_argument("--quick", action="store_true", help="about two minutes; a trial")
    parser.add_argument("--trial", action="store_true", help="results into bench/trial/ only")
    parser.add_argument("--rounds", type=int, help="how often; 3, or 1 with --quick")
    parser.add_argument("--others", type=int, help="rounds of systems without a target; 2")
    parser.add_argument("--systems", help="which, with commas")
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
    # Two minutes don't go far: --quick is of the systems that the targets speak of.
    default = [name for name in MEASURES if not given.quick or name != "recovery"]
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
            given.rounds or (1 if given.quick else 3),
            2 if given.others is None else given.others,
            given.systems.split(",") if given.systems else quick_or_all(given.quick),
        )
        for name in wanted:
            began = time.monotonic()
            load = os.getloadavg()[0]
            found = import_module(f"bench.measures.{name}").run(bench)
            took = round(time.monotonic() - began)
            text = json.dumps({**about(name, load, took), **found}, indent=1)
            (folder / f"{name}.json").write_text(text + "\n")
            say(f"{name}: all in {took} s")


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
            **{package: version(package) for package in PACKAGES},
        },
    }


if __name__ == "__main__":
    main()
