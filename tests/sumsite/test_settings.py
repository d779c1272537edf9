"""Settings: every variable is read once, documented, and does what is said of it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from tests.deployments import DEPLOYMENTS
from tests.processes import ROOT
from tests.sumsite.reading import POSTGRES, SECRET, SETTINGS, TESTING, read, settings_with


def names_read() -> list[str]:
    """The names that settings.py gives to environs, in order."""
    return [
        str(call.args[0].value)
        for call in ast.walk(ast.parse(SETTINGS.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "env"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ]


def documented() -> dict[str, str]:
    """The variables of .env.example with the values they have there."""
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.M)
    return dict(lines)


# --- every variable -------------------------------------------------------------------


def test_every_variable_that_is_read_is_documented_and_the_other_way_round() -> None:
    assert len(names_read()) > 15
    # PROCFILE is honcho's, which reads .env too.
    assert set(names_read()) == set(documented()) - {"PROCFILE"}


def test_every_variable_is_read_once() -> None:
    assert len(names_read()) == len(set(names_read()))


def test_every_documented_variable_has_a_line_that_explains_it() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match("[A-Z_]+=", line):
            assert before.startswith("# "), line


def test_nothing_else_of_the_product_reads_the_environment() -> None:
    for path in [*ROOT.glob("*.py"), *ROOT.glob("compute/**/*.py"), *ROOT.glob("sumsite/*.py")]:
        if path != SETTINGS:
            used = set(re.findall(r"os\.(environ\S*|getenv)", path.read_text()))
            # (`{**os.environ, …}` hands all of it on to a process.)
            assert used <= {'environ.setdefault("DJANGO_SETTINGS_MODULE",', "environ,"}, path


@pytest.mark.parametrize(
    "name", sorted(name for name, value in documented().items() if name != "SECRET_KEY")
)
def test_the_example_gives_every_variable_its_default(name: str) -> None:
    assert without_functions(settings_with(**{name: documented()[name]})) == without_functions(
        settings_with()
    )


def without_functions(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "LOGGING"}


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("DEBUG", False),
        ("PORT", 8000),
        ("WEB_TIMEOUT", 30),
        ("SUM_MAX_N", 10**12),
        ("SUM_SYNC_MAX_N", 10**8),
        ("MAX_ACTIVE_RUNS", 100),
        ("MAX_CLIENT_RUNS", 25),
        ("MAX_QUEUED_CHUNKS", 200_000),
        ("MAX_CLIENT_CHUNKS", 50_000),
        ("MAX_WORK_MINUTES", 60),
        ("MAX_CLIENT_WORK_MINUTES", 15),
        ("UNKNOWN_CHUNK_SECONDS", 10),
        ("MAX_CLIENT_MB_PER_HOUR", 50),
        ("MAX_KEPT_MB", 2000),
        ("MAX_RESULT_MB", 100),
        ("MAX_BODY_KB", 1024),
        ("MAX_UPLOAD_MB", 100),
        ("MAX_CLIENT_UPLOAD_MB", 500),
        ("PROXIES", 1),
        ("REQUIRE_LOGIN", False),
        ("RUNS_PRIVATE", False),
        ("SENDS_MAIL", False),
        ("Q_TIMEOUT", 24 * 60 * 60),
        ("SECURE_HSTS_SECONDS", 31536000),
        ("ALLOWED_HOSTS", []),
        ("TIME_ZONE", "UTC"),
        ("SITE_NAME", "sumsite"),
        ("HOME_PAGE", ""),
        ("TUTORIAL", True),
    ],
)
def test_the_defaults_are_those_that_are_promised(name: str, default: Any) -> None:
    assert settings_with()[name] == default


@pytest.mark.parametrize(
    ("name", "given", "setting", "value"),
    [
        ("PORT", "9000", "PORT", 9000),
        ("WEB_CONCURRENCY", "1", "WEB_CONCURRENCY", 1),
        ("WEB_TIMEOUT", "5", "WEB_TIMEOUT", 5),
        ("ALLOWED_HOSTS", "a.example,.b.example", "ALLOWED_HOSTS", ["a.example", ".b.example"]),
        (
            "CSRF_TRUSTED_ORIGINS",
            "https://a.example",
            "CSRF_TRUSTED_ORIGINS",
            ["https://a.example"],
        ),
        ("SITE_NAME", " Our lab ", "SITE_NAME", "Our lab"),
        ("SITE_NAME", " ", "SITE_NAME", "sumsite"),
        ("HOME_PAGE", "collatz ", "HOME_PAGE", "collatz"),
        ("TUTORIAL", "0", "TUTORIAL", False),
        ("SUM_MAX_N", "5", "SUM_MAX_N", 5),
        ("SUM_SYNC_MAX_N", "0", "SUM_SYNC_MAX_N", 0),
        ("MAX_ACTIVE_RUNS", "3", "MAX_ACTIVE_RUNS", 3),
        ("MAX_ACTIVE_RUNS", "30", "MAX_CLIENT_RUNS", 8),
        ("MAX_CLIENT_RUNS", "3", "MAX_CLIENT_RUNS", 3),
        ("MAX_QUEUED_CHUNKS", "30", "MAX_CLIENT_CHUNKS", 8),
        ("MAX_CLIENT_CHUNKS", "3", "MAX_CLIENT_CHUNKS", 3),
        ("MAX_WORK_MINUTES", "2", "MAX_WORK_MINUTES", 2),
        ("MAX_WORK_MINUTES", "2", "MAX_CLIENT_WORK_MINUTES", 0.5),
        ("MAX_CLIENT_WORK_MINUTES", "3", "MAX_CLIENT_WORK_MINUTES", 3),
        ("UNKNOWN_CHUNK_SECONDS", "0.5", "UNKNOWN_CHUNK_SECONDS", 0.5),
        ("MAX_CLIENT_MB_PER_HOUR", "0", "MAX_CLIENT_MB_PER_HOUR", 0),
        ("MAX_KEPT_MB", "0", "MAX_KEPT_MB", 0),
        ("MAX_RESULT_MB", "0.5", "MAX_RESULT_MB", 0.5),
        ("MAX_BODY_KB", "2", "DATA_UPLOAD_MAX_MEMORY_SIZE", 2048),
        ("MAX_UPLOAD_MB", "0", "MAX_UPLOAD_MB", 0),
        ("MAX_CLIENT_UPLOAD_MB", "7", "MAX_CLIENT_UPLOAD_MB", 7),
        ("MAX_KEPT_MB", "100", "MAX_CLIENT_UPLOAD_MB", 25),
        ("PROXIES", "2", "PROXIES", 2),
        ("REQUIRE_LOGIN", "1", "REQUIRE_LOGIN", True),
        ("RUNS_PRIVATE", "1", "RUNS_PRIVATE", True),
        ("DEFAULT_FROM_EMAIL", "a@b.example", "DEFAULT_FROM_EMAIL", "a@b.example"),
        ("Q_LEASE", "3", "Q_LEASE", 3),
        ("Q_GRACE", "0.5", "Q_GRACE", 0.5),
        ("Q_NICE", "19", "Q_NICE", 19),
        ("Q_MAX_STARTS", "1", "Q_MAX_STARTS", 1),
        ("Q_RECYCLE", "0", "Q_RECYCLE", 0),
        ("Q_MAX_RSS", "500000", "Q_MAX_RSS", 500_000),
        ("RUN_RETENTION_DAYS", "0", "RUN_RETENTION_DAYS", 0),
        ("HSTS_SECONDS", "60", "SECURE_HSTS_SECONDS", 60),
        ("LOG_LEVEL", "debug", "LOG_LEVEL", "DEBUG"),
        ("METRICS_TOKEN", "token", "METRICS_TOKEN", "token"),
        ("ADMIN_PASSWORD", "word", "ADMIN_PASSWORD", "word"),
    ],
)
def test_a_variable_sets_its_setting(name: str, given: str, setting: str, value: Any) -> None:
    assert settings_with(**{name: given})[setting] == value


# --- .env -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder with a developer's .env."""
    (tmp_path / ".env").write_text("SECRET_KEY=from-the-file\nMAX_ACTIVE_RUNS=7\n")
    return tmp_path


def test_the_settings_read_env_beside_manage_py(folder: Path) -> None:
    settings = read({}, folder)
    assert settings["SECRET_KEY"] == "from-the-file"
    assert settings["MAX_ACTIVE_RUNS"] == 7


def test_the_environment_beats_env(folder: Path) -> None:
    assert read({"MAX_ACTIVE_RUNS": "8"}, folder)["MAX_ACTIVE_RUNS"] == 8


def test_under_pytest_env_is_not_read(folder: Path) -> None:
    assert read({**TESTING, **SECRET}, folder)["MAX_ACTIVE_RUNS"] == 100
    assert "PYTEST_VERSION" in os.environ


def test_a_folder_without_env_is_fine(tmp_path: Path) -> None:
    assert read(SECRET, tmp_path)["MAX_ACTIVE_RUNS"] == 100


# --- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize("variables", [{}, {"SECRET_KEY": ""}])
def test_without_a_secret_key_nothing_starts(variables: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured, match="SECRET_KEY is not set") as error:
        read({**TESTING, **variables})
    assert "bin/dev" in str(error.value)


def test_no_secret_stands_in_the_settings() -> None:
    assert settings_with()["ADMIN_PASSWORD"] == ""
    assert documented()["SECRET_KEY"] == documented()["ADMIN_PASSWORD"] == ""


@pytest.mark.parametrize("database", [{}, {"DATABASE_URL": "sqlite:///db.sqlite3"}])
def test_sqlite_on_a_dyno_is_an_error(database: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured, match="SQLite can't be used on a dyno"):
        settings_with(DYNO="web.1", **database)


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({}, None),
        ({"DYNO": "web.1"}, "require"),
        ({"DYNO": "web.1", "DATABASE_URL": "postgres://u:w@db/name?sslmode=disable"}, "disable"),
        ({"DATABASE_URL": "postgres://u:w@db/name?sslmode=verify-full"}, "verify-full"),
    ],
)
def test_a_dynos_postgres_is_asked_by_tls_unless_its_address_says_otherwise(
    variables: dict[str, str], mode: str | None
) -> None:
    database = settings_with(**{**POSTGRES, **variables})["DATABASES"]["default"]
    assert database["OPTIONS"].get("sslmode") == mode
    assert database["OPTIONS"]["connect_timeout"] == 5


def test_postgres_on_a_dyno_is_fine() -> None:
    database = settings_with(DYNO="web.1", **POSTGRES)["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.postgresql"


@pytest.mark.parametrize("limit", ["0", "-1", str(10**18 + 1)])
def test_a_limit_that_the_database_cannot_keep_is_an_error(limit: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SUM_MAX_N"):
        settings_with(SUM_MAX_N=limit)
    assert settings_with(SUM_MAX_N=str(10**18))["SUM_MAX_N"] == 10**18


def test_a_lease_too_short_to_be_renewed_is_an_error() -> None:
    with pytest.raises(ImproperlyConfigured, match="Q_LEASE"):
        settings_with(Q_LEASE="1")


@pytest.mark.parametrize("given", ["-1", "20"])
def test_a_priority_that_no_system_has_is_an_error(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="Q_NICE"):
        settings_with(Q_NICE=given)


@pytest.mark.parametrize(
    ("name", "given"), [("Q_MAX_STARTS", "0"), ("Q_RECYCLE", "-1"), ("Q_MAX_RSS", "-1")]
)
def test_fewer_starts_than_one_and_less_than_no_limit_are_errors(name: str, given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=name):
        settings_with(**{name: given})


def test_a_worker_is_replaced_without_a_limit_of_memory_by_its_tasks_alone() -> None:
    conf = settings_with(Q_RECYCLE="7", Q_MAX_RSS="0")["Q_CLUSTER"]
    assert (conf["recycle"], conf["max_rss"]) == (7, None)


@pytest.mark.parametrize(
    ("variable", "given"),
    [("PROXIES", "-1"), ("MAX_BODY_KB", "0"), ("MAX_RESULT_MB", "0"), ("MAX_UPLOAD_MB", "-1")],
)
def test_fewer_proxies_than_none_and_forms_or_results_without_bytes_are_errors(
    variable: str, given: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=variable):
        settings_with(**{variable: given})


def test_in_development_there_is_no_proxy_unless_it_is_said() -> None:
    assert settings_with(DEBUG="1")["PROXIES"] == 0
    assert settings_with(DEBUG="1", PROXIES="1")["PROXIES"] == 1


def test_to_keep_runs_for_less_than_no_time_is_an_error() -> None:
    with pytest.raises(ImproperlyConfigured, match="RUN_RETENTION_DAYS"):
        settings_with(RUN_RETENTION_DAYS="-1")


# --- the database ---------------------------------------------------------------------


def test_the_default_is_a_file_beside_manage_py() -> None:
    database = settings_with()["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["NAME"] == str(ROOT / "db.sqlite3")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///data/file.sqlite3", str(ROOT / "data/file.sqlite3")),
        ("sqlite:////tmp/file.sqlite3", "/tmp/file.sqlite3"),  # noqa: S108
        ("sqlite://:memory:", ":memory:"),
        ("sqlite:///:memory:", ":memory:"),
    ],
)
def test_a_relative_path_counts_from_the_project(url: str, name: str) -> None:
    assert settings_with(DATABASE_URL=url)["DATABASES"]["default"]["NAME"] == name


def test_sqlite_is_set_up_for_many_processes() -> None:
    options = settings_with()["DATABASES"]["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]
    assert "synchronous=NORMAL" in options["init_command"]
    assert options["timeout"] > 0


def test_postgres_gives_up_on_a_cut_network_and_keeps_its_connections() -> None:
    database = settings_with(**POSTGRES, CONN_MAX_AGE="60")["DATABASES"]["default"]
    options = database["OPTIONS"]
    assert (options["connect_timeout"], options["tcp_user_timeout"]) == (5, 10_000)
    silence = (
        options["keepalives_idle"] + options["keepalives_count"] * options["keepalives_interval"]
    )
    assert silence < 15, "a lease"
    assert database["CONN_MAX_AGE"] == 60


# --- the queue ------------------------------------------------------------------------


def test_the_queue_is_set_up_as_the_design_says() -> None:
    queue = settings_with()["Q_CLUSTER"]
    assert queue["orm"] == "default"
    assert queue["save_limit"] == 0
    assert queue["ack_failures"] is True
    assert queue["catch_up"] is False
    assert queue["timeout"] == 24 * 60 * 60
    assert queue["retry"] > queue["timeout"]
    assert queue["workers"] == len(os.sched_getaffinity(0))


def test_the_number_of_workers_can_be_set() -> None:
    assert settings_with(Q_WORKERS="7")["Q_CLUSTER"]["workers"] == 7


def test_a_node_stops_quickly_in_development() -> None:
    assert settings_with(DEBUG="1")["Q_GRACE"] == 2
    assert settings_with()["Q_GRACE"] == 20


def test_our_apps_stand_before_django_q() -> None:
    apps = settings_with()["INSTALLED_APPS"]
    assert apps.index("compute.queue") < apps.index("django_q")


@pytest.mark.thorough
def test_one_line_for_each_task_is_not_logged() -> None:
    program = (
        "import django, logging; django.setup()\n"
        "log = logging.getLogger('django-q')\n"
        "log.info('Enqueued [sumsite] 1')\n"
        "log.warning('something else')\n"
    )
    done = run_python(program, **TESTING, **SECRET, DJANGO_SETTINGS_MODULE="sumsite.settings")
    assert "Enqueued" not in done.stderr
    assert done.stderr.count("something else") == 1


@pytest.mark.parametrize("format", ["lines", "json"])
def test_lines_of_the_log_are_for_people_or_for_machines(format: str) -> None:
    with mock.patch("logging.captureWarnings") as capture:
        settings = settings_with(LOG_FORMAT=format)
    assert settings["LOGGING"]["handlers"]["stderr"]["formatter"] == format
    assert capture.call_args_list == ([mock.call(True)] if format == "json" else [])


def test_another_format_of_the_log_is_an_error() -> None:
    with pytest.raises(ImproperlyConfigured, match="give lines or json"):
        settings_with(LOG_FORMAT="xml")


def test_errors_are_reported_to_whom_the_variables_name_and_else_to_nobody() -> None:
    with mock.patch("sumsite.reporting.report_errors_to") as report:
        settings_with()
        assert not report.called
        settings_with(SENTRY_DSN="https://a@b.example/1", SENTRY_RELEASE="v1")
    report.assert_called_once_with("https://a@b.example/1", "", "v1")


# --- security -------------------------------------------------------------------------


def test_in_production_the_site_insists_on_https() -> None:
    settings = settings_with()
    assert settings["SECURE_SSL_REDIRECT"] is True
    assert settings["SESSION_COOKIE_SECURE"] is True
    assert settings["CSRF_COOKIE_SECURE"] is True
    assert settings["SECURE_HSTS_SECONDS"] > 0
    assert settings["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")
    assert settings["X_FRAME_OPTIONS"] == "DENY"
    assert settings["SESSION_COOKIE_NAME"] == "__Host-sessionid"
    assert settings["CSRF_COOKIE_NAME"] == "__Host-csrftoken"


def test_in_development_the_site_works_by_plain_http() -> None:
    settings = settings_with(DEBUG="1")
    for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "SECURE_HSTS_SECONDS"):
        assert not settings.get(name)


def test_static_files_are_hashed_in_production_and_found_as_they_are_in_development() -> None:
    production = settings_with()["STORAGES"]["staticfiles"]["BACKEND"]
    assert production == "whitenoise.storage.CompressedManifestStaticFilesStorage"
    development = settings_with(DEBUG="1")
    assert "Manifest" not in development["STORAGES"]["staticfiles"]["BACKEND"]
    assert development["WHITENOISE_USE_FINDERS"] is True


def test_behind_the_hosts_router_addresses_are_https(db: None, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    plain = Client().get("/sum-start/?n=5")
    assert (plain.status_code, plain["Location"]) == (301, "https://testserver/sum-start/?n=5")
    secure = Client(headers={"x-forwarded-proto": "https", "host": "testserver"}).get(
        "/sum-start/?n=5"
    )
    assert secure.json()["task_progress"].startswith("https://testserver/sum-check/?task_id=")
    assert "max-age=31536000" in secure["Strict-Transport-Security"]
    assert secure["X-Frame-Options"] == "DENY"
    assert secure["X-Content-Type-Options"] == "nosniff"


def test_another_name_than_the_allowed_ones_is_refused(settings: Any) -> None:
    settings.ALLOWED_HOSTS = [".herokuapp.com"]
    assert Client().get("/sum-sync/?n=5", headers={"host": "x.herokuapp.com"}).status_code == 200
    assert Client().get("/sum-sync/?n=5", headers={"host": "x.example"}).status_code == 400


# --- in processes of their own --------------------------------------------------------


def run_python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python in the project's folder with these variables and no others."""
    given = arguments if arguments[0] == "manage.py" else ("-c", *arguments)
    return subprocess.run(
        [sys.executable, *given],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", list(DEPLOYMENTS))
def test_the_deployment_check_has_nothing_to_say_of_what_a_host_sets(name: str) -> None:
    web = DEPLOYMENTS[name]().web
    check = ("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    if name == "render":  # 44 characters are less than Django asks for, but 256 bits
        check = (*check[:3], "--fail-level", "ERROR")
    variables = {**web.variables, **web.hosts, **POSTGRES, **TESTING}
    done = run_python(*check, **variables)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"\(([\w.]+)\)", done.stderr)
    assert found == (["security.W009"] if name == "render" else [])


@pytest.mark.thorough
def test_a_command_without_a_secret_key_says_what_to_do() -> None:
    done = run_python("manage.py", "check", **TESTING)
    assert done.returncode != 0
    assert "On your own machine run bin/dev" in done.stderr
