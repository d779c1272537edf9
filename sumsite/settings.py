"""All settings of the site; every variable of the environment is read here, once.

.env.example documents the variables. A value of the environment beats the same
one in .env, and tests do not read .env at all (a developer's settings must not
decide whether a test passes).
"""

import logging
import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import dj_email_url
import django
from csp.constants import NONE, SELF
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from environs import Env

from sumsite.mailers import mailer
from sumsite.reporting import report_errors_to

BASE_DIR = Path(__file__).resolve().parent.parent

env = Env()
if "PYTEST_VERSION" not in os.environ:  # pytest sets it, its child processes inherit it
    env.read_env(BASE_DIR / ".env", recurse=False)

# --- what kind of place this is ---------------------------------------------------

DEBUG = env.bool("DEBUG", False)
SECRET_KEY = env.str("SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. On your own machine run bin/dev, which writes one "
        "into .env; on a host set the variable (app.json asks for it)."
    )
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", [])
ADMIN_PASSWORD = env.str("ADMIN_PASSWORD", "")
LOG_LEVEL = env.str("LOG_LEVEL", "INFO").upper()
LOG_FORMAT = env.str("LOG_FORMAT", "lines")
if LOG_FORMAT not in ("lines", "json"):
    raise ImproperlyConfigured(f"LOG_FORMAT is {LOG_FORMAT!r}; give lines or json.")
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
SENTRY_DSN = env.str("SENTRY_DSN", "")
SENTRY_ENVIRONMENT = env.str("SENTRY_ENVIRONMENT", "")
SENTRY_RELEASE = env.str("SENTRY_RELEASE", "")

# With DEBUG Django answers to localhost alone. A name like .herokuapp.com holds for
# an app whose own name is not known beforehand.
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", [])
# Only for forms posted from another address than the site's own.
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])

# --- the web server (gunicorn.conf.py) ----------------------------------------------

PORT = env.int("PORT", 8000)
WEB_CONCURRENCY = env.int("WEB_CONCURRENCY", 3)
WEB_TIMEOUT = env.int("WEB_TIMEOUT", 30)
# How many proxies stand before it, each of which appends to X-Forwarded-For the address that
# asked it. Without any the header is whatever a client says.
PROXIES = env.int("PROXIES", 0 if DEBUG else 1)
if PROXIES < 0:
    raise ImproperlyConfigured("PROXIES has to be 0 (none) or more.")

# --- applications -----------------------------------------------------------------

INSTALLED_APPS = [
    "compute.queue",  # before django_q: its qcluster command is the one to run
    "compute",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "csp",
    "django_htmx",
    "axes",
    "django_q",
    # The framework of `TASKS`, where it is not a part of Django.
    *([] if django.VERSION >= (6, 0) else ["django_tasks"]),
]

MIDDLEWARE = [
    # These three first, so that their headers are on every answer of the others.
    "compute.web.middleware.HeadersMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "compute.web.bodies.BodyMiddleware",
    "compute.web.middleware.DatabaseAwayMiddleware",
    "compute.web.middleware.OddValuesMiddleware",
    "compute.web.middleware.SchemaMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "compute.web.middleware.CommonMiddleware",
    "compute.web.origins.OriginMiddleware",
    "compute.web.middleware.SessionCsrfMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "compute.web.middleware.SignInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",  # last: what is before it handles its 429 as any other
]

ROOT_URLCONF = "sumsite.urls"
WSGI_APPLICATION = "sumsite.wsgi.application"
CSRF_FAILURE_VIEW = "compute.web.replies.csrf_failure"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "compute.web.naming.names",
            ],
        },
    },
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
USE_THOUSAND_SEPARATOR = False

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Refuses before a password is looked at; see AXES_… below.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # no third cookie

# --- the database: the only infrastructure ----------------------------------------

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    "default": env.dj_db_url(
        "DATABASE_URL",
        f"sqlite:///{quote(str(BASE_DIR / 'db.sqlite3'))}",
        conn_max_age=env.int("CONN_MAX_AGE", 600),
    )
}
_database = DATABASES["default"]
DYNO = env.str("DYNO", "")
if _database["ENGINE"] == "django.db.backends.sqlite3":
    if DYNO:
        raise ImproperlyConfigured(
            "SQLite can't be used on a dyno: web and worker share no disk there, and "
            "the disk is emptied every day. Attach a Postgres (DATABASE_URL)."
        )
    # A relative path of DATABASE_URL counts from here, wherever a command is called.
    if _database["NAME"] != ":memory:":
        _database["NAME"] = str(BASE_DIR / _database["NAME"])
    _database.setdefault("OPTIONS", {}).update(
        {
            # A transaction that means to write takes its place in the queue at once:
            # a deferred one fails with "database is locked" when two upgrade together.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # seconds to wait for another's write
            # A write-ahead log that a long reader let grow is cut again, to 16 MB.
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; "
                "PRAGMA journal_size_limit=16777216;"
            ),
        }
    )
else:
    _database.setdefault("OPTIONS", {}).update(
        {
            # A cut network must not hang a request or a node for TCP's minutes.
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,  # milliseconds that sent data may go unacknowledged
            # A client waiting for a reply or a wake-up is silent; these probe after 5 s, every 2 s.
            # (The server's side: compute/queue/engines/postgres/sessions.py.)
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        }
    )
    # A host's Postgres is reached over a network that others share, and its address does not
    # say so. One without TLS says it: ?sslmode=disable.
    if DYNO:
        _database["OPTIONS"].setdefault("sslmode", "require")

# --- mail: for those who have forgotten their password -------------------------------

_mail = dj_email_url.parse(env.str("EMAIL_URL", "") or "dummy:")
if "EMAIL_BACKEND" not in _mail:
    raise ImproperlyConfigured(
        "EMAIL_URL is none: give something like submission://user:password@mail.example.com."
    )
SENDS_MAIL = not _mail["EMAIL_BACKEND"].endswith(".dummy.EmailBackend")
_mail["EMAIL_TIMEOUT"] = _mail["EMAIL_TIMEOUT"] or 10  # seconds for a server that says nothing
# Django 6.1 has one setting for these, and warns of them.
vars().update({"MAILERS": {"default": mailer(_mail)}} if hasattr(mail, "mailers") else _mail)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "") or "webmaster@localhost"
PASSWORD_RESET_TIMEOUT = 60 * 60  # seconds that the link in such a mail works

# --- the queue --------------------------------------------------------------------

Q_TIMEOUT = env.int("Q_TIMEOUT", 24 * 60 * 60)
Q_LEASE = env.int("Q_LEASE", 15)
if Q_LEASE < 2:
    raise ImproperlyConfigured("Q_LEASE has to be 2 or more: renewing takes its time, too.")
Q_GRACE = env.float("Q_GRACE", 2 if DEBUG else 20)
Q_NICE = env.int("Q_NICE", 5)
if not 0 <= Q_NICE <= 19:
    raise ImproperlyConfigured("Q_NICE has to be from 0 to 19, the lowest priority there is.")
Q_MAX_STARTS = env.int("Q_MAX_STARTS", 100)
if Q_MAX_STARTS < 1:
    raise ImproperlyConfigured("Q_MAX_STARTS has to be 1 or more, or no task could start.")
Q_RECYCLE = env.int("Q_RECYCLE", 100_000)
Q_MAX_RSS = env.int("Q_MAX_RSS", 0)
if Q_RECYCLE < 0 or Q_MAX_RSS < 0:
    raise ImproperlyConfigured("Q_RECYCLE and Q_MAX_RSS have to be 0, for no limit, or more.")
Q_PORTABLE = env.bool("Q_PORTABLE", False)  # see compute/queue/kernel.py
Q_WORKERS = env.int("Q_WORKERS", 0) or (
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)
Q_CLUSTER_NAME = env.str("Q_CLUSTER_NAME", "")  # read by django-q2, too
Q_CLUSTER = {
    "name": "sumsite",
    "orm": "default",
    "broker_class": "compute.queue.broker.DatabaseBroker",
    "workers": Q_WORKERS,
    "timeout": Q_TIMEOUT,
    # django-q2 asks that it exceeds the timeout. Our broker leases by Q_LEASE instead.
    "retry": Q_TIMEOUT + 60,
    "queue_limit": 1,  # what a node fetches ahead, another can't run
    "save_limit": 0,  # keep every result; pruning goes by age
    "ack_failures": True,  # a failed task stays failed until a person retries it
    "catch_up": False,  # a schedule that was missed runs once
    "recycle": Q_RECYCLE,
    "max_rss": Q_MAX_RSS or None,
    "label": "Task queue",
    "log_level": LOG_LEVEL,
    # Queues beside the default one: `qcluster --name slow` takes what was queued with
    # cluster="slow", and what stands here under that name is different in it.
    "ALT_CLUSTERS": {},
}

# Django's own tasks: what has `@task` is queued like all else.
TASKS = {"default": {"BACKEND": "compute.queue.backend.QueueBackend"}}

# --- what the site is called, and its first page ------------------------------------

SITE_NAME = env.str("SITE_NAME", "").strip() or "sumsite"
# (Not HOME, which every shell sets to the folder of its user.)
HOME_PAGE = env.str("HOME_PAGE", "").strip()
TUTORIAL = env.bool("TUTORIAL", True)

# --- the computation --------------------------------------------------------------

SUM_MAX_N = env.int("SUM_MAX_N", 10**12)
if not 0 < SUM_MAX_N <= 10**18:
    raise ImproperlyConfigured("SUM_MAX_N has to be from 1 to 10^18: the database keeps 64 bits.")
SUM_SYNC_MAX_N = env.int("SUM_SYNC_MAX_N", 10**8)

# --- limits -------------------------------------------------------------------------

# Of all together, and of one address or account: a quarter, unless somebody says otherwise.
# (A session has half of what its address has, see compute/web/shares.py.)
MAX_ACTIVE_RUNS = env.int("MAX_ACTIVE_RUNS", 100)
MAX_CLIENT_RUNS = env.int("MAX_CLIENT_RUNS", 0) or -(-MAX_ACTIVE_RUNS // 4)
MAX_QUEUED_CHUNKS = env.int("MAX_QUEUED_CHUNKS", 200_000)
MAX_CLIENT_CHUNKS = env.int("MAX_CLIENT_CHUNKS", 0) or -(-MAX_QUEUED_CHUNKS // 4)
MAX_WORK_MINUTES = env.float("MAX_WORK_MINUTES", 60)
MAX_CLIENT_WORK_MINUTES = env.float("MAX_CLIENT_WORK_MINUTES", 0) or MAX_WORK_MINUTES / 4
UNKNOWN_CHUNK_SECONDS = env.float("UNKNOWN_CHUNK_SECONDS", 10)
MAX_CLIENT_MB_PER_HOUR = env.float("MAX_CLIENT_MB_PER_HOUR", 50)
MAX_KEPT_MB = env.float("MAX_KEPT_MB", 2000)
MAX_RESULT_MB = env.float("MAX_RESULT_MB", 100)
if MAX_RESULT_MB <= 0:
    raise ImproperlyConfigured("MAX_RESULT_MB has to be more than 0.")
MAX_BODY_KB = env.int("MAX_BODY_KB", 1024)
if MAX_BODY_KB < 1:
    raise ImproperlyConfigured("MAX_BODY_KB has to be 1 or more: the site's own forms are bodies.")
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_KB * 1024  # compute/web/bodies.py refuses what is over it
MAX_UPLOAD_MB = env.float("MAX_UPLOAD_MB", 100)
if MAX_UPLOAD_MB < 0:
    raise ImproperlyConfigured("MAX_UPLOAD_MB has to be 0 (no uploads) or more.")
MAX_CLIENT_UPLOAD_MB = env.float("MAX_CLIENT_UPLOAD_MB", 0) or MAX_KEPT_MB / 4
RUN_RETENTION_DAYS = env.int("RUN_RETENTION_DAYS", 30)
if RUN_RETENTION_DAYS < 0:
    raise ImproperlyConfigured("RUN_RETENTION_DAYS has to be 0 (keep for ever) or more.")

# --- static files -----------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# Hashed and compressed names need collectstatic; in development files are found as they are.
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_ALLOW_ALL_ORIGINS = False  # no other site needs these files
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEBUG
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}

# --- security ---------------------------------------------------------------------

REQUIRE_LOGIN = env.bool("REQUIRE_LOGIN", False)
RUNS_PRIVATE = env.bool("RUNS_PRIVATE", False)
if not DEBUG:
    # The host's router ends TLS and says so in this header.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    # Asked by plain HTTP, from inside.
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
    SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 365 * 24 * 60 * 60)
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    # A browser takes such a name from this very host alone, so that no neighbour below the
    # same domain can set the cookie; and by https alone, hence not in development.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
CSRF_COOKIE_HTTPONLY = True  # pages have the token in their forms
# Only of forms that take them; the database keeps them (compute/models/upload.py).
FILE_UPLOAD_HANDLERS = ["compute.web.bodies.PutAside"]
# Six wrong passwords for one account from one address, and there is a pause.
AXES_FAILURE_LIMIT = 6
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # and no row grows meanwhile
AXES_CLIENT_IP_CALLABLE = "compute.web.clients.network_of"
AXES_LOCKOUT_CALLABLE = "compute.web.accounts.locked_out"
AXES_DISABLE_ACCESS_LOG = True  # who signs in is nobody's business for longer than needed
AXES_VERBOSE = False
X_FRAME_OPTIONS = "DENY"
# Everything comes from files of this site's own. (Django's pages for debugging have their
# style inside, and django-csp lets them be while DEBUG is on.)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
# Headers that no middleware of Django's sets, or not on every reply.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        f"{feature}=()"
        for feature in (
            "accelerometer",
            "camera",
            "display-capture",
            "geolocation",
            "gyroscope",
            "magnetometer",
            "microphone",
            "midi",
            "payment",
            "usb",
        )
    ),
}
SILENCED_SYSTEM_CHECKS = [
    # Django looks for its own CsrfViewMiddleware by name; ours is a subclass.
    "security.W003",
    # HSTS for subdomains and preloading bind the whole domain, for years. That is its
    # owner's decision; under a shared name such as herokuapp.com it is not ours to take.
    "security.W005",
    "security.W021",
    # A site without EMAIL_URL sends no mail, and its pages say so.
    *([] if SENDS_MAIL else ["mail.E001"]),
]

# --- logging ----------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "lines": {
            "()": "sumsite.logs.Lines",
            "fmt": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        },
        "json": {"()": "sumsite.logs.JsonLines"},
    },
    "filters": {"about": {"()": "compute.queue.logs.AboutFilter"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT,
            "filters": ["about"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Django's own handlers would say everything twice.
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # A line for every task queued would be ten thousand for one run. A node, where
        # django-q2 tells more than that, raises the level again.
        "django-q": {"level": "WARNING"},
        # The same of Django's own tasks, of which the queue tells as of all others.
        "django.tasks": {"level": "CRITICAL"},
        "django_tasks": {"level": "CRITICAL"},
        # Nor a few lines for each that signs in.
        "axes": {"level": "WARNING"},
    },
}
if LOG_FORMAT == "json":
    logging.captureWarnings(True)  # into lines as all others are
if SENTRY_DSN:
    report_errors_to(SENTRY_DSN, SENTRY_ENVIRONMENT, SENTRY_RELEASE)
