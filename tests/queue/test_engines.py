"""Which engine: the one of the database."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection

from compute.queue import engines
from compute.queue.engines import ENGINES, engine, prepare, unfit
from tests import database


def test_the_engine_is_that_of_the_connection_it_is_asked_for(db: None) -> None:
    assert engine() is ENGINES[connection.vendor]
    for vendor, each in ENGINES.items():
        assert engine(SimpleNamespace(vendor=vendor)) is each
    assert type(engine()).__name__.lower() == database.ENGINE


def test_connections_of_other_kinds_are_let_be() -> None:
    for other in ({"vendor": "oracle", "alias": "default"}, {"vendor": "postgresql", "alias": "b"}):
        prepare(None, SimpleNamespace(**other))


def test_a_database_of_another_kind_is_none_for_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unfit(connection.settings_dict) is None
    monkeypatch.setattr(engines, "ENGINES", {})
    what, hint = unfit(connection.settings_dict) or ("", "")
    assert f"({connection.vendor})" in what
    assert hint
