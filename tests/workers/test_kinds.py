"""What `startcomputation` writes: each kind passes its own test, and works on a real worker."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isclose, pi
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from compute.management.commands.startcomputation import KINDS
from tests.clones import Clone
from tests.processes import Processes

pytestmark = pytest.mark.main_path

#: A command for each, and what it has to print.
RUNS: dict[str, tuple[str, Any]] = {
    "number": ("1000", 333833500),
    "table": (
        "2 --json",
        [{"number": 1, "square": 1, "cube": 1}, {"number": 2, "square": 4, "cube": 8}],
    ),
    "picture": ("100", None),
    "files": ("@some.txt --chunk-size 700", [3_000, 4_000]),
    "chance": ("200000 --seed 5 --chunk-size 10000", pi),
    "http": (
        "20 --chunk-size 10 --json",
        [{"page": number, "status": 200, "bytes": 5} for number in range(1, 21)],
    ),
}


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"text\n")

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def pages() -> Iterator[str]:
    """The address of a server's pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{{}}"
        server.shutdown()


def test_each_kind_passes_its_test_and_runs(
    processes: Processes, tmp_path: Path, pages: str
) -> None:
    clone = Clone(tmp_path / "clone", processes)
    clone.write({"some.txt": "One line\n\nand another\n" * 1_000})
    for kind in KINDS:
        said = clone.said(f"./manage.py startcomputation my-{kind} --kind {kind}")
        assert f"wrote compute/computations/my_{kind}.py" in said
    clone.test(*(f"tests/computations/test_my_{kind}.py" for kind in KINDS))
    clone.said("./manage.py check")
    clone.node(PAGES=pages)
    assert set(RUNS) == set(KINDS)
    for kind, (arguments, expected) in RUNS.items():
        said = clone.said(f"./manage.py compute my-{kind} {arguments}")
        if kind == "picture":
            assert re.search("PNG|png|picture", said), said
        elif kind == "chance":
            assert isclose(json.loads(said), expected, rel_tol=0.02)
            assert clone.said(f"./manage.py compute my-{kind} {arguments}") == said
        else:
            assert json.loads(said) == expected, kind
