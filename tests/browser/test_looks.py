"""Pages fit every width whatever names and titles hold; times are those of the reader's place."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import Failure
from playwright.sync_api import Browser, Page, expect

from compute.models import Run
from compute.models.notes import refresh
from compute.queue.models import Job, Node
from compute.shapes import Series
from tests import recipes
from tests.browser.accounts import make_boss, sign_in
from tests.browser.conftest import WORK_MS, Watched
from tests.conftest import run_jobs, started
from tests.processes import Processes
from tests.web.pages.kept import run_with

pytestmark = [pytest.mark.browser, pytest.mark.once]
Pictures = Callable[[Page, str], None]

WIDTHS = (360, 768, 1280)
#: A site with a computation of somebody's own.
BESIDE_OURS = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}
#: Without a blank, where a line could break.
LONG = "W" * 200
WIDER = """
    [...document.querySelectorAll("body *")].filter((each) => {
        const box = each.getBoundingClientRect();
        return box.right > innerWidth + 1 && !each.closest(".scroll, .results, .kinds, pre, .skip");
    }).map((each) => each.outerHTML.slice(0, 200))
"""


def assert_fits(page: Page, address: str) -> None:
    """Nothing scrolls the page sideways."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(address)
        is_wide = page.evaluate("document.scrollingElement.scrollWidth > innerWidth")
        assert not is_wide, (width, address, page.evaluate(WIDER)[:5])


@pytest.fixture
def hostile(transactional_db: None) -> Run:
    """Runs and queue servers with names as long as columns are; one run in each state."""
    for number, state in enumerate(Run.State.values):
        run = started("/split-sum-start/", n=40, chunk_size=4)
        Run.objects.filter(pk=run.pk).update(
            title=LONG, state=state, trouble=LONG * 2, shown=LONG if number else "", chunks=10
        )
    now = timezone.now()
    alive = recipes.node.make(
        name=LONG[:100], host=LONG + LONG[:55], workers=2, seen_at=now + timedelta(hours=1)
    )
    recipes.node.make(name=LONG[:100], host=LONG, stopped_at=now, seen_at=now)
    run = Run.objects.filter(state=Run.State.IN_PROGRESS).get()
    Job.objects.filter(group=run.task_id).update(name=LONG)
    Job.objects.filter(group=run.task_id, position=0).update(
        state=Job.State.RUNNING, node=alive, worker=7, started_at=now
    )
    failed = Run.objects.filter(state=Run.State.ERROR).get()
    for job in failed.jobs[:3]:
        Job.objects.filter(pk=job.pk).update(
            state=Job.State.FAILED, name=LONG, error=LONG * 2, error_class=LONG[:100]
        )
        Failure.objects.create(
            id=job.pk, name=LONG[:100], func=LONG, result=LONG * 20, started=now, stopped=now,
            success=False, args=(LONG,), group=LONG[:100],
        )  # fmt: skip
    return run


@pytest.fixture
def boss(hostile: Run, settings: Any, processes: Processes, page: Page) -> str:
    """The site, with staff of a long name that is signed in."""
    user = make_boss(settings)
    _, site = processes.web(SITE_NAME=LONG[:60])
    page.goto(f"{site}/login/")
    sign_in(page, "Sign in")
    expect(page.get_by_role("button", name="Sign out boss")).to_be_visible()
    user.username = LONG[:150]
    user.save()
    return site


def test_no_page_is_wider_than_the_screen(boss: str, hostile: Run, page: Page) -> None:
    runs = [run.get_absolute_url() for run in Run.objects.all()]
    failed = Run.objects.filter(state=Run.State.ERROR).get()
    for path in (
        "/",
        "/?state=in-progress",
        f"/?q={LONG}",
        "/tutorial/",
        "/compute/primes/",
        "/compute/mandelbrot/",
        "/compute/sum/chunk-sizes/?n=40",
        "/nodes/",
        "/password/",
        "/sum-sync/?n=1000",
        f"/split-sum-start/?n={LONG}&chunk_size={LONG}",
        f"/compute/{LONG}/",
        f"/sum-check/?task_id={LONG}",
        *runs,
        f"/compute/{hostile.computation}/chunk/?task_id={hostile.task_id}&number=1",
        f"/compute/{hostile.computation}/chunks/?task_id={hostile.task_id}",
        f"/compute/{failed.computation}/chunks/?task_id={failed.task_id}",
    ):
        assert_fits(page, boss + path)


def test_combining_characters_do_not_widen_a_page(boss: str, hostile: Run, page: Page) -> None:
    """They have no width of their own where a font knows them, and no place to break a line."""
    stacked, signs = "a" + "\u0301\u0489" * 49, "a" + "\u0489" * 1_999
    Run.objects.update(name=stacked, note=signs, title=signs[:200])
    checks = [run.get_absolute_url() for run in Run.objects.all()]
    for path in ("/", "/compute/sum/", *checks):
        assert_fits(page, boss + path)
    Run.objects.update(name="", parameters={"n": signs}, given={"n": [signs]})
    Job.objects.update(name=signs[:200])
    Job.objects.exclude(error="").update(error=signs[:500])
    chunk = f"/compute/{hostile.computation}/chunk/?task_id={hostile.task_id}&number=1"
    chunks = f"/compute/{hostile.computation}/chunks/?task_id={hostile.task_id}"
    for path in (
        "/",
        "/nodes/",
        f"/compute/{hostile.computation}/?from={hostile.task_id}",
        chunk,
        chunks,
        *checks,
    ):
        assert_fits(page, boss + path)


def test_no_list_of_the_admin_is_wider_than_the_screen(boss: str, hostile: Run, page: Page) -> None:
    for path in (
        "",
        "compute/run/",
        f"compute/run/{hostile.pk}/change/",
        "queue/job/",
        f"queue/job/{hostile.jobs[0].pk}/change/",
        "queue/node/",
        "django_q/failure/",
        f"django_q/failure/{Failure.objects.all()[0].pk}/change/",
        "django_q/success/",
        "django_q/ormq/",
        "django_q/schedule/",
    ):
        assert_fits(page, f"{boss}/admin/{path}")


def test_strangers_pages_fit(hostile: Run, processes: Processes, page: Page) -> None:
    _, site = processes.web(
        HOME_PAGE="", TUTORIAL="0", RUNS_PRIVATE="1", SITE_NAME=LONG[:60], **BESIDE_OURS
    )
    for path in ("/", "/login/", "/nodes/", "/compute/primes/", "/sum-check/?task_id=1"):
        assert_fits(page, site + path)


def test_what_was_unfolded_stays_so_when_the_page_asks_again(
    hostile: Run, processes: Processes, page: Page
) -> None:
    _, site = processes.web()
    page.goto(f"{site}/nodes/")
    page.get_by_text("1 earlier", exact=True).click()
    expect(page.get_by_text("stopped", exact=True)).to_be_visible()
    page.get_by_role("heading", level=1).click()
    page.evaluate("document.activeElement.blur()")
    with page.expect_response(f"{site}/nodes/"):
        pass
    Node.objects.filter(stopped_at=None).update(ended=4711)
    expect(page.get_by_text("4,711")).to_be_visible()
    expect(page.get_by_text("stopped", exact=True)).to_be_visible()


def test_on_a_phone_a_run_is_a_card_and_still_a_row_of_a_table(
    hostile: Run, processes: Processes, page: Page
) -> None:
    _, site = processes.web()
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(site)
    row = page.get_by_role("row").filter(has_text=LONG).first
    expect(row.get_by_role("rowheader")).to_contain_text("split into 10 chunks")
    box = row.bounding_box()
    assert box
    for cell in row.get_by_role("cell").all():
        inner = cell.bounding_box()
        assert inner
        assert box["x"] <= inner["x"]
        assert inner["x"] + inner["width"] <= box["x"] + box["width"] + 1
    label = row.locator("[data-label=Took]")
    assert label.evaluate("each => getComputedStyle(each, '::before').content") == '"Took"'


def test_a_plot_that_is_cut_at_an_edge_says_so(
    transactional_db: None, processes: Processes, page: Page
) -> None:
    _, site = processes.web()
    run = run_with(Series({"wave": [n % 7 for n in range(100)]}))
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(site + run.get_absolute_url())
    plot = page.get_by_role("region", name="Plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    #: Where nothing is drawn, beside each edge.
    left: Any = {"x": box["x"] + 8, "y": box["y"] + 4, "width": 2, "height": 2}
    right: Any = {**left, "x": box["x"] + box["width"] - 10}
    seen = []
    for at in (0, 120, 1_000):
        plot.evaluate("(each, at) => each.scrollTo(at, 0)", at)
        seen.append([page.screenshot(clip=each) for each in (left, right)])
    begin, midst, end = seen
    assert begin[0] != midst[0] == end[0]
    assert begin[1] == midst[1] != end[1]


# --- times --------------------------------------------------------------------------------


def run_at(at: datetime) -> Run:
    run = started("/sum-start/", n=5)
    Run.objects.update(created_at=at)
    return run


def test_times_are_those_of_the_readers_place(
    transactional_db: None, processes: Processes, browser: Browser
) -> None:
    _, site = processes.web()
    run = run_at(datetime.fromisoformat("2026-11-05T20:30:40+00:00"))
    page = browser.new_context(timezone_id="Asia/Kolkata").new_page()
    for path in ("/", run.get_absolute_url()):
        page.goto(site + path)
        local = page.get_by_text("2026-11-06 02:00:40", exact=True)
        expect(local).to_be_visible()
        expect(local).to_have_attribute("title", "2026-11-05 20:30:40 UTC")
    # And in what comes later.
    page.goto(site)
    run_at(datetime.fromisoformat("2026-11-05T21:30:00+00:00"))
    expect(page.get_by_text("2026-11-06 03:00:00", exact=True).first).to_be_visible(timeout=WORK_MS)
    page.context.close()


def test_without_scripts_they_are_utc_and_say_so(
    transactional_db: None, processes: Processes, browser: Browser
) -> None:
    _, site = processes.web()
    run = run_at(datetime.fromisoformat("2026-11-05T20:30:40+00:00"))
    context = browser.new_context(timezone_id="Asia/Kolkata", java_script_enabled=False)
    page = context.new_page()
    for path in ("/", run.get_absolute_url()):
        page.goto(site + path)
        expect(page.get_by_text("2026-11-05 20:30:40 UTC", exact=True)).to_be_visible()
    context.close()


# --- a computation's page, and cards --------------------------------------------------------


def test_a_computations_page_tells_how_long_it_takes_while_it_is_filled_in(
    processes: Processes, page: Page, watched: Watched, queue_server: Node
) -> None:
    _, site = processes.web()
    page.goto(f"{site}/compute/primes/")
    told = page.locator("#expected")
    expect(told).to_be_empty()
    page.get_by_label("n", exact=True).fill("1000000000")
    expect(told).to_have_text(
        re.compile(r"^About .* with the 2 workers that are there, in [\d,]+ chunks\.$")
    )
    page.get_by_label("Chunk size").fill("500000000")
    expect(told).to_have_text(re.compile(r", in 2 chunks\.$"))
    page.get_by_label("n", exact=True).fill("x")
    expect(told).to_be_empty()
    assert not Run.objects.exists()
    page.get_by_label("n", exact=True).fill("1000")
    page.get_by_label("Chunk size").fill("")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("primes up to 1,000")
    watched.is_fine(site)


def test_cards_of_all_and_a_name_of_ones_own(
    transactional_db: None,
    processes: Processes,
    page: Page,
    watched: Watched,
    pictures_of: Pictures,
) -> None:
    run = started("/compute/primes/start/", n=1000)
    run_jobs()
    refresh(run)
    recipes.node.make(seen_at=timezone.now() + timedelta(hours=1), workers=2)
    _, site = processes.web(SITE_NAME="Number works", HOME_PAGE="", **BESIDE_OURS)
    page.goto(site)
    expect(page).to_have_title("Number works: computations that outlast a request")
    # All of a card takes the press.
    page.locator(".card").filter(has_text="primes").click(position={"x": 200, "y": 40})
    expect(page.get_by_role("heading", level=1)).to_have_text("primes")
    watched.is_fine(site)
    page.goto(site)
    pictures_of(page, "cards")


def test_a_page_on_paper_has_what_was_computed_and_no_buttons(
    hostile: Run, processes: Processes, page: Page
) -> None:
    _, site = processes.web()
    page.goto(site)
    page.emulate_media(media="print")
    expect(page.get_by_role("navigation", name="Site")).to_be_hidden()
    expect(page.get_by_role("button", name="Split sum")).to_be_hidden()
    expect(page.get_by_role("table")).to_be_visible()
