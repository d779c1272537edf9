"""What a run has come to, as its page shows it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from compute.models import Run
from compute.queue import contents
from compute.queue.contents import Content, Part
from compute.shapes import File, Picture, Series, Shape, Table, Value
from compute.web import parquet, tables
from compute.web.pages import outputs
from compute.web.pages.outputs import read_in_part
from tests.conftest import run_jobs, started
from tests.hostile import NASTY
from tests.web.pages.kept import png, run_with, table_of
from tests.web.pages.reading import page

DOWNLOAD = re.compile(r'<li><a href="([^"]+)" download>([^<]+)</a></li>')


def of(run: Run, query: str = "") -> str:
    return page(f"{run.get_absolute_url()}{query}")


def result_of(html: str) -> str:
    """The part of the page that shows it."""
    return html.partition('<section id="run"')[2].partition("</section>\n\n")[0]


def downloads(html: str) -> dict[str, str]:
    """Addresses by their words, without the list of chunks."""
    found = [(text, address.replace("&amp;", "&")) for address, text in DOWNLOAD.findall(html)]
    return {text: address for text, address in found if "/result/" in address}


def links(html: str) -> dict[str, str]:
    """The pages of a table, and the columns that it can be sorted by."""
    found = re.findall(r'<a (?:rel="\w+" )?href="([^"#]+)#output-\d+">([^<]+)</a>', html)
    return {text: address.replace("&amp;", "&") for address, text in found}


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(<td.*?)</tr>", html, re.DOTALL)
    return [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in rows]


# --- a number, a text ----------------------------------------------------------------------


@pytest.fixture
def gives(db: None, declare: Callable[..., None]) -> Callable[..., Run]:
    """A run that is done and has come to this, or to what `show` makes of it."""

    def run(result: Any, **fields: Any) -> Run:
        declare(name="primes", combine=lambda results: result, **fields)
        found = started("/compute/primes/start/", n=10, chunk_size=5)
        run_jobs()
        found.refresh_from_db()
        assert found.state == Run.State.DONE, found.error()
        return found

    return run


def test_a_number_is_large_and_copied_without_commas(gives: Callable[..., Run]) -> None:
    html = of(gives(1_234_567))
    assert '<p class="total"><output>1,234,567</output>' in html
    assert 'data-copy="1234567"' in html
    assert downloads(html) == {}


@pytest.mark.parametrize(
    ("result", "text"),
    [("one line", "one line"), (True, "True"), (2.5, "2.5"), ({"a": 1}, "a: 1")],
)
def test_what_is_short_is_large(gives: Callable[..., Run], result: Any, text: str) -> None:
    html = of(gives(result)).replace("&#x27;", "'")
    assert f"<output>{text}</output>" in html
    assert f'data-copy="{text}"' in html


def test_words_of_an_author_are_copied_as_they_are_read(gives: Callable[..., Run]) -> None:
    html = of(gives(3.14, show=lambda result: f"{result} km"))
    assert "<output>3.14 km</output>" in html
    assert 'data-copy="3.14 km"' in html


@pytest.mark.parametrize("text", ["two\nlines", "x" * 121])
def test_what_is_longer_is_small_and_has_a_box(gives: Callable[..., Run], text: str) -> None:
    html = of(gives(text))
    assert f'<pre class="told" tabindex="0" role="region" aria-label="Result">{text}</pre>' in html
    assert "<output>" not in html
    assert f'data-copy="{text}"' in html


def test_what_is_very_long_is_not_copied(gives: Callable[..., Run]) -> None:
    html = of(gives("x" * 6_000))
    assert "data-copy" not in html


def test_a_text_is_no_html(gives: Callable[..., Run]) -> None:
    html = of(gives("<script>alert(1)</script>"))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_of_what_is_large_the_beginning_is_shown_and_the_rest_had(
    gives: Callable[..., Run],
) -> None:
    value = {str(n): "ü" * 20 for n in range(5_000)}
    html = of(gives(value))
    text = re.search(r'<pre class="told"[^>]*its beginning">([^<]*)</pre>', html)
    assert text is not None
    assert text[1].startswith("{&quot;0&quot;:")
    assert text[1].endswith("…")
    assert len(text[1].replace("&quot;", '"').encode()) < 4_010
    ((words, address),) = downloads(html).items()
    assert re.fullmatch(r"JSON, \d+\.\d KB", words)
    assert Client().get(address).status_code == 200
    assert html.count("<pre") == 1, "and not its words, too"


def test_a_large_text_is_taken_away_as_text(gives: Callable[..., Run]) -> None:
    html = of(gives("line\n" * 40_000))
    assert list(downloads(html)) == ["Text, 195.3 KB"]
    assert html.count("<pre") == 1


def test_words_of_an_author_stand_beside_what_is_large(gives: Callable[..., Run]) -> None:
    html = of(gives("line\n" * 40_000, show=lambda text: f"{len(text):,} characters"))
    assert "<output>200,000 characters</output>" in html
    assert html.count("<pre") == 1


def test_a_run_that_is_not_done_has_nothing_to_show(run_with_a_failure: Run) -> None:
    html = of(run_with_a_failure)
    assert "<output>" not in html
    assert downloads(html) == {}


# --- a table -------------------------------------------------------------------------------


def test_a_table_has_fifty_rows_a_page(db: None) -> None:
    run = run_with(table_of(40_000))
    html = of(run)
    assert "<caption>rows 1–50 of 40,000</caption>" in html
    assert len(cells(html)) == 50
    assert cells(html)[7] == ["7", "8", "9"]
    assert '<div class="scroll" tabindex="0" role="region" aria-label="Table">' in html
    assert '<td class="number">7</td>' in html
    second = page(links(html)["Next"])
    assert "<caption>rows 51–100 of 40,000</caption>" in second
    assert cells(second)[0] == ["50", "51", "52"]
    assert re.search(r'<a rel="prev" href="[^"]+#output-1">Previous</a>', second)
    last = page(links(second)["Last"])
    assert "rows 39,951–40,000 of" in last
    assert list(links(last))[-2:] == ["First", "Previous"]


def test_a_page_reads_a_part_of_a_table_and_no_more(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "PART_BYTES", 20_000)
    run = run_with(table_of(40_000))
    assert Part.objects.count() > 20
    for rows in (1, 20_001, 39_951):
        with CaptureQueriesContext(connection) as queries:
            of(run, f"&rows={rows}")
        asked = [query["sql"] for query in queries if "queue_part" in query["sql"]]
        assert 1 <= len(asked) <= 2


def test_a_table_is_sorted_by_a_click(db: None) -> None:
    run = run_with(Table([["b", 2], ["ä", 10], ["a", None], ["<i>", -1]], ["name", "size"]))
    html = of(run)
    assert "4 rows</caption>" in html
    assert "aria-sort" not in html
    up = page(links(html)["size"])
    assert [row[1] for row in cells(up)] == ["-1", "2", "10", "–"]
    assert 'aria-sort="ascending"' in up
    down = page(links(up)["size"])
    assert [row[1] for row in cells(down)] == ["10", "2", "-1", "–"]
    assert 'aria-sort="descending"' in down
    assert next(row[0] for row in cells(page(links(down)["As it came, unsorted"]))) == "b"
    assert [row[0] for row in cells(page(links(down)["name"]))] == ["&lt;i&gt;", "a", "b", "ä"]


def test_a_large_table_says_that_it_can_t_be_sorted(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SORTED_ROWS", 100)
    html = of(run_with(table_of(101)), "&sort=1&down=1")
    assert "Tables of up to 100 rows and 8.0 MB can be sorted here" in html
    assert "aria-sort" not in html
    assert list(links(html)) == ["Next", "Last"]
    assert cells(html)[0] == ["0", "1", "2"]


def test_a_table_is_taken_away_in_each_format(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_with(table_of(3))
    monkeypatch.setattr(parquet, "is_there", lambda: False)
    found = downloads(of(run))
    assert list(found) == ["CSV", "JSON", "JSON lines"]
    for address in found.values():
        assert Client().get(address).status_code == 200
    monkeypatch.setattr(parquet, "is_there", lambda: True)
    assert list(downloads(of(run))) == ["CSV", "JSON", "JSON lines", "Parquet"]


def test_hostile_cells_are_text_and_short(db: None) -> None:
    rows = [["<script>alert(1)</script>", "x" * 1_000_000, None], ["=1+1", "{{7*7}}", 10**40]]
    html = of(run_with(Table(rows, ["<b>", "'\"", "{% now %}"])))
    assert "<script>alert" not in html
    assert "<b>" not in result_of(html)
    assert "&lt;b&gt;" in html
    assert len(html) < 60_000
    assert str(10**40) in html
    assert "{{7*7}}" in html


def test_a_table_of_ten_thousand_columns_is_a_page(db: None) -> None:
    html = of(run_with(table_of(60, width=10_000)))
    assert "rows 1–50 of 60, 100 of 10,000 columns</caption>" in html
    assert "The downloads have all columns." in html
    assert len(cells(html)[0]) == 100
    assert len(html) < 500_000


def test_a_table_without_rows_says_so(db: None) -> None:
    html = of(run_with(Table([], ["a", "b"])))
    assert "no rows</caption>" in html
    assert cells(html) == []


@pytest.mark.parametrize("name", ["rows", "sort", "down", "output", "table"])
def test_hostile_parameters_break_nothing(db: None, name: str) -> None:
    run = run_with({"<b>&=": table_of(60), "series": Series([1, 2, 3])})
    for value in NASTY[::3]:
        of(run, f"&output=series&table=1&{name}={quote(value.encode('utf-8', 'replace'))}")
        given = quote("<b>&=")
        of(run, f"&output={given}&rows=51&{name}={quote(value.encode('utf-8', 'replace'))}")


# --- a series ------------------------------------------------------------------------------


def test_a_series_is_drawn(db: None) -> None:
    html = of(run_with(Series([1, 4, 9], name="squares")))
    assert 'role="img" aria-labelledby="output-1-title output-1-desc"' in html
    assert '<title id="output-1-title">The result, 3 points</title>' in html
    assert '<desc id="output-1-desc">x from 0 to 2, y from 1 to 9</desc>' in html
    assert html.count('<path class="line line-1"') == 2, "and in the legend"
    assert "squares" in html
    assert list(downloads(html))[:3] == ["CSV", "JSON", "JSON lines"]
    assert "<table" not in result_of(html)


def test_the_numbers_of_a_series_are_a_click_away(db: None) -> None:
    run = run_with(Series({"up": range(120), "down": range(120, 0, -1)}))
    html = of(run)
    assert "of each of 2 lines" in html
    table = page(links(html)["Its numbers as a table"])
    assert cells(table)[0] == ["0", "0", "120"]
    assert "Its numbers as a table" not in table
    assert cells(page(links(table)["Next"]))[0] == ["50", "50", "70"]
    assert cells(page(links(table)["down"]))[0] == ["119", "119", "1"]


def test_a_line_without_a_name_has_no_legend(db: None) -> None:
    assert "<figcaption>" not in result_of(of(run_with(Series([1, 4, 9])))).partition("fold")[0]


def test_of_many_lines_the_others_are_in_the_downloads(db: None) -> None:
    html = of(run_with(Series({f"line {n}": [n, n, n] for n in range(12)})))
    assert "and 4 more, in the downloads" in html
    assert "line 7" in html
    assert "line 8" not in html


def test_a_series_without_numbers_is_not_drawn(db: None) -> None:
    assert "There is nothing to draw: it has no points." in of(run_with(Series([])))
    assert "or too large" in of(run_with(Series([None, 10**400])))


def test_a_very_long_series_is_drawn_of_a_part(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "DRAWN_ROWS", 2_000)
    monkeypatch.setattr(outputs, "STRETCH", 500)
    html = of(run_with(Series(range(30_000))))
    assert "Drawn from 2,000 of its 30,000 points; the downloads have all." in html
    assert "x from 0 to 29,999" in html


def test_stretches_go_from_the_first_row_to_the_last() -> None:
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> list[list[int]]:
        asked.append((start, stop))
        return [[start]]

    rows, count = read_in_part(read, 1_000_000, 200_000)
    assert (len(list(rows)), count) == (40, 200_000)
    assert (asked[0], asked[-1]) == ((0, 5_000), (995_000, 1_000_000))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(asked))
    _, count = read_in_part(read, 100, 200)
    assert count == 100


def test_a_list_of_numbers_has_its_words_beside_its_drawing(gives: Callable[..., Run]) -> None:
    html = of(gives([1, 4, 9]))
    assert "<output>[1, 4, 9]</output>" in html
    assert 'class="line line-1"' in html


def test_a_short_table_is_shown_and_not_told(gives: Callable[..., Run]) -> None:
    html = of(gives([[1, 2], [3, 4]]))
    assert cells(html) == [["1", "2"], ["3", "4"]]
    assert "<output>" not in html


# --- a picture, a file, several ------------------------------------------------------------


def test_a_picture_is_one(db: None) -> None:
    html = of(run_with(Picture(png(640, 480, 5_000), alt="A <mill>")))
    image = re.search(r'<img src="([^"]+)" alt="A &lt;mill&gt;" width="640" height="480">', html)
    assert image is not None
    reply = Client().get(image[1].replace("&amp;", "&"))
    assert reply["Content-Type"] == "image/png"
    assert list(downloads(html)) == ["PNG, 4.9 KB"]


def test_a_small_picture_is_enlarged_without_a_blur(db: None) -> None:
    html = of(run_with(Picture(png(16, 10))))
    assert 'width="320" height="200" class="pixels"' in html
    assert 'alt="The result, a picture that nobody has described"' in html


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "JPEG"),
        (b"RIFF\0\0\0\0WEBP" + b"\0" * 40, "WebP"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
    ],
)
def test_a_picture_that_does_not_tell_its_size_has_its_own(
    db: None, data: bytes, word: str
) -> None:
    html = of(run_with(Picture(data)))
    assert re.search(r'<img src="[^"]+" alt="[^"]+">', html)
    assert next(iter(downloads(html))).startswith(f"{word}, ")


def test_an_svg_is_a_picture_too(db: None) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    html = of(run_with(Picture(svg, "image/svg+xml")))
    assert "<script>alert" not in html
    assert next(iter(downloads(html))).startswith("SVG, ")


def test_a_file_says_what_it_is(db: None) -> None:
    html = of(run_with(File(b"x" * 6_100_000, "model <1>.npz", "application/x-npz")))
    assert "<strong>model _1_.npz</strong> <small>application/x-npz, 5.8 MB</small>" in html
    assert list(downloads(html)) == ["File, 5.8 MB"]


def test_several_have_a_heading_each(db: None) -> None:
    shapes: dict[str, Shape | Value] = {
        "sizes": table_of(60),
        "curve": Series([1, 2, 3]),
        "a & b": Picture(png(9, 9)),
        "all of it": File(b"x"),
        "count": Value(7),
    }
    run = run_with(shapes)
    html = of(run)
    assert re.findall(r"<h2>([^<]+)</h2>", html)[:5] == [
        *("sizes", "curve", "a &amp; b", "all of it", "count"),
    ]
    assert "&amp;name=a+%26+b&amp;as=file" in html
    assert 'alt="a &amp; b"' in html
    sorted_by_first = page(links(html)["column 1"])
    assert "output=sizes&amp;" in sorted_by_first
    assert "rows 51–60 of 60" in of(run, "&output=sizes&rows=51")
    assert "rows 1–50 of 60" in of(run, "&output=curve&rows=51")


def test_an_output_that_has_just_been_removed_is_said_to_be(db: None) -> None:
    shapes: dict[str, Shape | Value] = {"table": table_of(60), "text": Value("x" * 100_000)}
    run = run_with(shapes)
    Part.objects.all().delete()
    assert of(run).count("This has been removed meanwhile.") == 2
    Content.objects.all().delete()
    assert of(run).count("This has been removed meanwhile.") == 2


# --- in a list -----------------------------------------------------------------------------


def test_a_list_says_what_each_has_come_to_and_reads_nothing_of_it(db: None) -> None:
    with CaptureQueriesContext(connection) as before:
        page("/")
    run_with(table_of(40_000))
    run_with(Picture(png(9, 9, 512_000)))
    run_with({"a": Value(1), "b": Value(2), "c": Value(3)})
    with CaptureQueriesContext(connection) as queries:
        html = page("/")
    assert "table, 40,000 rows × 3 columns" in html
    assert "picture, 500.0 KB" in html
    assert "3 results" in html
    assert len(queries) <= len(before) + 1
    assert not any("queue_part" in query["sql"] for query in queries)
