"""Measure 6: what a node costs while nothing is queued, and how long things take to be there.

CPU and memory are those of all processes of a node, not of Redis or Postgres. Statements
are counted in a node of its own, in which each is noted as Django executes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from bench.run import Bench, say
from bench.system import ROOT, Nodes, Stamps, System, family, free_port, wait_until, warm_up
from bench.systems import OURS

TITLE = "Standing cost"
#: Seconds after which a node has done what it does once, as ours, which takes the speed of each
#: computation that it finds: that is no standing cost.
SETTLED_S = 8


def measure(name: str, system: System, nodes: Nodes, options: dict[str, Any]) -> dict[str, Any]:
    counted = options.get("counted")
    if counted:
        counts = Path(system.place.folder) / "counts"
        counts.mkdir()
        os.environ["BENCH_COUNTS"] = str(counts)
        system.node = lambda: [["python", "-m", "bench.counted", "qcluster"]]  # type: ignore[method-assign]
    with Stamps(system.place.folder) as stamps:
        began = time.monotonic()
        node = nodes.start()
        ready = warm_up(nodes, stamps) - began
        time.sleep(SETTLED_S)
        if counted:
            before = sizes(counts)
            time.sleep(options["seconds"])
            after = sizes(counts)
            rates = {kind: (after[kind] - before[kind]) / options["seconds"] for kind in after}
            return {f"{kind}_per_second": round(rate, 2) for kind, rate in rates.items()}
        processes = family(node)
        before_cpu = cpu(processes)
        time.sleep(options["seconds"])
        used = cpu(processes) - before_cpu
    return {
        "ready_seconds": round(ready, 2),
        "cpu_percent": round(100 * used / options["seconds"], 2),
        "pss_mb": round(sum(each.memory_full_info().pss for each in processes) / 2**20, 1),
        "processes": len(processes),
    }


def cpu(processes: list[psutil.Process]) -> float:
    """Seconds of a core that they have used, to the nanosecond."""
    used = 0
    for process in processes:
        for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                used += int(task.read_text().split()[0])
    return used / 1e9


def sizes(folder: Path) -> dict[str, int]:
    return {
        kind: (folder / kind).stat().st_size if (folder / kind).exists() else 0
        for kind in ("reads", "writes")
    }


def from_a_fresh_clone() -> dict[str, float]:
    """Seconds from `bin/dev` in a clone to the first page, and to the first result."""
    with tempfile.TemporaryDirectory(prefix="bench-clone-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        port = free_port()
        kept = ("PATH", "HOME", "LANG", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        path = environment["PATH"].split(os.pathsep)
        outside = [part for part in path if not part.startswith(str(ROOT))]
        environment |= {"PORT": str(port), "PATH": os.pathsep.join(outside)}
        began = time.monotonic()
        with (clone / "output").open("wb") as output:
            dev = subprocess.Popen(
                ["bin/dev"],
                cwd=clone,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            site = f"http://localhost:{port}"
            wait_until(lambda: page(f"{site}/"), 180, 0.05)
            first_page = time.monotonic() - began
            reply = json.loads(page(f"{site}/sum-start/?n=1000") or "")
            check = reply["task_progress"]
            wait_until(lambda: re.search('"done"', page(check) or ""), 60, 0.05)
            first_result = time.monotonic() - began
        finally:
            processes = family([dev])
            dev.send_signal(signal.SIGINT)
            _, alive = psutil.wait_procs(processes, timeout=15)
            for process in alive:
                process.kill()
            dev.wait()
    return {
        "first_page_seconds": round(first_page, 1),
        "first_result_seconds": round(first_result, 1),
    }


def page(address: str) -> str | None:
    try:
        with urlopen(address, timeout=10) as reply:
            return str(reply.read().decode())
    except OSError:
        return None


def run(bench: Bench) -> dict[str, Any]:
    options = bench.choose(
        {"seconds": 10, "foreign": [200, 1000], "dead": 60_000},
        quick={"seconds": 3, "foreign": [20, 100], "dead": 2_000},
    )

    def one(name: str, _: int) -> dict[str, Any]:
        found = bench.session(name, "standing", options)
        return found | bench.session(name, "claim", options) if name in OURS else found

    rounds = bench.interleave(one)
    counted = {
        name: bench.session(name, "standing", {**options, "counted": True})
        for name in bench.mine(OURS)
    }
    found = {"options": options, "rounds": rounds, "statements": counted}
    if not bench.quick:
        found["clone"] = from_a_fresh_clone()
        say(f"standing: {found['clone']}")
    return found
