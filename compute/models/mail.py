"""Mails that were asked for lately."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class MailAsked(models.Model):
    """A mail was asked for: from this address, or to it, as a hash. Kept for an hour."""

    key = models.CharField(max_length=32)
    asked_at = models.DateTimeField(db_default=Now())

    objects: models.Manager[MailAsked] = models.Manager()

    class Meta:
        verbose_name_plural = "mails asked for"
        indexes = [models.Index(fields=["key", "asked_at"], name="mail_asked")]

    def __str__(self) -> str:
        return self.key
