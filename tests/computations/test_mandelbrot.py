from __future__ import annotations

import zlib
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute.canvas import ABSENT
from compute.computations.mandelbrot import (
    COLOURS,
    INSIDE,
    MANDELBROT,
    TILE,
    WHOLE,
    MandelbrotForm,
    cut,
    draw,
    palette,
    picture,
    plainly,
    rounded,
    shade,
    sides,
    spiral,
    title,
)
from compute.trying import sampled_speed


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a picture, a place in the palette for each pixel."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    side = int.from_bytes(data[16:20], "big")
    raw = zlib.decompress(data[data.index(b"IDAT") + 4 : -16])
    assert len(raw) == side * (side + 1)
    return [raw[at + 1 : at + side + 1] for at in range(0, len(raw), side + 1)]


def form(**texts: str) -> MandelbrotForm:
    return MandelbrotForm(texts)


def filled(**texts: str) -> MandelbrotForm:
    made = form(**texts)
    assert made.is_valid(), made.errors
    return made


# --- a point, a tile, a picture ----------------------------------------------------------------


def test_what_never_leaves_is_inside_and_what_leaves_is_not() -> None:
    for inside in (0j, -1 + 0j, -0.1 + 0.75j, 0.25 + 0j, -2 + 0j):
        assert shade(inside, 500) == INSIDE
    for outside in (1 + 0j, -2.01 + 0j, 0.3 + 0.6j, 4 + 4j):
        assert 1 <= shade(outside, 500) <= COLOURS
    assert shade(0.26 + 0j, 10) == INSIDE  # it takes longer to leave
    assert shade(0.26 + 0j, 100) != INSIDE


def test_colours_change_smoothly_from_point_to_point() -> None:
    shades = [shade(complex(1.5 + i / 1000, 0.3), 100) for i in range(500)]
    steps = {abs(a - b) for a, b in pairwise(shades)}
    assert steps <= {0, 1, COLOURS - 1}  # the last is beside the first


@pytest.mark.parametrize(("pixels", "side"), [(64, 4), (65, 5), (80, 5), (1024, 64)])
def test_the_spiral_has_each_tile_once_from_the_middle_outwards(pixels: int, side: int) -> None:
    assert sides(pixels) == side
    tiles = spiral(side)
    assert sorted(tiles) == [(column, row) for column in range(side) for row in range(side)]
    middle = (side - 1) / 2
    rounds = [max(abs(column - middle), abs(row - middle)) for column, row in tiles]
    assert rounds == sorted(rounds)


@pytest.mark.parametrize("chunk_size", [1, 7, 25])
def test_however_it_is_cut_it_is_the_same_picture(chunk_size: int) -> None:
    view: dict[str, Any] = {**WHOLE, "pixels": 70, "iterations": 60}
    length = MANDELBROT.length
    assert length is not None
    assert length(**view) == 25
    chunks = cut(chunk_size, **view)
    assert len(chunks) == -(-25 // chunk_size)
    made = picture(draw(*chunk) for chunk in chunks)
    lines = lines_of(made.data)
    assert (len(lines), made.media_type) == (70, "image/png")
    step = 3 / 70
    for i, j in ((0, 0), (69, 69), (35, 35), (16, 15), (69, 0), (12, 40)):
        point = complex(-0.75 - 1.5 + (i + 0.5) * step, 1.5 - (j + 0.5) * step)
        assert lines[j][i] == shade(point, 60)


def test_a_picture_of_a_part_has_gaps_that_one_looks_through() -> None:
    chunks = cut(4, **WHOLE, pixels=70, iterations=60)
    lines = lines_of(picture([draw(*chunks[0]), draw(*chunks[1])]).data)
    pixels = b"".join(lines)
    assert 0 < pixels.count(ABSENT) < len(pixels)
    assert lines[35][35] != ABSENT
    assert lines[0][0] == lines[69][69] == ABSENT


def test_a_chunk_is_a_picture_of_its_tiles_alone() -> None:
    number = spiral(5).index((4, 4)) + 1  # at the edge, and so smaller
    data = draw(0, 0, 1, 70, 5, number, number)
    lines = lines_of(data)
    drawn = [line[64:] for line in lines[64:]]
    assert ABSENT not in b"".join(drawn)
    assert b"".join(lines).count(ABSENT) == 70 * 70 - 36
    assert len(data) < 2_000


def test_the_palette_has_a_colour_for_each_place() -> None:
    assert len(palette()) == 3 * 256
    assert palette()[3:6] == bytes([0, 7, 100])
    assert TILE * sides(512) == 512


def test_the_sample_tells_a_speed() -> None:
    speed = sampled_speed(MANDELBROT)
    assert speed is not None
    assert speed > 0


# --- the form ---------------------------------------------------------------------------------


def test_without_anything_it_is_the_whole_set() -> None:
    assert filled().cleaned_data == {**WHOLE, "pixels": 512, "iterations": 1000}


def test_numbers_are_kept_exactly() -> None:
    text = "-0.743643887037158704752191506114774"
    cleaned = filled(x=text, y="+.5", width="1e-3", pixels="64", iterations="5").cleaned_data
    assert str(cleaned["x"]) == text
    assert cleaned["y"] == Decimal("0.5")
    assert cleaned["width"] == Decimal("0.001")


@pytest.mark.parametrize(
    ("name", "text", "detail"),
    [
        *(
            ("x", text, "Give x as a number, for example -0.75.")
            for text in (
                *("NaN", "Infinity", "-inf", "sNaN", "0x10", "1_000", "١", "1,5", "--1", "."),
                *("1e1000", "1e99999", "e5", "1 2", "0." + "1" * 200),
            )
        ),
        ("x", "1e999", "Give x from -4 to 4: the set is within that."),
        ("y", "-4.001", "Give y from -4 to 4: the set is within that."),
        ("width", "0", "Give a width of at least 2.3e-13 here"),
        ("width", "-1", "Give a width of at least"),
        ("width", "1e-999", "Give a width of at least"),
        ("width", "2e-13", "Give a width of at least"),
        ("width", "9", "Give a width of at most 8."),
        ("width", "1e999", "Give a width of at most 8."),
        ("pixels", "63", "Give a size in pixels of at least 64."),
        ("pixels", "1025", "Give a size in pixels of at most 1,024."),
        ("pixels", "-5", "Give pixels as a whole number"),
        ("pixels", "NaN", "Give pixels as a whole number"),
        ("iterations", "0", "Give a number of iterations of at least 1."),
        ("iterations", "10001", "Give a number of iterations of at most 10,000."),
        ("iterations", "1e3", "Give iterations as a whole number"),
    ],
)
def test_what_is_refused(name: str, text: str, detail: str) -> None:
    made = form(**{"x": "-0.75", "y": "0", "width": "3", name: text})
    assert not made.is_valid()
    assert list(made.errors) == [name]
    assert str(made.errors[name][0]).startswith(detail)


def test_where_numbers_are_small_one_sees_more() -> None:
    assert filled(x="0", y="0", width="1e-15")
    assert not form(x="-1.5", y="0", width="1e-15").is_valid()


@given(text=st.text(max_size=20), where=st.sampled_from(["x", "y", "width"]))
def test_any_text_whatever_is_taken_or_refused(text: str, where: str) -> None:
    made = form(**{where: text})
    if made.is_valid():
        view = made.cleaned_data
        assert title(**view)
        assert cut(1024, **view)


# --- where it goes on ---------------------------------------------------------------------------


@given(
    across=st.floats(0, 1),
    down=st.floats(0, 1),
    x=st.decimals(-2, 2, places=12),
    width=st.decimals("0.000001", 3, places=9),
)
def test_a_click_leads_to_the_point(across: float, down: float, x: Decimal, width: Decimal) -> None:
    view = filled(x=str(x), y="0.1", width=str(width))
    nearer = view.clicked(across, down)
    after = filled(**{name: str(value) for name, value in nearer.items()}).cleaned_data
    assert float(after["width"]) == pytest.approx(float(width) / 4, rel=1e-4)
    slack = float(width) * 1e-4
    assert float(after["x"] - x) == pytest.approx((across - 0.5) * float(width), abs=slack)
    assert float(after["y"]) == pytest.approx(0.1 - (down - 0.5) * float(width), abs=slack)
    assert all(len(str(value)) < 30 for value in nearer.values())


def test_the_ways_lead_in_out_and_back() -> None:
    assert list(filled().ways()) == ["Zoom in"]
    ways = filled(x="-1.25", y="0.1", width="0.3").ways()
    assert ways == {
        "Zoom in": {"width": Decimal("0.075")},
        "Zoom out": {"width": Decimal("1.2")},
        "The whole set": WHOLE,
    }
    assert filled(width="2").ways()["Zoom out"] == {"width": 3}
    assert "Zoom out" not in filled(width="4").ways()


def test_a_click_that_leads_too_far_in_is_refused_by_the_next_form() -> None:
    nearer = filled(x="-1.5", y="0", width="1e-12").clicked(0.5, 0.5)
    assert "width" in form(**{name: str(value) for name, value in nearer.items()}).errors


@pytest.mark.parametrize(
    ("view", "name"),
    [
        ({}, "Mandelbrot set"),
        ({"x": "-0.750"}, "Mandelbrot set"),
        ({"x": "0.3", "y": "-0.02", "width": "0.5"}, "Mandelbrot set at 0.3 - 0.02i, × 6"),
        ({"x": "-1.25", "width": "1e-9"}, "Mandelbrot set at -1.25 + 0i, × 3,000,000,000"),
        ({"width": "8"}, "Mandelbrot set at -0.75 + 0i, × 0.38"),
    ],
)
def test_its_title_says_where(view: dict[str, str], name: str) -> None:
    assert title(**filled(**view).cleaned_data) == name


def test_numbers_in_words_and_rounded() -> None:
    assert plainly(Decimal("1e-50")) == "1e-50"
    assert plainly(Decimal("0.1234567890123456789012345")) == "0.12345678901234567890"
    assert plainly(Decimal("0")) == "0"
    assert rounded(Decimal("0.123456")) == Decimal("0.12346")
    assert rounded(Decimal(0)) == 0
    assert str(rounded(Decimal("0.5"), Decimal("0.01"))) == "0.5"
