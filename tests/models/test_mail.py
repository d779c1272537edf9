"""Mails that were asked for lately."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from compute.models import MailAsked


def test_the_moment_is_the_databases(db: None) -> None:
    asked = MailAsked.objects.create(key="a" * 32)
    asked.refresh_from_db()
    assert abs(asked.asked_at - timezone.now()) < timedelta(minutes=1)


def test_it_is_known_by_its_key_alone() -> None:
    assert str(MailAsked(key="a" * 32)) == "a" * 32
