"""The part of a run that is there before it has begun: what a person asked for."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.urls import reverse

from .. import files, values
from ..computation import Computation, ComputationError
from ..computations import all_computations
from ..given import Given
from ..queue.call import path_of
from .exact import ExactJSONField


class Asked(models.Model):
    """A computation and its parameters, whose run it is, and what that will take."""

    task_id = models.CharField(max_length=32, unique=True)
    computation = models.CharField(max_length=100, help_text="Its name.")
    function = models.CharField(
        max_length=300,
        blank=True,
        default="",
        db_default="",
        help_text="The path of what its chunks call, by the code that started it.",
    )
    parameters = ExactJSONField(encoder=DjangoJSONEncoder)
    title = models.CharField(max_length=200)
    chunk_size = models.BigIntegerField(null=True, help_text="Empty for a run of one task.")
    chunks = models.PositiveIntegerField(default=1)
    seed = models.BigIntegerField(
        null=True, help_text="What its chunks' chance is made of; empty without chance."
    )
    why = models.CharField(
        max_length=300, blank=True, help_text="Why the site chose this chunk size, if it did."
    )
    sweep = models.ForeignKey(
        "compute.Sweep",
        null=True,
        on_delete=models.SET_NULL,
        help_text="What tries out chunk sizes.",
    )
    owner = models.CharField(
        max_length=32, blank=True, help_text="What the session that started it is known by."
    )
    client = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="For whom it counts: a session, or a hash of an address.",
    )
    address = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="A hash of the address that it counts for as well.",
    )
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        # Code of the version before, which lacks this column, may delete the user.
        db_constraint=False,
        help_text="Who was signed in.",
    )
    shared = models.BooleanField(
        default=False, db_default=False, help_text="Whoever has its address may look at it."
    )
    given = models.JSONField(
        null=True, help_text="What its form was filled in with: lists of texts by name."
    )
    expected_seconds = models.FloatField(
        null=True, help_text="Worker seconds that it will take, as estimated when it was started."
    )
    kept_bytes = models.BigIntegerField(
        default=0, db_default=0, help_text="About how much room its rows take."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        abstract = True

    def get_absolute_url(self) -> str:
        return f"{reverse('check', args=[self.computation])}?task_id={self.task_id}"

    @property
    def sharer(self) -> str:
        """With whom others share the workers: an account, or else a session or an address.

        Empty for who has none, as in a terminal.
        """
        if self.account_id is not None:
            return f"account {self.account_id}"
        return self.client or self.address

    def length(self) -> int | None:
        """How much there is to do, as its computation says of its parameters.

        None for what runs in one piece, and for what its code can't tell (any more).
        """
        computation = all_computations().get(self.computation)
        if computation is None or computation.length is None:
            return None
        try:
            return computation.length_of(computation.cleaned(self.given, self.parameters))
        except ComputationError:
            return None

    def filled_in(self) -> Given:
        """The texts of its form; ComputationError if its code can't tell them (any more)."""
        computation = all_computations().get(self.computation)
        return computation.filled_in(self.given, self.parameters) if computation else {}


def function_of(computation: Computation) -> str:
    """The path of its function; empty for an object that has none."""
    return (path_of(computation.function) or "")[:300]


def as_kept(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as a run's row has them."""
    return {name: values.kept_or_text(files.told(each)) for name, each in parameters.items()}
