"""How the Django projects among the others are set up: as Django's documentation advises.

SQLite gets the same settings as ours (WAL, IMMEDIATE transactions), without which these
systems lose tasks to locked tables; Postgres gets lasting connections.
"""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

SECRET_KEY = "measured-only-measured-only-measured-only-0123456789"  # noqa: S105
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"


def databases() -> dict[str, Any]:
    """The database of the place; none where there is no place."""
    if not os.environ.get("DATABASE_URL"):
        return {}
    database: dict[str, Any] = {
        **dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=600)
    }
    if database["ENGINE"].endswith("sqlite3"):
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    return {"default": database}


def set_up() -> None:
    """Django, and its tables."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
