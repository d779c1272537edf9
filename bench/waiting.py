"""What it brings to wait for several replies at a time within a chunk: docs/waiting.md.

    .venv/bin/python -m bench.waiting            about two minutes; prints the table

It starts a server that takes 100 ms for each page, and a queue server with two workers, on SQLite.
All ways take turns, in the same run: what is compared is how many times as many pages come in the
same time, which depends little on what else the machine does.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.request import urlopen

WAIT_S = 0.1
WORKERS, CHUNKS = 2, 8
ROUNDS = 3
#: Pages of a run, by how many a chunk asks for at a time: each run is to take some seconds.
PAGES = {1: 80, 10: 800, 50: 4_000}
LENGTH = 64


# --- the ways -----------------------------------------------------------------------------


def page(port: int, number: int) -> int:
    with urlopen(f"http://127.0.0.1:{port}/{number}", timeout=20) as reply:
        return len(reply.read())


def one_by_one(port: int, first: int, last: int, _: int) -> int:
    return sum(page(port, number) for number in range(first, last + 1))


def in_threads(port: int, first: int, last: int, count: int) -> int:
    with ThreadPoolExecutor(count) as threads:
        return sum(threads.map(lambda number: page(port, number), range(first, last + 1)))


async def in_a_loop(port: int, first: int, last: int, count: int) -> int:
    """The same by asyncio: a request of HTTP/1.0 is a line, and ends with its connection."""
    places = asyncio.Semaphore(count)

    async def one(number: int) -> int:
        async with places, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /%d HTTP/1.0\r\n\r\n" % number)
            body = (await reader.read()).partition(b"\r\n\r\n")[2]
            writer.close()
            await writer.wait_closed()
            return len(body)

    return sum(await asyncio.gather(*map(one, range(first, last + 1))))


WAYS: list[tuple[str, Callable[..., Any], int]] = [
    ("one page after another", one_by_one, 1),
    ("10 threads", in_threads, 10),
    ("10 at a time by asyncio", in_a_loop, 10),
    ("50 threads", in_threads, 50),
    ("50 at a time by asyncio", in_a_loop, 50),
]


# --- the server ---------------------------------------------------------------------------


class Slow(BaseHTTPRequestHandler):
    """Takes its time, and counts how many it serves at the same moment."""

    lock = Lock()
    at_work = most = 0

    def do_GET(self) -> None:
        with Slow.lock:
            Slow.at_work += 1
            Slow.most = max(Slow.most, Slow.at_work)
        time.sleep(WAIT_S)
        with Slow.lock:
            Slow.at_work -= 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * LENGTH)

    def log_message(self, *args: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


# --- measuring ----------------------------------------------------------------------------


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Server(("127.0.0.1", 0), Slow) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        os.environ |= {
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "PYTEST_VERSION": "none",  # the settings then leave a developer's .env alone
            "SECRET_KEY": "measured-only-measured-only-measured-only-0123456789",
            "DJANGO_SETTINGS_MODULE": "sumsite.settings",
            "Q_WORKERS": str(WORKERS),
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], check=True)
        with Path(folder, "node.txt").open("wb") as output:
            command = [sys.executable, "manage.py", "qcluster"]
            node = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            measure(node.pid, server.server_port)
        finally:
            node.terminate()
            node.wait()
        server.shutdown()


def measure(node: int, port: int) -> None:
    import django

    django.setup()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name, *_ in WAYS}
    run(one_by_one, port, 1, WORKERS)  # the node is there
    for number in range(ROUNDS):
        for name, function, count in WAYS if number % 2 == 0 else reversed(WAYS):
            before, began, Slow.most = processor_time(node), time.monotonic(), 0
            run(function, port, count, PAGES[count])
            seconds = time.monotonic() - began
            spent = processor_time(node) - before
            found[name].append((PAGES[count] / seconds, spent / PAGES[count], Slow.most))
    print(f"load after: {os.getloadavg()[0]:.1f}\n")
    rate = {name: statistics.median(each[0] for each in rounds) for name, rounds in found.items()}
    first = rate[WAYS[0][0]]
    print("| a chunk asks for | pages a second | times | ms of a processor a page | at once |")
    print("| --- | --- | --- | --- | --- |")
    for name, rounds in found.items():
        spent = statistics.median(each[1] for each in rounds) * 1_000
        most = max(each[2] for each in rounds)
        print(f"| {name} | {rate[name]:.0f} | {rate[name] / first:.1f} | {spent:.2f} | {most} |")


def run(function: Callable[..., Any], port: int, count: int, pages: int) -> None:
    from compute.chunking import ranges
    from compute.queue.fanout import async_iter, results

    path = f"bench.waiting.{function.__name__}"
    chunks = [(port, *ends, count) for ends in ranges(pages, -(-pages // CHUNKS))]
    group = async_iter(path, chunks)
    deadline = time.monotonic() + 240
    while (lengths := results(group)) is None:
        if time.monotonic() > deadline:
            raise RuntimeError("not within 240 s")
        time.sleep(0.02)
    assert sum(lengths) == pages * LENGTH


def processor_time(node: int) -> float:
    """Seconds of a processor that the node's processes have had."""
    import psutil

    spent = 0.0
    for process in psutil.Process(node).children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


if __name__ == "__main__":
    main()
