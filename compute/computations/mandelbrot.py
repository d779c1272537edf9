"""The Mandelbrot set: tiles that cost unequally, from the middle outwards, make a picture.

Where one clicks into it the next view begins: `clicked` and `ways` of the form say which.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from math import atan2, log, log2, sqrt, ulp
from typing import Any

from django import forms

from compute import chunking
from compute.canvas import ABSENT, Canvas, gradient, laid
from compute.computation import Computation
from compute.fields import ExactField, WholeNumberField
from compute.queue.progress import report
from compute.shapes import Picture

#: Pixels of a side of the picture, and points that are followed for so many steps.
PIXELS, LEAST_PIXELS, MOST_PIXELS = 512, 64, 1024
ITERATIONS, MOST_ITERATIONS = 1_000, 10_000
#: Pixels of a side of a tile; those at the right and lower edge may be smaller.
TILE = 16
#: The view of the whole set, and how far from the middle any view may be.
WHOLE = {"x": Decimal("-0.75"), "y": Decimal(0), "width": Decimal(3)}
FAR = 4
#: How much a click enlarges, and how many pixels are to differ by a float's last digit.
ZOOM, LAST_DIGITS = 4, 4

#: A point that comes so far from 0 never comes back.
RADIUS = 100.0
#: Places in the palette: of what never leaves, and of so many colours behind it, up to what is not
#: drawn. They come again each time that the root of the steps has grown by 10.
INSIDE, COLOURS = 0, ABSENT - 1
NUMBER = "Give {} as a number, for example -0.75."

#: Red, green and blue, each at a part of the way round.
STOPS = (
    (0.0, (0, 7, 100)),
    (0.16, (32, 107, 203)),
    (0.42, (237, 255, 255)),
    (0.6425, (255, 170, 0)),
    (0.8575, (34, 2, 40)),
    (1.0, (0, 7, 100)),
)


# --- a chunk -----------------------------------------------------------------------------


def draw(
    x: float, y: float, width: float, pixels: int, iterations: int, first: int, last: int
) -> bytes:
    """The tiles from `first` to `last`, counted from 1 as they lie round the middle, x + yi: a PNG
    of the whole view, in which one looks through all that is another's."""
    step = width / pixels
    left, top = x - width / 2 + step / 2, y + width / 2 - step / 2
    canvas = Canvas(pixels)
    for number, (column, row) in enumerate(spiral(sides(pixels))[first - 1 : last], first):
        across = range(column * TILE, min(pixels, (column + 1) * TILE))
        for j in range(row * TILE, min(pixels, (row + 1) * TILE)):
            points = (complex(left + i * step, top - j * step) for i in across)
            canvas.draw(across[0], j, bytes(shade(point, iterations) for point in points))
        report((number - first + 1) / (last - first + 1))
    return canvas.png(palette())


def shade(c: complex, iterations: int) -> int:
    """The place in the palette of a point: by how soon z² + c, again and again, leaves for good.

    Between two steps the colour changes smoothly, as in Vepstas, "Renormalizing the Mandelbrot
    escape" (1997).
    """
    z = 0j
    for steps in range(iterations):
        z = z * z + c
        if abs(z) > RADIUS:
            smooth = steps + 1 - log2(log(abs(z)) / log(RADIUS))
            return 1 + int(COLOURS / 10 * (sqrt(smooth) - 1)) % COLOURS
    return INSIDE


def sides(pixels: int) -> int:
    """How many tiles a side of the picture has."""
    return -(-pixels // TILE)


@cache
def spiral(side: int) -> list[tuple[int, int]]:
    """The column and row of each tile, from the middle outwards, round by round."""
    middle = (side - 1) / 2

    def place(tile: tuple[int, int]) -> tuple[float, float]:
        across, down = tile[0] - middle, tile[1] - middle
        return max(abs(across), abs(down)), atan2(down, across)

    return sorted(((column, row) for row in range(side) for column in range(side)), key=place)


# --- the picture -------------------------------------------------------------------------


def picture(drawn: Iterable[bytes]) -> Picture:
    return Picture(laid(drawn, palette()), alt="A part of the Mandelbrot set")


@cache
def palette() -> bytes:
    """256 colours of three bytes; that of what never leaves is nearly black."""
    return bytes([6, 4, 20, *gradient(STOPS, COLOURS), 0, 0, 0])


# --- the form ----------------------------------------------------------------------------


class MandelbrotForm(forms.Form):
    x = ExactField(
        NUMBER.format("x"),
        label="x",
        initial=WHOLE["x"],
        help_text="The middle of the view, from left to right.",
    )
    y = ExactField(
        NUMBER.format("y"),
        label="y",
        initial=WHOLE["y"],
        help_text="The middle of the view, upwards.",
    )
    width = ExactField(
        NUMBER.format("width"),
        label="width",
        initial=WHOLE["width"],
        help_text="How wide the view is: 3 shows the whole set.",
    )
    pixels = WholeNumberField(
        "Give pixels as a whole number in plain digits, for example 512.",
        label="size in pixels",
        help_text=f"Of a side of the picture, from {LEAST_PIXELS} to {MOST_PIXELS:,}.",
        min_value=LEAST_PIXELS,
        max_value=MOST_PIXELS,
        required=False,
        initial=PIXELS,
    )
    iterations = WholeNumberField(
        "Give iterations as a whole number in plain digits, for example 1000.",
        label="number of iterations",
        help_text=f"How long a point is followed, at most {MOST_ITERATIONS:,}: more show finer "
        "lines, and take longer.",
        min_value=1,
        max_value=MOST_ITERATIONS,
        required=False,
        initial=ITERATIONS,
    )

    def clean(self) -> None:
        for name, usual in (("pixels", PIXELS), ("iterations", ITERATIONS)):
            if name in self.cleaned_data and self.cleaned_data[name] is None:
                self.cleaned_data[name] = usual
        for name in ("x", "y"):
            if name in self.cleaned_data and abs(self.cleaned_data[name]) > FAR:
                self.add_error(name, f"Give {name} from -{FAR} to {FAR}: the set is within that.")
        if self.errors:
            return
        x, y, width, pixels = (self.cleaned_data[name] for name in ("x", "y", "width", "pixels"))
        least = pixels * LAST_DIGITS * ulp(max(abs(float(x)), abs(float(y))) + 1e-3)
        if width > 2 * FAR:
            self.add_error("width", f"Give a width of at most {2 * FAR}.")
        elif width < Decimal(least):
            self.add_error(
                "width",
                f"Give a width of at least {least:.1e} here: a processor's numbers have 16 "
                "digits, and tell no finer points apart.",
            )

    # --- where it goes on from a picture --------------------------------------------------

    def clicked(self, across: float, down: float) -> dict[str, Any]:
        """The view around a point of the picture, nearer."""
        x, y, width = (self.cleaned_data[name] for name in ("x", "y", "width"))
        nearer = rounded(width / ZOOM)
        return {
            "x": rounded(x + (Decimal(across) - Decimal("0.5")) * width, nearer),
            "y": rounded(y - (Decimal(down) - Decimal("0.5")) * width, nearer),
            "width": nearer,
        }

    def ways(self) -> dict[str, dict[str, Any]]:
        """Where else one can go from here, by the words on the buttons."""
        width = self.cleaned_data["width"]
        found = {"Zoom in": {"width": rounded(width / ZOOM)}}
        if width < WHOLE["width"]:
            found["Zoom out"] = {"width": min(rounded(width * ZOOM), WHOLE["width"])}
        if any(self.cleaned_data[name] != value for name, value in WHOLE.items()):
            found["The whole set"] = dict(WHOLE)
        return found


def rounded(number: Decimal, beside: Decimal | None = None) -> Decimal:
    """To five digits, or to a ten-thousandth of what is `beside` it."""
    last = (number if beside is None else beside).adjusted() - 4
    return number.quantize(Decimal(1).scaleb(last)).normalize() + 0


def title(x: Decimal, y: Decimal, width: Decimal, pixels: int, iterations: int) -> str:
    if {"x": x, "y": y, "width": width} == WHOLE:
        return "Mandelbrot set"
    sign = "-" if y < 0 else "+"
    zoom = WHOLE["width"] / width
    times = f"{zoom:,.0f}" if zoom >= 10 else f"{zoom:.2g}"
    return f"Mandelbrot set at {plainly(x)} {sign} {plainly(abs(y))}i, × {times}"


def plainly(number: Decimal) -> str:
    """In at most 22 characters; what is next to nothing in the way of a float."""
    if number and number.adjusted() < -20:
        return f"{float(number):g}"
    return f"{number.normalize():f}"[:22]


def cut(
    chunk_size: int, x: Decimal, y: Decimal, width: Decimal, pixels: int, iterations: int
) -> list[tuple[Any, ...]]:
    view = (float(x), float(y), float(width), pixels, iterations)
    return [(*view, *tiles) for tiles in chunking.ranges(sides(pixels) ** 2, chunk_size)]


MANDELBROT = Computation(
    name="mandelbrot",
    line="Draws the Mandelbrot set, and each part of it that one clicks at.",
    about="""
    Take a point c of the plane, and z² + c again and again, from z = 0. If that never goes far, c
    is in the set, and dark; else its colour says how soon it went. What is near takes longer, so
    tiles cost unequally. Workers draw them from the middle; a click into the picture goes nearer.
    """,
    title=title,
    form=MandelbrotForm,
    function=draw,
    length=lambda x, y, width, pixels, iterations: sides(pixels) ** 2,
    unit="tiles",
    cut=cut,
    per_second=100,
    sample=((-0.75, 0.0, 3.0, 32, ITERATIONS, 1, 4), 4),
    combine=picture,
    partial=True,
)
