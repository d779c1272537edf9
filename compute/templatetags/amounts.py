"""Times, numbers and longer texts as people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from inspect import cleandoc

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma, intword
from django.utils.dateformat import format as date_format
from django.utils.html import format_html, format_html_join

register = template.Library()


@register.filter
def duration(seconds: float | None) -> str:
    """Two places at most: 5 ms, 0.4 s, 12 s, 2 min 5 s, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return "–"
    if seconds < 0.05:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, smaller, size, part in (
        ("d", "h", 86400, 3600),
        ("h", "min", 3600, 60),
        ("min", "s", 60, 1),
    ):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size:,} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


@register.simple_tag
def moment(at: datetime, form: str = "Y-m-d H:i:s") -> str:
    """A time in UTC, which says so; where scripts run a page shows that of its reader's place."""
    text = date_format(at.astimezone(UTC), form)
    return format_html('<time datetime="{}">{} UTC</time>', at.isoformat(), text)


#: Of an amount that is less it is only said that it is; one in three hours, as a rate.
LEAST = 0.0001


@register.filter
def amount(number: float) -> str:
    """A large number in words, 25.3 million; a smaller one with its thousands apart; one below 10
    with two digits, 0.6, so that what is not nothing does not say 0."""
    if 0 < number < LEAST:
        return f"under {LEAST}"
    if number < 10:
        return format(Decimal(f"{number:.2g}"), "f")
    whole = round(number)
    text = str(intword(whole) if whole >= 10**6 else intcomma(whole))
    return text.replace(".0 ", " ")


@register.filter
def soon(seconds: float | None) -> str:
    """When something starts."""
    if seconds is None:
        return "not known yet"
    return "at once" if seconds < 1 else f"in about {duration(seconds)}"


#: Parts of a whole that have a name.
PORTIONS = {1: "all", 3 / 4: "three quarters", 2 / 3: "two thirds", 1 / 2: "half"}
PORTIONS |= {1 / 3: "a third", 1 / 4: "a quarter"}


@register.filter
def portion(part: float) -> str:
    """A part of the whole, from 0 to 1, in front of "of the workers"."""
    for whole, name in PORTIONS.items():
        if abs(part - whole) < 0.03:
            return name
    return f"about {round(part * 100)} %" if part >= 0.01 else "under 1 %"


@register.filter
def percent(fraction: float) -> str:
    """Cut, not rounded: what is not yet done does not say 100 %."""
    return f"{int(fraction * 100)} %"


@register.filter
def paragraphs(text: object) -> str:
    """A text as a docstring has it: an empty line ends a paragraph, and no other does."""
    parts = re.split(r"\n\s*\n", cleandoc(str(text)))
    return format_html_join("\n", "<p>{}</p>", ((" ".join(part.split()),) for part in parts))
