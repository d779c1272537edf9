from __future__ import annotations

import pytest
from django.conf import settings as real_settings
from django.core.checks import run_checks

from compute.queue.broker import DatabaseBroker
from compute.queue.checks import check_queue

CAREFUL = {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;"}


class OurOwn(DatabaseBroker):
    """A site may have its own kind of our broker."""


@pytest.fixture
def conf(settings):
    """Q_CLUSTER, to be changed for one test."""
    settings.Q_CLUSTER = dict(settings.Q_CLUSTER)
    return settings.Q_CLUSTER


def found():
    """The ids of what the checks say, as `manage.py check` runs them."""
    return [message.id for message in run_checks(tags=["queue"])]


def test_the_real_settings_are_fine():
    assert found() == []


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "nonsense",
        "no.such.Broker",
        "django_q.brokers.orm.ORM",
        "compute.queue.broker.node_id",
    ],
)
def test_another_broker_is_an_error(conf, path):
    conf["broker_class"] = path
    assert found() == ["queue.E001"]
    (message,) = check_queue(None)
    assert repr(path) in message.msg


def test_no_broker_class_is_an_error(conf):
    del conf["broker_class"]
    assert found() == ["queue.E001"]


def test_a_kind_of_our_broker_is_fine(conf):
    conf["broker_class"] = f"{__name__}.OurOwn"
    assert found() == []


@pytest.mark.parametrize("alias", [None, "other"])
def test_a_queue_in_another_database_is_an_error(conf, alias):
    conf["orm"] = alias
    assert found() == ["queue.E002"]


def test_standing_behind_django_q_is_an_error(settings):
    apps = [app for app in settings.INSTALLED_APPS if app != "compute.queue"]
    settings.INSTALLED_APPS = [*apps, "compute.queue"]
    assert found() == ["queue.E003"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**CAREFUL, "transaction_mode": "DEFERRED"},
        {**CAREFUL, "init_command": "PRAGMA synchronous=NORMAL;"},
        {"init_command": CAREFUL["init_command"]},
        {"transaction_mode": "IMMEDIATE"},
    ],
)
def test_a_careless_sqlite_is_warned_of(monkeypatch, options):
    use_database(monkeypatch, ENGINE="django.db.backends.sqlite3", OPTIONS=options)
    assert found() == ["queue.W001"]


def test_a_sqlite_without_options_is_warned_of(monkeypatch):
    use_database(monkeypatch, ENGINE="django.db.backends.sqlite3")
    assert found() == ["queue.W001"]


@pytest.mark.parametrize(
    "database",
    [
        {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": CAREFUL},
        {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {}},
        {"ENGINE": "django.db.backends.postgresql"},
    ],
    ids=["careful SQLite", "Postgres", "Postgres without options"],
)
def test_other_databases_are_fine(monkeypatch, database):
    use_database(monkeypatch, **database)
    assert found() == []


def use_database(monkeypatch, **database):
    """What the settings say of it; nothing connects to it."""
    monkeypatch.setitem(real_settings.DATABASES, "default", database)


def test_running_all_tasks_in_place_is_warned_of(conf):
    conf["sync"] = True
    assert found() == ["queue.W002"]


def test_a_site_without_a_conf_hears_of_all_that_it_lacks(settings):
    del settings.Q_CLUSTER
    assert found() == ["queue.E001", "queue.E002"]


def test_every_message_says_what_to_do(conf):
    conf.update(broker_class=None, orm=None, sync=True)
    messages = check_queue(None)
    assert [message.id for message in messages] == ["queue.E001", "queue.E002", "queue.W002"]
    assert all(message.hint for message in messages)
