"""Downloads of large results from a real web server: over a slow line they arrive by resuming."""

from __future__ import annotations

import csv
import io
import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from compute.models import Output, Run
from compute.models.keeping import Keeper
from compute.shapes import Table
from compute.web.outputs import address_of
from tests.conftest import run_jobs, started
from tests.processes import Processes

ROWS = [{"number": number, "text": f'ü, "{number}"' * 9} for number in range(100_000)]
#: Bytes a second of a slow line, and how many are taken from it at a time.
SLOW, PIECE = 3_000_000, 200_000


@pytest.fixture
def site(processes: Processes) -> str:
    """One web process, which breaks off a reply after 1.8 s."""
    _, site = processes.web(WEB_TIMEOUT="3", WEB_CONCURRENCY="1")
    return site


@pytest.fixture
def run(processes: Processes) -> Run:
    """One that has come to a table of 14 MB."""
    run = started("/compute/primes/start/", n=100)
    run_jobs()
    keeper = Keeper(run)
    keeper.keep({"": Table(ROWS)})
    Output.objects.bulk_create(keeper.outputs)
    return run


def slowly(address: str, start: int, tag: str) -> tuple[dict[str, str], bytes]:
    """The headers of a reply, and what comes of it until it is broken off."""
    parts = urlsplit(address)
    headers = f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
    if start:
        headers += f"Range: bytes={start}-\r\nIf-Range: {tag}\r\n"
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        line.settimeout(60)
        line.connect((parts.hostname, parts.port))
        line.sendall(f"{headers}Connection: close\r\n\r\n".encode())
        head, _, body = b"".join(pieces(line)).partition(b"\r\n\r\n")
    said = dict(each.split(": ", 1) for each in head.decode().split("\r\n")[1:])
    return said, body


def pieces(line: socket.socket) -> Iterator[bytes]:
    while piece := line.recv(PIECE):
        yield piece
        time.sleep(len(piece) / SLOW)


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "file"])
def test_a_slow_line_gets_all_of_it(site: str, run: Run, form: str) -> None:
    address = f"{site}{address_of(run, **{'as': form})}"
    said, data = slowly(address, 0, "")
    times, size = 1, int(said["Content-Length"])
    while len(data) < size:
        said, more = slowly(address, len(data), said["ETag"])
        assert said["Content-Range"].startswith(f"bytes {len(data)}-")
        data, times = data + more, times + 1
    print(f"\n{form}: {size:,} bytes in {times} parts")
    assert times > 1
    check(form, data)


def check(form: str, data: bytes) -> None:
    if form == "json":
        assert json.loads(data) == ROWS
    elif form in ("jsonl", "file"):
        cells = [list(row.values()) for row in ROWS] if form == "file" else ROWS
        assert [json.loads(line) for line in data.splitlines()] == cells
    else:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        assert lines[1:] == [[str(row["number"]), row["text"]] for row in ROWS]
