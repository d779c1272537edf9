"""What runs and their chunks have come to, in a real browser; for everybody."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from compute.models import Run
from compute.queue.models import Job, Node
from compute.shapes import File, Picture, Series, Table, Value
from tests.browser.conftest import Watched
from tests.conftest import run_jobs, started
from tests.processes import Processes
from tests.web.pages.kept import run_with

pytestmark = [pytest.mark.browser, pytest.mark.once]
Pictures = Callable[[str], None]


def png(width: int, height: int) -> bytes:
    """A picture of rings."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    def shade(x: int, y: int) -> int:
        return int(127 + 127 * math.sin(math.hypot(x - width / 2, y - height / 2) / 9))

    rows = (bytes([0, *(shade(x, y) for x in range(width))]) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


TABLE = Table(
    (
        [
            f"2026-{1 + n % 12:02}-{1 + n % 28:02}",
            f"Station {n % 97}",
            n**7 % 10**9,
            n / 7,
            None if n % 9 else "=late",
        ]
        for n in range(40_000)
    ),
    ["day", "station", "passengers", "share", "remark"],
)
WAVES = {
    "sine": [math.sin(n / 300) for n in range(5_000)],
    "damped": [math.sin(n / 90) * math.exp(-n / 1_500) for n in range(5_000)],
    "trend": [n / 5_000 - 0.5 if n % 1_000 < 900 else None for n in range(5_000)],
}


def test_results_of_each_shape_are_for_everybody(
    processes: Processes, page: Page, watched: Watched, pictures: Pictures
) -> None:
    _, site = processes.web()
    for name, shapes in {
        "result-table": TABLE,
        "result-series": Series(WAVES),
        "result-picture": Picture(png(480, 320), alt="Rings around the middle"),
        "result-file": File(b"x" * 6_100_000, "model.npz"),
        "result-text": Value("A long text, of which the beginning is shown.\n" * 4_000),
        "result-several": {
            "passengers by day": Table([["Mon", 12], ["Tue", 7]], ["day", "passengers"]),
            "load": Series([n * n for n in range(50)]),
            "map": Picture(png(24, 16)),
            "model": File(b"x" * 6_100_000, "model.npz"),
        },
    }.items():
        run = run_with(shapes)  # type: ignore[arg-type]
        page.goto(site + run.get_absolute_url())
        for image in page.get_by_role("img").all():
            expect(image).to_be_visible()
        pictures(name)
    watched.is_fine(site)


def test_a_table_is_paged_and_sorted_without_javascript(
    processes: Processes, browser: Browser
) -> None:
    _, site = processes.web()
    page = browser.new_context(java_script_enabled=False).new_page()
    run = run_with(Table([[n, n * 37 % 101] for n in range(101)], ["place", "size"]))
    page.goto(site + run.get_absolute_url())
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("rows 51–100 of 101")).to_be_visible()
    page.get_by_role("link", name="size").click()
    expect(page.get_by_text("rows 1–50 of 101")).to_be_visible()
    sizes = page.locator("tbody td:nth-child(2)").all_text_contents()
    assert sizes == [str(n) for n in range(50)]
    page.get_by_role("link", name="size").click()
    expect(page.locator("tbody td:nth-child(2)").first).to_have_text("100")
    page.context.close()


def test_a_chunk_is_clicked_in_a_grid_of_many(
    processes: Processes, page: Page, watched: Watched
) -> None:
    _, site = processes.web()
    run = started("/split-sum-start/", n=1000, chunk_size=10)
    page.goto(site + run.get_absolute_url())
    grid = page.locator("figure.grid svg")
    box = grid.bounding_box()
    assert box is not None
    # Twenty cells in a row, five rows: the second cell of the third one.
    grid.click(position={"x": box["width"] * 1.5 / 20, "y": box["height"] * 2.5 / 5})
    expect(page.get_by_role("heading", level=1)).to_have_text("Chunk 42 of 100")
    page.get_by_label("Chunk, 1 to 100").fill("7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Chunk 7 of 100")
    page.get_by_role("link", name="Next chunk").click()
    expect(page.get_by_text("(71, 80)")).to_be_visible()
    watched.is_fine(site)


def test_a_chunk_is_clicked_in_the_grid_and_in_the_timeline(
    processes: Processes, page: Page, watched: Watched, pictures: Pictures, queue_server: Node
) -> None:
    _, site = processes.web()
    run = started("/split-sum-start/", n=3_000_000, chunk_size=100_000)
    run_jobs()
    now = timezone.now()
    for job in run.jobs.all():
        begun = now - timedelta(seconds=30 - job.position // 2 * 2)
        ended = begun + timedelta(seconds=1.8)
        Job.objects.filter(pk=job.pk).update(
            node=queue_server, worker=1 + job.position % 2, started_at=begun, finished_at=ended
        )
    Run.objects.update(created_at=now - timedelta(seconds=31))
    page.goto(site + run.get_absolute_url())
    pictures("run-done")
    page.get_by_text("All 30 chunks").click()
    pictures("run-done-unfolded")
    page.locator("figure.grid a").nth(4).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Chunk 5 of 30")
    expect(page.get_by_text("(400001, 500000)")).to_be_visible()
    pictures("chunk")
    page.go_back()
    page.locator("ol.lanes a").nth(0).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Chunk 1 of 30")
    watched.is_fine(site)


def test_chunks_are_looked_through_page_by_page_and_by_state(
    processes: Processes, page: Page, watched: Watched, pictures: Pictures, queue_server: Node
) -> None:
    _, site = processes.web()
    run = started("/split-sum-start/", n=120_000, chunk_size=1_000)
    begun = {"node": queue_server, "worker": 7, "started_at": timezone.now(), "attempt": 1}
    ended = {**begun, "finished_at": timezone.now() + timedelta(seconds=2)}
    run.jobs.filter(position__lt=110).update(state=Job.State.DONE, **ended)
    run.jobs.filter(position__in=(2, 105)).update(
        state=Job.State.FAILED, error="ValueError: " + "no such luck " * 9, attempt=2
    )
    run.jobs.filter(position__in=(3, 110)).update(state=Job.State.RUNNING, progress=0.4, **begun)
    page.goto(site + run.get_absolute_url())
    page.get_by_role("link", name="List of chunks", exact=True).click()
    expect(page.locator("tbody tr")).to_have_count(100)
    pictures("chunks")
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("101–120 of 120")).to_be_visible()
    page.get_by_role("link", name="failed 2").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    run.jobs.filter(position=7).update(state=Job.State.FAILED)
    page.evaluate("document.activeElement.blur()")
    expect(page.locator("tbody tr")).to_have_count(3)  # it follows
    page.get_by_role("link", name="Chunk 106").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Chunk 106 of 120")
    page.get_by_role("link", name="List of chunks").click()
    expect(page.get_by_text("101–120 of 120")).to_be_visible()
    watched.is_fine(site)


def test_a_chunk_that_waits_is_followed_and_a_failed_one_says_why(
    processes: Processes, page: Page, pictures: Pictures
) -> None:
    _, site = processes.web()
    run = started("/split-sum-start/", n=1000, chunk_size=500)
    page.goto(f"{site}/compute/sum/chunk/?task_id={run.task_id}&number=1")
    expect(page.get_by_text("queued", exact=True)).to_be_visible()
    run.jobs.update(
        state=Job.State.FAILED,
        error="ValueError: no such luck",
        started_at=timezone.now(),
        finished_at=timezone.now(),
    )
    expect(page.get_by_text("ValueError: no such luck")).to_be_visible()
    pictures("chunk-failed")
