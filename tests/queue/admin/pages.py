"""The admin's pages, and what a test does with them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

SUCCESSES = reverse("admin:django_q_success_changelist")
FAILURES = reverse("admin:django_q_failure_changelist")
QUEUE = reverse("admin:django_q_ormq_changelist")
JOBS = reverse("admin:queue_job_changelist")
NODES = reverse("admin:queue_node_changelist")


def user_with(*permissions: str) -> Client:
    """A client of staff that has these permissions alone."""
    user = User.objects.create(username="ann", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def act(client: Client, page: str, action: str, *rows: Any, **more: str) -> Any:
    """Select rows of a list, choose an action; the page that comes of it."""
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    return client.post(page, data, follow=True)


def said(reply: Any) -> list[tuple[str, str]]:
    return [(message.level_tag, message.message) for message in reply.context["messages"]]
