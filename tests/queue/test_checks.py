from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as real_settings
from django.core.checks import run_checks
from pytest_django import Settings

from compute.queue import checks
from compute.queue.broker import DatabaseBroker
from compute.queue.checks import check_queue
from compute.queue.defaults import DEFAULTS

CAREFUL = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL;",
}


class OurOwn(DatabaseBroker):
    """A site may have its own kind of our broker."""


@pytest.fixture
def conf(settings: Settings) -> dict[str, Any]:
    """Q_CLUSTER, to be changed for one test."""
    settings.Q_CLUSTER = dict(settings.Q_CLUSTER)
    conf: dict[str, Any] = settings.Q_CLUSTER
    return conf


def found() -> list[str | None]:
    """The ids of what the checks say, as `manage.py check` runs them."""
    return [message.id for message in run_checks(tags=["queue"])]


def test_the_real_settings_are_fine(db: None) -> None:
    assert found() == []


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "nonsense",
        "no.such.Broker",
        "django_q.brokers.orm.ORM",
        "compute.queue.transitions.enter",
    ],
)
def test_another_broker_is_an_error(conf: dict[str, Any], path: str | None) -> None:
    conf["broker_class"] = path
    assert found() == ["queue.E001"]
    (message,) = check_queue(None)
    assert repr(path) in message.msg


def test_no_broker_class_is_an_error(conf: dict[str, Any]) -> None:
    del conf["broker_class"]
    assert found() == ["queue.E001"]


def test_a_kind_of_our_broker_is_fine(conf: dict[str, Any]) -> None:
    conf["broker_class"] = f"{__name__}.OurOwn"
    assert found() == []


@pytest.mark.parametrize("alias", [None, "other"])
def test_a_queue_in_another_database_is_an_error(conf: dict[str, Any], alias: str | None) -> None:
    conf["orm"] = alias
    assert found() == ["queue.E002"]


def test_standing_behind_django_q_is_an_error(settings: Settings) -> None:
    apps = [app for app in settings.INSTALLED_APPS if app != "compute.queue"]
    settings.INSTALLED_APPS = [*apps, "compute.queue"]
    assert found() == ["queue.E003"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**CAREFUL, "transaction_mode": "DEFERRED"},
        {**CAREFUL, "init_command": "PRAGMA synchronous=NORMAL;"},
        {**CAREFUL, "timeout": 5},
        {"init_command": CAREFUL["init_command"], "timeout": 20},
        {"transaction_mode": "IMMEDIATE", "timeout": 20},
    ],
)
def test_a_careless_sqlite_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    use_database(monkeypatch, ENGINE="django.db.backends.sqlite3", OPTIONS=options)
    assert found() == ["queue.W001"]


@pytest.mark.parametrize("engine", ["sqlite3", "postgresql"])
def test_a_database_as_django_has_it_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    use_database(monkeypatch, ENGINE=f"django.db.backends.{engine}")
    assert found() == ["queue.W001"]


@pytest.mark.parametrize(
    "database",
    [
        {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": CAREFUL},
        {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 600, "OPTIONS": {}},
        {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None},
    ],
    ids=["careful SQLite", "Postgres", "Postgres without options"],
)
def test_other_databases_are_fine(
    monkeypatch: pytest.MonkeyPatch, database: dict[str, Any]
) -> None:
    use_database(monkeypatch, **database)
    assert found() == []


def use_database(monkeypatch: pytest.MonkeyPatch, **database: Any) -> None:
    """What the settings say of it; nothing connects to it."""
    monkeypatch.setitem(real_settings.DATABASES, "default", database)


def test_running_all_tasks_in_place_is_warned_of(conf: dict[str, Any]) -> None:
    conf["sync"] = True
    assert found() == ["queue.W002"]


def test_a_site_without_a_conf_hears_of_all_that_it_lacks(settings: Settings) -> None:
    del settings.Q_CLUSTER
    assert found() == ["queue.E001", "queue.E002"]


def test_a_project_without_django_q2_is_told_so(
    conf: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [config for config in apps.get_app_configs() if config.label != "django_q"]
    monkeypatch.setattr(apps, "get_app_configs", lambda: others)
    (message,) = check_queue(None)
    assert (message.id, "is no app" in message.msg) == ("queue.E003", True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Q_LEASE", 1),
        ("Q_GRACE", -1),
        ("Q_NICE", 20),
        ("Q_MAX_STARTS", 0),
        ("MAX_KEPT_MB", -1),
        ("MAX_RESULT_MB", 0),
        ("MAX_RESULT_MB", "100"),
    ],
)
def test_a_number_that_can_not_be_is_an_error(settings: Settings, name: str, value: object) -> None:
    setattr(settings, name, value)
    (message,) = check_queue(None)
    assert (message.id, message.msg) == ("queue.E005", f"{name} is {value!r}.")


@pytest.mark.parametrize(("seconds", "ids"), [(0.5, []), (1, []), (60, ["queue.E005"])])
def test_a_guard_that_rarely_looks_is_an_error(
    conf: dict[str, Any], seconds: float, ids: list[str]
) -> None:
    conf["guard_cycle"] = seconds
    assert found() == ids


def test_times_without_a_zone_are_an_error(settings: Settings) -> None:
    settings.USE_TZ = False
    assert found() == ["queue.E006"]


def test_a_database_that_the_queue_can_not_use_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "unfit", lambda database: ("This can't be.", "Use another."))
    (message,) = check_queue(None)
    assert (message.id, message.msg, message.hint) == (
        *("queue.E008", "This can't be."),
        "Use another.",
    )


class Reader:
    """Has what is read come from a copy."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "copy" if model._meta.app_label == "queue" else None


def test_a_queue_that_is_read_from_a_copy_is_an_error(settings: Settings) -> None:
    settings.DATABASE_ROUTERS = [f"{__name__}.Reader"]
    (message,) = check_queue(None)
    assert (message.id, "to copy:" in message.msg) == ("queue.E007", True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("ack_failures", False),
        ("cached", 60),
        ("cpu_affinity", 1),
        ("max_attempts", 5),
        ("save_limit", 250),
        ("save_limit", -1),
        ("save_limit_per", "group"),
    ],
)
def test_what_the_queue_does_not_go_by_is_warned_of(
    conf: dict[str, Any], option: str, value: object
) -> None:
    conf[option] = value
    (message,) = check_queue(None)
    assert (message.id, f"Q_CLUSTER has {option}, by" in message.msg) == ("queue.W004", True)


def test_a_project_that_has_but_what_it_needs_is_fine(settings: Settings) -> None:
    broker = "compute.queue.broker.DatabaseBroker"
    settings.Q_CLUSTER = {"orm": "default", "broker_class": broker}
    for name in DEFAULTS:
        delattr(settings, name)
    assert found() == []


def test_every_message_says_what_to_do(conf: dict[str, Any], settings: Settings) -> None:
    conf.update(broker_class=None, orm=None, sync=True, guard_cycle=9, cached=True)
    settings.USE_TZ, settings.Q_LEASE = False, 0
    settings.DATABASE_ROUTERS = [f"{__name__}.Reader"]
    messages = check_queue(None)
    assert [message.id for message in messages] == [
        *("queue.E001", "queue.E002", "queue.E005", "queue.E005", "queue.E006", "queue.E007"),
        *("queue.W002", "queue.W004"),
    ]
    assert all(message.hint for message in messages)
