from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest
from django.core import checks
from django.core.management import CommandError, call_command, get_commands, load_command_class
from pytest_django import Settings

from compute.queue.management.commands import qcluster


def test_qcluster_is_ours() -> None:
    assert get_commands()["qcluster"] == "compute.queue"
    command = load_command_class("compute.queue", "qcluster")
    assert isinstance(command, qcluster.Command)
    assert "queue server" in command.help


def test_qcluster_takes_django_qs_options() -> None:
    parser = qcluster.Command().create_parser("manage.py", "qcluster")
    assert parser.parse_args(["--run-once"]).run_once is True


def test_a_node_checks_what_it_runs_and_loads_no_page_for_that() -> None:
    assert set(qcluster.Command.requires_system_checks) <= checks.registry.registry.tags_available()


@pytest.mark.parametrize("once", [False, True])
def test_qcluster_runs_a_supervisor(monkeypatch: pytest.MonkeyPatch, once: bool) -> None:
    ran = []
    made = SimpleNamespace(run=lambda once: ran.append(once))
    monkeypatch.setattr(qcluster, "Supervisor", lambda: made)
    call_command("qcluster", run_once=once)
    assert ran == [once]


def test_the_queue_that_it_takes_from_anyway_needs_no_other_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = []
    monkeypatch.setattr(
        qcluster, "Supervisor", lambda: SimpleNamespace(run=lambda once: ran.append(once))
    )
    call_command("qcluster", cluster_name="sumsite")
    assert ran == [False]


def test_another_queue_needs_django_q2s_leave(settings: Settings) -> None:
    settings.Q_CLUSTER = {"name": "shop"}
    with pytest.raises(CommandError, match="ALT_CLUSTERS"):
        call_command("qcluster", cluster_name="slow")


def test_for_another_queue_it_starts_anew_with_that_ones_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """django-q2 has read its own by then."""
    steps = []
    monkeypatch.setattr(qcluster, "Supervisor", lambda: SimpleNamespace(run=lambda once: None))
    monkeypatch.setattr(os, "putenv", lambda *what: steps.append(what))
    monkeypatch.setattr(os, "execv", lambda path, command: steps.append((path, command[1:])))
    call_command("qcluster", cluster_name="slow")
    assert steps == [("Q_CLUSTER_NAME", "slow"), (sys.executable, sys.orig_argv[1:])]
