"""Texts: of what people and their code bring, shortened, in one line, fit for a database; and
numbers of things in words."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

#: Characters of an error's report at most.
LONGEST = 1_000_000
#: Errors of a group that are named in a line, and characters of each, and of the group's own words.
NAMED_ERRORS, NAMED_CHARS = 3, 110


def shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:  # whatever a __repr__ may raise
        return f"<{type(value).__name__}>"


def shorten(text: str, length: int) -> str:
    """At most `length` characters, and none that a database does not store."""
    text = storable(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def number_of(count: int, noun: str) -> str:
    """So many of something, whose noun takes an s: "1 chunk", "2,000 chunks"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def storable(text: str) -> str:
    """A text that databases and pages take: what UTF-8 can't say, as \\udce9 is, escaped."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()


def message_of(error: BaseException) -> str | None:
    """An error's own words; None if it can't even say them. A group's are followed by the first
    errors in it: its own tell their number alone."""
    try:
        own = str(error)
    except Exception:  # whatever a __str__ may raise
        own = None
    if not isinstance(error, BaseExceptionGroup):
        return own
    within = list(errors_in(error))
    named = [shorten(one_line(each), NAMED_CHARS) for each in within[:NAMED_ERRORS]]
    if more := len(within) - len(named):
        named.append(f"and {more:,} more")
    words = "; ".join(named)
    return f"{shorten(own, NAMED_CHARS)}: {words}" if own else words


def errors_in(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """The errors in a group, and in groups in it, which are none themselves."""
    ahead: list[BaseException] = [group]
    while ahead:
        error = ahead.pop()
        if isinstance(error, BaseExceptionGroup):
            # Not by the name, which a class of its own may give to anything.
            ahead += reversed(BaseExceptionGroup.exceptions.__get__(error))
        else:
            yield error


def report_of(error: BaseException) -> str:
    """An error as its record tells of it: message and traceback, of which the middle is left out
    where they are longer than anybody reads, or than a row of a database is."""
    return of_bearable_length(f"{message_of(error)} : {lines_of(error)}")


def traceback_of(error: BaseException) -> str:
    """The traceback alone, cut in the same way. It ends with class and message."""
    return of_bearable_length(lines_of(error))


def lines_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # whatever its attributes are, as the text of a SyntaxError
        return f"{shown(error)}, of which there is no traceback"


def of_bearable_length(report: str) -> str:
    if len(report) > LONGEST:
        report = f"{report[: LONGEST // 2]}\n…\n{report[-LONGEST // 2 :]}"
    return storable(report)


def one_line(error: BaseException) -> str:
    """An error as one line of at most 500 characters: class and message. Of a group it names the
    first errors, too."""
    message = " ".join((message_of(error) or "")[:5000].split())
    name = type(error).__name__
    return shorten(f"{name}: {message}" if message else name, 500)
