"""Files uploaded to a real web server and read by the workers of two nodes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psutil
import pytest
from django.db import connection

from compute.models import Run, Upload
from compute.models.upload import keep
from compute.queue.contents import PART_BYTES, Content, Part
from compute.queue.fanout import async_iter
from compute.queue.models import Job
from tests.processes import ROOT, Process, Processes, ended, wait_until
from tests.uploads.data import csv, totals
from tests.workers.test_chapters import get
from tests.workers.test_node import workers_of

UPLOADS = {"DJANGO_SETTINGS_MODULE": "tests.uploads.settings"}
ROWS = 60_000
DATA = csv(ROWS)  # 3.9 MB
MB = 1_000_000


def ask(method: str, address: str, data: bytes | None = None, **headers: Any) -> Any:
    """The reply's status, its offset and its JSON."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    try:
        with urlopen(Request(address, data, named, method=method), timeout=60) as reply:
            return reply.status, int(reply.headers["Upload-Offset"]), json.loads(reply.read())
    except HTTPError as error:
        with error:
            return error.code, int(error.headers["Upload-Offset"] or -1), json.loads(error.read())


def begin(site: str, size: int = len(DATA), name: str = "data.csv") -> Any:
    about = f"name={name}&size={size}".encode()
    status, offset, said = ask("POST", f"{site}/compute/columns/upload/", about)
    assert (status, offset) == (201, 0), said
    return said


def computed(site: str, pk: str, chunk_size: int = 200_000) -> Any:
    address = f"{site}/compute/columns/start/?file={pk}&chunk_size={chunk_size}"
    started = get(address)["task_progress"]
    return ended(lambda: get(started), what=started)


def cut_off(site: str, at: str, offset: int, data: bytes, size: int) -> None:
    """Begin a part of `size` bytes, send these and be gone."""
    host, _, port = site.removeprefix("http://").partition(":")
    path = at.removeprefix(site)
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: {offset}\r\n"
        f"Content-Length: {size}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(head.encode() + data)


@pytest.mark.main_path
def test_a_file_goes_in_is_cut_off_goes_on_and_is_added_up(processes: Processes) -> None:
    _, site = processes.web(**UPLOADS, WEB_CONCURRENCY="2")
    for _ in range(2):
        processes.node(**UPLOADS, Q_WORKERS="1")
    begun = begin(site)
    at = begun["at"]
    assert ask("PATCH", at, DATA[:MB], Upload_Offset=0)[:2] == (200, MB)
    cut_off(site, at, MB, DATA[MB : 2 * MB + 5], len(DATA) - MB)
    wait_until(lambda: ask("GET", at)[1] == 2 * MB + 5, 30, "what came before the cut")
    assert ask("PATCH", at, DATA[MB:], Upload_Offset=MB)[:2] == (409, 2 * MB + 5)
    status, offset, said = ask("PATCH", at, DATA[2 * MB + 5 :], Upload_Offset=2 * MB + 5)
    assert (status, offset, said["complete"]) == (200, len(DATA), True)
    said = computed(site, begun["upload"])
    assert (said["status"], said["result"]) == ("done", totals(ROWS))
    assert Job.objects.exclude(node=None).values("node").distinct().count() == 2
    assert b"".join(Content.objects.get(holder=begun["upload"]).read()) == DATA


def test_two_at_once_each_have_their_own_bytes(processes: Processes) -> None:
    """Two files at the same time, and one file by two who both begin at its beginning."""
    _, site = processes.web(**UPLOADS, WEB_CONCURRENCY="3")
    others = csv(ROWS + 1)
    files = [(begin(site), DATA), (begin(site, len(others)), others)]
    shared = begin(site)
    replies: list[int] = []

    def send(at: str, data: bytes) -> None:
        for offset in range(0, len(data), MB):
            part = data[offset : offset + MB]
            assert ask("PATCH", at, part, Upload_Offset=offset)[0] == 200

    def send_all(letter: bytes) -> None:
        replies.append(ask("PATCH", shared["at"], letter * len(DATA), Upload_Offset=0)[0])

    threads = [threading.Thread(target=send, args=(said["at"], data)) for said, data in files]
    threads += [threading.Thread(target=send_all, args=[letter]) for letter in (b"a", b"b")]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    for said, data in files:
        assert b"".join(Content.objects.get(holder=said["upload"]).read()) == data
    assert sorted(replies) == [200, 409]
    found = b"".join(Content.objects.get(holder=shared["upload"]).read())
    assert found in (b"a" * len(DATA), b"b" * len(DATA))


def test_a_web_process_is_killed_in_the_midst(processes: Processes) -> None:
    """What it had written stays, and whoever sent it goes on from there."""
    web, site = processes.web(**UPLOADS, WEB_CONCURRENCY="1")
    at = begin(site)["at"]
    host, _, port = site.removeprefix("http://").partition(":")
    head = (
        f"PATCH {at.removeprefix(site)} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\n"
        f"Content-Length: {len(DATA)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(head.encode() + DATA[: PART_BYTES + 1000])
        wait_until(lambda: Content.objects.get().size == PART_BYTES, 30)
        (worker,) = psutil.Process(web.pid).children()
        os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: worker.pid not in {each.pid for each in web.family()}, 30)

    def has() -> int:
        try:
            return int(ask("GET", at)[1])
        except OSError:
            return -1

    wait_until(lambda: has() == PART_BYTES, 30, "what was written before")
    assert ask("PATCH", at, DATA[PART_BYTES:], Upload_Offset=PART_BYTES)[2]["complete"]
    assert b"".join(Content.objects.get().read()) == DATA


def test_a_slow_line_gets_its_answer_before_the_process_is_killed(processes: Processes) -> None:
    web, site = processes.web(**UPLOADS, WEB_TIMEOUT="5")
    at = begin(site)["at"]
    host, _, port = site.removeprefix("http://").partition(":")
    head = (
        f"PATCH {at.removeprefix(site)} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\n"
        f"Content-Length: {len(DATA)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(head.encode() + DATA[:40_000])
        reply = line.recv(2**16)  # and nothing more is sent
    assert reply.startswith(b"HTTP/1.1 408 "), reply
    offset = re.search(rb"(?i)upload-offset: (\d+)\r\n", reply)
    assert offset
    assert 0 < int(offset[1]) == Content.objects.get().size <= 40_000
    assert b"".join(Content.objects.get().read()) == DATA[: int(offset[1])]
    assert "WORKER TIMEOUT" not in web.text()


def test_a_part_without_a_length_is_taken_as_far_as_a_body_may_go(processes: Processes) -> None:
    _, site = processes.web(**UPLOADS)
    at = begin(site)["at"]
    line = HTTPConnection(site.removeprefix("http://"), timeout=20)
    pieces = iter([DATA[:1000], DATA[1000:300_000]])
    path, headers = urlsplit(at).path, {"Upload-Offset": "0"}
    line.request("PATCH", path, pieces, headers, encode_chunked=True)
    assert line.getresponse().headers["Upload-Offset"] == "300000"
    line.close()
    assert b"".join(Content.objects.get().read()) == DATA[:300_000]


def test_a_part_without_a_length_is_not_taken_for_whole_if_it_is_not(processes: Processes) -> None:
    """One that is too long, and one that is cut off amid a chunk."""
    _, site = processes.web(**UPLOADS)
    at = begin(site)["at"]
    line = HTTPConnection(site.removeprefix("http://"), timeout=20)
    pieces = (DATA[begin : begin + 2**16] for begin in range(0, 2 * MB, 2**16))
    path, headers = urlsplit(at).path, {"Upload-Offset": "0"}
    line.request("PATCH", path, pieces, headers, encode_chunked=True)
    assert line.getresponse().status == 413
    line.close()
    assert ask("GET", at)[1] == 0
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nUpload-Offset: 0\r\n"
        "Transfer-Encoding: chunked\r\n\r\n493e0\r\n"  # 300,000 bytes
    )
    host, _, port = site.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        raw.sendall(head.encode() + DATA[:200_000])
        raw.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: raw.recv(2**16), b""))
    assert reply.startswith(b"HTTP/1.1 408 "), reply
    offset = re.search(rb"(?i)upload-offset: (\d+)\r\n", reply)
    assert offset
    assert 0 < int(offset[1]) == Content.objects.get().size <= 200_000
    assert b"".join(Content.objects.get().read()) == DATA[: int(offset[1])]


def test_the_commands_of_the_reference_upload_a_file(processes: Processes, tmp_path: Path) -> None:
    """As they stand there, but for the site's address."""
    _, site = processes.web(**UPLOADS)
    processes.node(**UPLOADS)
    text = (ROOT / "docs" / "reference.md").read_text()
    examples = re.findall(r"```sh\n(.*?)```", text.partition("## Files")[2], re.S)
    assert len(examples) >= 2
    (tmp_path / "data.csv").write_bytes(DATA)
    for example in examples[:2]:
        script = example.replace("http://localhost:8000", site)
        done = subprocess.run(
            ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        started = json.loads(done.stdout.splitlines()[-1])["task_progress"]
        said = ended(lambda: get(started), what=started)  # noqa: B023
        assert (said["status"], said["result"]) == ("done", totals(ROWS)), done
    assert Upload.objects.count() == 2


def test_a_worker_reads_one_part_without_the_rest(processes: Processes) -> None:
    """The others are not even there any more."""
    data = b"".join(b"%9d\n" % number for number in range(400_000))
    upload = keep(BytesIO(data), "numbers.csv")
    Part.objects.filter(content=upload.content.pk).exclude(number=3).delete()
    processes.node(**UPLOADS)
    group = async_iter(
        "tests.uploads.reading.read_some", [(upload.stored, 3 * PART_BYTES + 7, 1000)]
    )
    assert wait_for_job(group).result == data[3 * PART_BYTES + 7 :][:1000]


def wait_for_job(group: str) -> Job:
    jobs = Job.objects.filter(group=group)
    wait_until(lambda: not jobs.unsettled().exists(), 60, "the job's end")
    return jobs.get()


# --- a hundred megabytes ------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.skipif(not psutil.LINUX, reason="Linux tells what a process has of its own")
def test_what_a_hundred_megabytes_take(processes: Processes) -> None:
    """Of a web process, by parts and whole in a form; and of the worker that reads them all."""
    # (With DEBUG Django keeps the text of each statement of a request, with all that it writes.)
    hosted = {"DEBUG": "0", "ALLOWED_HOSTS": "localhost", "MAX_KEPT_MB": "0"}
    web, site = processes.web(**UPLOADS, **hosted)
    tls = {"X_Forwarded_Proto": "https"}
    size = 100 * 1024 * 1024
    piece = os.urandom(8 * MB)
    get(f"{site}/healthz")
    with Highest(web) as parts:
        began = time.monotonic()
        about = f"name=data.csv&size={size}".encode()
        begun = ask("POST", f"{site}/compute/columns/upload/", about, **tls)[2]
        at = f"{site}{urlsplit(begun['at']).path}"
        for offset in range(0, size, len(piece)):
            part = piece[: size - offset]
            assert ask("PATCH", at, part, Upload_Offset=offset, **tls)[0] == 200
        by_parts = time.monotonic() - began
    with Highest(web) as whole:
        began = time.monotonic()
        subprocess.run(
            [
                *("curl", "-sS", "-H", "X-Forwarded-Proto: https"),
                *("-F", "file=@-;filename=data.csv", f"{site}/compute/columns/start/"),
            ],
            input=b"a,b\n" + os.urandom(size - 4).replace(b"\n", b" "),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        at_once = time.monotonic() - began
    assert Upload.objects.count() == 2
    assert Run.objects.get().uploads.get().size == size
    Run.objects.all().cancel("the test")
    (worker,) = workers_of(processes.node(**UPLOADS, Q_WORKERS="1"))
    before = worker.memory_info().rss
    stored = Upload.objects.get(pk=begun["upload"]).stored
    group = async_iter("tests.uploads.reading.read_all", [(stored,)])
    job = wait_for_job(group)
    assert job.result == size
    assert job.worker == worker.pid
    beside = highest(worker.pid) - before
    print(f"\n{connection.vendor}: 100 MB by parts of 8 MB in {by_parts:.1f} s, the web processes")
    print(f"have {parts.more / MB:.0f} MB more, and in a form, in {at_once:.1f} s,")
    print(f"{whole.more / MB:.0f} MB;")
    print(f"the worker that reads it all {beside / MB:.0f} MB; load {os.getloadavg()[0]:.0f}")
    assert max(parts.more, whole.more, beside) < 50 * MB


class Highest:
    """The most memory that a server's processes have of their own (PSS) meanwhile, beyond what they
    had before."""

    def __init__(self, server: Process) -> None:
        self.server = server
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.before = self.most = 0

    def now(self) -> int:
        return sum(int(each.memory_full_info().pss) for each in self.server.family())

    def watch(self) -> None:
        while not self.over.wait(0.02):
            self.most = max(self.most, self.now())

    def __enter__(self) -> Highest:
        self.before = self.most = self.now()
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()

    @property
    def more(self) -> int:
        return self.most - self.before


def highest(pid: int) -> int:
    """Bytes of memory that a process has had at most."""
    with open(f"/proc/{pid}/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


# --- others -------------------------------------------------------------------------------


@pytest.mark.thorough
def test_others_write_while_parts_are_written(processes: Processes) -> None:
    """No write of another waits for more than a part: 100 ms."""
    _, site = processes.web(**UPLOADS)
    begun = begin(site, 40 * MB)
    over = threading.Event()

    def send() -> None:
        piece = os.urandom(8 * MB)
        for offset in range(0, 40 * MB, len(piece)):
            assert ask("PATCH", begun["at"], piece, Upload_Offset=offset)[0] == 200
        over.set()

    thread = threading.Thread(target=send)
    thread.start()
    waits: list[float] = []
    mine = keep(BytesIO(b"x"), "mine")
    while not over.is_set():
        began = time.monotonic()
        Upload.objects.filter(pk=mine.pk).touch()
        waits.append(time.monotonic() - began)
    thread.join()
    waits.sort()
    print(f"\n{len(waits)} writes beside it: {1000 * waits[len(waits) // 2]:.1f} ms in the middle,")
    print(f"{1000 * waits[-1]:.0f} ms at most; load {os.getloadavg()[0]:.0f}")
    assert len(waits) > 10
