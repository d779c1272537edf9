"""An error's text without what is nobody's business: paths of this machine, and SQL.

The message of an exception is whatever some library put into it. Staff read it as it is,
here and in the admin; everybody else reads it through this.
"""

from __future__ import annotations

import re
import sqlite3
from functools import cache
from types import ModuleType

import django.db.utils
from django.http import HttpRequest

MASK = "[…]"

#: A path in quotes, which may have blanks in it, or be cut off; one from a root to a blank,
#: and on if the next word has a slash, too; one that begins at no root, if it has three parts
#: or an ending ("n/a", "1/2" and "bytes/s" are no paths).
PATHS = re.compile(
    r"""
    (?P<quote>['"`])(?:(?:file:|~[\w.-]*|\.{1,2})?[/\\]|[A-Za-z]:[/\\])
        (?:\\.|(?!(?P=quote)).)*(?:(?P=quote)|$)
    | (?<![\w/\\.])(?:file:|~[\w.-]*|\.{1,2}|[A-Za-z]:)?[/\\]+[\w.~@%+-][^\s'"`<>]*
        (?:\s+[^\s/\\'"`<>]+[/\\][^\s'"`<>]*)*
    | (?<![\w/\\.])[\w.~@%+-]+(?:[/\\][\w.~@%+-]+){2,}[/\\]?
    | (?<![\w/\\.])[\w.~@%+-]+[/\\][\w~@%+-]+\.\w+
    """,
    re.VERBOSE,
)
#: Where SQL begins, or a database's own remark that quotes a statement or a row.
SQL = re.compile(
    r"""
    \b(?:SELECT\b.+\bFROM | INSERT\s+INTO | UPDATE\b.+\bSET | DELETE\s+FROM | MERGE\s+INTO
      | (?:CREATE|ALTER|DROP|TRUNCATE)\s+(?:TEMP\w*\s+)?(?:TABLE|INDEX|VIEW|SEQUENCE|DATABASE)
      | WITH\s+\w+\s+AS\s*\( | VALUES\s*\( | PRAGMA\s+\w+ | COPY\s+\w+\s+(?:FROM|TO)\b
      )
    | \b(?:LINE\s+\d+|DETAIL|CONTEXT|STATEMENT|QUERY|HINT):
    | \[SQL:
    """,
    re.VERBOSE | re.IGNORECASE,
)


def names_of_errors(*modules: ModuleType) -> set[str]:
    return {
        name
        for module in modules
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }


@cache
def of_a_database() -> re.Pattern[str]:
    """The errors of databases and their drivers. A message may name tables, columns and values.

    Asked for when there is an error to show: a site on SQLite has no other use for psycopg, which
    takes a fifth of what each of its processes needs to start.
    """
    import psycopg.errors

    names = names_of_errors(django.db.utils, sqlite3, psycopg.errors)
    return re.compile(rf"\b(?:{'|'.join(sorted(names))}):")


def masked(line: str) -> str:
    """The line without paths and SQL; a database's error is cut after its class."""
    found = of_a_database().search(line)
    if found:
        return f"{PATHS.sub(MASK, line[: found.end()])} {MASK}"
    found = SQL.search(line)
    if found:
        line = f"{line[: found.start()]}{MASK}"
    return PATHS.sub(MASK, line)


def shown_to(request: HttpRequest, line: str | None) -> str | None:
    """An error, or a call, as this client may read it."""
    return line if not line or request.user.is_staff else masked(line)
