from __future__ import annotations

import os

from django_q.signals import post_spawn


def test_a_worker_stands_back_when_it_starts(settings, monkeypatch):
    steps = []
    monkeypatch.setattr(os, "nice", steps.append)
    settings.Q_NICE = 7
    post_spawn.send(sender="django_q", proc_name="a worker")
    assert steps == [7]
