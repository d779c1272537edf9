"""Statements that the server plans once for many times: a claim takes longer to plan than to do.

Django's cursors write the values into the text, so that to the server each statement is a new one.
The ones asked here leave the values beside a text that stays the same. After five times psycopg has
the session prepare it, and after five more Postgres keeps one plan for all values, unless plans for
the values at hand are better by more than they cost.

Behind a pooler a transaction gets any session, so there nothing is prepared (as wake-ups are not
waited for there): a session that is not the server's own is asked as Django asks.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import DatabaseError, connection

from .. import sql
from . import sessions

#: How often a session is asked the same before it prepares that, and how much it keeps prepared.
OFTEN, KEPT = 5, 16
#: Seconds after which a statement is planned anew, for what tables have become.
PLANNED_S = 30

#: Codes of the errors of a session that no longer has a statement, has it from somebody else, or
#: whose answer a migration has changed. None has done anything.
LOST = {"26000", "42P05", "0A000"}


def fetch(statement: str, values: Any) -> sql.Rows:
    """All rows that a statement finds. It has to have the same text again and again, and what
    decides its plan, as a LIMIT does, has to stand in that."""
    connection.ensure_connection()
    session: Any = connection.connection
    if session not in sessions.direct:
        return sql.fetch(statement, values)
    try:
        return ask(session, f"{statement} -- {time.monotonic() // PLANNED_S:.0f}", values)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) not in LOST:
            raise
        sessions.direct.discard(session)
        if connection.in_atomic_block:  # which has failed
            raise
    return sql.fetch(statement, values)


def ask(session: Any, statement: str, values: Any) -> sql.Rows:
    """As Django asks, with a cursor that leaves the values to the server."""
    database: Any = connection  # the types of Django's connections do not know its driver
    usual = session.prepare_threshold, session.prepared_max
    with connection.cursor() as cursor:
        cursor.cursor = database.Database.Cursor(session)
        session.prepare_threshold, session.prepared_max = OFTEN, KEPT
        try:
            cursor.execute(statement, values)
            rows: sql.Rows = cursor.fetchall()
        finally:  # of others' statements psycopg would keep the texts, with all their values
            session.prepare_threshold, session.prepared_max = usual
    return rows
