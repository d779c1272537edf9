"""Rows as they are made in tests: baker fills in what a test doesn't care about."""

from __future__ import annotations

import uuid

from django.utils import timezone
from model_bakery.recipe import Recipe

from compute.queue.models import Job, Node


def new_id() -> str:
    return uuid.uuid4().hex


node = Recipe(Node, id=new_id, seen_at=timezone.now, started_at=timezone.now, pid=1, stat="")
job = Recipe(Job, task_id=new_id, group=new_id, queue="sumsite", queued_at=timezone.now)
