"""The web server's settings; gunicorn finds this file by itself.

Sync workers and their 30 s limit are the tutorial's: a request that takes longer
is killed, which is why long computations go to the queue.
"""

import contextlib
import socket
import time
import warnings
from glob import glob
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger

from compute.web.access import FORMAT
from sumsite import settings

# With DEBUG the site shows its insides, so only this machine may ask.
host = "127.0.0.1" if settings.DEBUG else "0.0.0.0"  # noqa: S104
bind = f"{host}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY
worker_class = "sync"
timeout = settings.WEB_TIMEOUT
graceful_timeout = 3 if settings.DEBUG else 25  # honcho kills 5 s after Ctrl-C, Heroku 30 s
control_socket_disable = True  # it would lie in the home folder, shared by every instance

# gunicorn's own lines and one for each request, by the site's rules. Its own lines look as they
# do anywhere; while somebody works on the site, requests are told by the pages they come to.
logger_class = "compute.web.access.AccessLogger"
access_log_format = FORMAT
access = settings.LOG_FORMAT == "json" or not settings.DEBUG
level = settings.LOG_LEVEL
logging: dict[str, Any] = settings.LOGGING
logconfig_dict = {
    **logging,
    "formatters": {
        **logging["formatters"],
        "gunicorn": {
            "()": "sumsite.logs.Lines",
            "fmt": Logger.error_fmt,
            "datefmt": Logger.datefmt,
        },
    },
    "handlers": {
        **logging["handlers"],
        "gunicorn": {
            "class": "logging.StreamHandler",
            "formatter": "json" if settings.LOG_FORMAT == "json" else "gunicorn",
        },
    },
    "loggers": {
        "gunicorn.error": {"handlers": ["gunicorn"], "level": level, "propagate": False},
        "gunicorn.access": {
            "handlers": ["stderr"] if access else [],
            "level": level,
            "propagate": False,
        },
    },
}


def post_request(worker: Any, req: Any, environ: dict[str, Any], resp: Any) -> None:
    """Let a client that is still sending read what it was told.

    The body of a refused request is not read, and to close a connection with unread data
    cuts off the answer on its way. gunicorn drops up to 64 KB for that; this, of those who
    send more, what comes within a second.
    """
    client = environ.get("gunicorn.socket")
    said = environ.get("CONTENT_LENGTH") or "0"
    if client is None or not said.isdecimal() or len(said.lstrip("0")) < 5:
        return
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_WR)
        until = time.monotonic() + 1
        while (left := until - time.monotonic()) > 0:
            client.settimeout(left)
            if not client.recv(1 << 16):
                return


reload = settings.DEBUG
# gunicorn watches what it has imported by itself, but no templates; and not a computation that
# is new, removed, or could not be imported. It looks at patterns each time; of a folder the
# time of change tells that a file has come or gone (not __pycache__, where Python writes).
watched = [
    "templates/**/*.html",
    "compute/computations/**/*.py",
    "compute/computations",
    "compute/computations/**/[!_]*/",
]
reload_extra_files = watched if reload else []
# Nobody has to have computations in folders.
warnings.filterwarnings("ignore", "Pattern .* currently matches no files", RuntimeWarning)


def imported_times() -> dict[Path, float]:
    """When each file was changed that the reloader will watch (folders left out)."""
    from django.utils.autoreload import iter_all_python_module_files

    files = {*iter_all_python_module_files()}
    files.update(Path(name) for pattern in watched for name in glob(pattern, recursive=True))
    return {path: path.stat().st_mtime for path in files if path.is_file()}


def post_fork(server: Any, worker: Any) -> None:
    """Note when this worker begins to import."""
    worker.began = time.time()


def post_worker_init(worker: Any) -> None:
    """Say at the start what else one would learn from failing pages.

    The reloader's first look comes after the imports: what was written to in between makes way
    for a new worker at once.
    """
    from compute.queue.imported import overtaken
    from compute.web import statics

    if reload and overtaken(imported_times(), worker.began):
        worker.alive = False

    lacking = statics.uncollected() if worker.age == 1 else []
    if lacking:
        worker.log.error(statics.what_to_do(lacking))
