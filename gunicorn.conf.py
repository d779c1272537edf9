"""The web server's settings; gunicorn finds this file by itself.

Sync workers and their 30 s limit are the tutorial's: a request that takes longer
is killed, which is why long computations go to the queue.
"""

from sumsite import settings

# With DEBUG the site shows its insides, so only this machine may ask.
host = "127.0.0.1" if settings.DEBUG else "0.0.0.0"  # noqa: S104
bind = f"{host}:{settings.PORT}"
workers = settings.WEB_CONCURRENCY
worker_class = "sync"
timeout = settings.WEB_TIMEOUT
graceful_timeout = 3 if settings.DEBUG else 25  # honcho kills 5 s after Ctrl-C, Heroku 30 s
control_socket_disable = True  # it would lie in the home folder, shared by every instance

if (
    settings.LOG_FORMAT == "json"
):  # gunicorn's own lines and one for each request, by the site's rules
    logconfig_dict = {
        **settings.LOGGING,
        "loggers": {
            name: {"handlers": [], "level": settings.LOG_LEVEL, "propagate": True}
            for name in ("gunicorn.error", "gunicorn.access")
        },
    }

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
